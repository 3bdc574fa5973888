"""Which statements are passed to the server by Query.Execute and ExecuteQuery."""

from __future__ import annotations

import pytest

from tabletd.admin.statements import plain_statement
from tabletd.errors import Reason, TabletdError


@pytest.mark.parametrize(
    ("sql", "writes"),
    [
        ("select 1", False),
        ("  /* hello */ SELECT 1;", False),
        ("(select 1) union (select 2)", False),
        ("show tables", False),
        ("with c as (select 1) select * from c", False),
        ("with c as (select 1) delete from t", True),
        ("insert into t values (1)", True),
        ("ALTER TABLE t ADD COLUMN c INT", True),
        ("create table t (id int)", True),
        ("/*!50000 drop table t */", True),
    ],
)
def test_reading_and_writing_statements_are_told_apart(sql: str, writes: bool) -> None:
    assert plain_statement(sql).writes is writes


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("", Reason.INVALID_REQUEST),
        (" -- nothing", Reason.INVALID_REQUEST),
        ("select 1; select 2", Reason.INVALID_REQUEST),
        ("begin", Reason.INVALID_REQUEST),
        ("set global read_only = 0", Reason.INVALID_REQUEST),
        ("lock tables t write", Reason.INVALID_REQUEST),
        ("show vitess_migrations", Reason.UNSUPPORTED_METHOD),
        ("ALTER VITESS_MIGRATION 'x' CANCEL", Reason.UNSUPPORTED_METHOD),
        ("revert /* x */ vitess_migration 'x'", Reason.UNSUPPORTED_METHOD),
        ("select 'open", Reason.DDL_SYNTAX),
    ],
)
def test_what_needs_a_session_or_is_no_statement_is_refused(sql: str, reason: Reason) -> None:
    with pytest.raises(TabletdError) as caught:
        plain_statement(sql)
    assert caught.value.reason is reason


def test_the_forms_on_migrations_name_vexec() -> None:
    with pytest.raises(TabletdError, match=r"TabletManager\.VExec"):
        plain_statement("show vitess_migrations like 'running'")
