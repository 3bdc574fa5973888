from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabletd.errors import Reason, TabletdError
from tabletd.executor.directives import annotate, read_directives

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXTS, TEXTS, TEXTS, TEXTS, TEXTS)
def test_what_is_annotated_is_read_again(
    uuid: str, context: str, table: str, strategy: str, options: str
) -> None:
    sql = "alter table t add c int /* more */"
    text = annotate(
        sql,
        migration_uuid=uuid,
        migration_context=context,
        mysql_table=table,
        strategy=strategy,
        options=options,
    )
    found = read_directives(text)
    assert found is not None
    assert found.sql == sql
    assert (found.migration_uuid, found.migration_context) == (uuid, context)
    assert (found.mysql_table, found.strategy, found.options) == (table, strategy, options)


def test_the_wire_form_is_that_of_vitess() -> None:
    found = read_directives(
        ' /*vt+ uuid="615f62" context="76" table="74" strategy="67682d6f7374" options="" */ drop'
    )
    assert found is not None
    assert found.migration_uuid == "a_b"
    assert found.strategy == "gh-ost"
    assert found.options == ""
    assert found.sql == "drop"


@pytest.mark.parametrize(
    "sql",
    ["alter table t add c int", "/* uuid=61 */ drop table t", "/*vt+ allowZeroInDate=true */ x"],
)
def test_a_statement_without_a_uuid_is_no_migration(sql: str) -> None:
    assert read_directives(sql) is None


@pytest.mark.parametrize("value", ["xy", "6", "ff"])
def test_what_is_no_hexadecimal_text_is_refused(value: str) -> None:
    with pytest.raises(TabletdError, match="the directive uuid") as caught:
        read_directives(f'/*vt+ uuid="{value}" */ drop table t')
    assert caught.value.reason is Reason.INVALID_REQUEST


@pytest.mark.parametrize("filling", [" ", "a", "a=", '"', "a ", '="'])
def test_a_long_comment_is_read_quickly(filling: str) -> None:
    begun = time.process_time()
    assert read_directives(f"/*vt+ {filling * 300_000} */ drop table t") is None
    assert time.process_time() - begun < 5
