from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabletd.errors import Reason, TabletdError
from tabletd.executor.statements import (
    Cancel,
    Cleanup,
    Complete,
    CutOverThreshold,
    ForceCutOver,
    Launch,
    MigrationStatement,
    PostponeComplete,
    Retry,
    Revert,
    ShowLogs,
    ShowMigrations,
    ShowThrottledApps,
    ShowThrottlerStatus,
    Throttle,
    Unthrottle,
    parse_statement,
)

U = "a0638f6b_ec7b_11ea_9bf8_000d3a9b8a9a"
ALTER = "alter vitess_migration"


@pytest.mark.parametrize(
    ("sql", "statement"),
    [
        (f"{ALTER} '{U}' retry", Retry(U)),
        (f"{ALTER} '{U.upper()}' RETRY", Retry(U)),
        (f"{ALTER} '{U}' cancel", Cancel(U)),
        (f"{ALTER} cancel all", Cancel(None)),
        (f"{ALTER} '{U}' cleanup", Cleanup(U)),
        (f"{ALTER} cleanup all", Cleanup(None)),
        (f"{ALTER} '{U}' launch", Launch(U)),
        (f"{ALTER} '{U}' launch vitess_shards '-80, 80-'", Launch(U, ("-80", "80-"))),
        (f"{ALTER} launch all", Launch(None)),
        (f"{ALTER} '{U}' complete", Complete(U)),
        (f"{ALTER} '{U}' complete vitess_shards 'x'", Complete(U, ("x",))),
        (f"{ALTER} complete all", Complete(None)),
        (f"{ALTER} '{U}' postpone complete", PostponeComplete(U)),
        (f"{ALTER} postpone complete all", PostponeComplete(None)),
        (f"{ALTER} '{U}' force_cutover", ForceCutOver(U)),
        (f"{ALTER} force_cutover all", ForceCutOver(None)),
        (f"{ALTER} '{U}' cutover_threshold '15s'", CutOverThreshold(U, 15)),
        (f"{ALTER} '{U}' throttle", Throttle(U)),
        (f"{ALTER} '{U}' throttle expire '1h'", Throttle(U, 3600)),
        (f"{ALTER} '{U}' throttle ratio 0.7", Throttle(U, None, 0.7)),
        (f"{ALTER} throttle all expire '30m' ratio 0.25", Throttle(None, 1800, 0.25)),
        (f"{ALTER} '{U}' unthrottle", Unthrottle(U)),
        (f"{ALTER} unthrottle all", Unthrottle(None)),
        (f"revert vitess_migration '{U}'", Revert(U)),
        (f"show vitess_migration '{U}' logs", ShowLogs(U)),
        ("show vitess_migrations", ShowMigrations()),
        ("show vitess_migrations from ks", ShowMigrations(keyspace="ks")),
        ("show vitess_migrations in `a b` like 'x%'", ShowMigrations("x%", keyspace="a b")),
        ("show vitess_migrations like 'running'", ShowMigrations("running")),
        (
            "show vitess_migrations where id > 1 and stage <> 'a;b' ;",
            ShowMigrations(where="id > 1 and stage <> 'a;b'"),
        ),
        ("show vitess_throttled_apps", ShowThrottledApps()),
        ("show vitess_throttler status", ShowThrottlerStatus()),
    ],
)
def test_each_form_is_read(sql: str, statement: MigrationStatement) -> None:
    assert parse_statement(sql) == statement
    commented = sql.replace(" ", " /* c */ ", 1)
    assert parse_statement(f"  /* who */ -- x\n# y\n{commented} ; ;") == statement


def test_words_are_read_in_any_case() -> None:
    assert parse_statement("ALTER VITESS_MIGRATION THROTTLE ALL RATIO 0.5") == Throttle(
        None, None, 0.5
    )
    assert parse_statement("Show Vitess_Migrations Like 'Aa'") == ShowMigrations("Aa")


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "select 1",
        "alter table vitess_migration add c int",
        "show vitess_tablets",
        "show vitess_migrationsx",
        "insert into t values ('alter vitess_migration cancel all')",
        "/*!50000 alter vitess_migration cancel all */",
        "'alter vitess_migration cancel all",
    ],
)
def test_other_statements_are_left_alone(sql: str) -> None:
    assert parse_statement(sql) is None


@pytest.mark.parametrize(
    "verb",
    ["retry", "cancel", "cleanup", "launch", "complete", "postpone complete", "force_cutover"],
)
def test_what_is_no_uuid_is_refused_naming_the_verb(verb: str) -> None:
    expected = f"Not a valid migration ID in {verb.upper()}: nope"
    with pytest.raises(TabletdError, match=expected) as caught:
        parse_statement(f"{ALTER} 'nope' {verb}")
    assert caught.value.reason is Reason.INVALID_REQUEST


@pytest.mark.parametrize(
    "sql",
    [
        ALTER,
        f"{ALTER} retry all",
        f"{ALTER} cutover_threshold all",
        f"{ALTER} '{U}'",
        f"{ALTER} '{U}' destroy",
        f"{ALTER} '{U}' cancel all",
        f"{ALTER} '{U}' postpone",
        f"{ALTER} cancel",
        f"{ALTER} launch all vitess_shards 'x'",
        f"{ALTER} '{U}' cancel; drop table t",
        f"{ALTER} {U} cancel",
        f"{ALTER} /*!50000 '{U}' */ cancel",
        "show vitess_migrations like",
        "show vitess_migrations where",
        "show vitess_migrations like 'x' where 1",
        f"show vitess_migration '{U}'",
        "show vitess_throttler",
        "revert vitess_migration",
    ],
)
def test_an_incomplete_or_longer_form_is_a_syntax_error(sql: str) -> None:
    with pytest.raises(TabletdError) as caught:
        parse_statement(sql)
    assert caught.value.reason is Reason.DDL_SYNTAX


@pytest.mark.parametrize(
    "sql",
    [
        f"{ALTER} '{U}' throttle expire 'soon'",
        f"{ALTER} '{U}' throttle ratio 1.5",
        f"{ALTER} '{U}' throttle ratio 'much'",
        f"{ALTER} '{U}' cutover_threshold '15'",
    ],
)
def test_a_value_that_cannot_be_read_is_an_invalid_request(sql: str) -> None:
    with pytest.raises(TabletdError) as caught:
        parse_statement(sql)
    assert caught.value.reason is Reason.INVALID_REQUEST


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for sql in (text, f"{ALTER} {text}", f"show vitess_migrations {text}"):
        with suppress(TabletdError):
            parse_statement(sql)


def test_a_long_statement_that_is_not_ours_is_passed_over_quickly() -> None:
    for sql in (" " * 1_000_000 + "x", "insert into t values " + "(1)," * 300_000, "--" * 500_000):
        begun = time.process_time()
        assert parse_statement(sql) is None
        assert time.process_time() - begun < 5
