"""Every refusal before anything runs: what was found, what is needed, what to do."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from tabletd.errors import NotWritable, Reason, TabletdError
from tabletd.executor.ddl import parse
from tabletd.executor.engines.gh_ost import GhOst
from tabletd.executor.engines.pt_osc import PtOsc
from tabletd.executor.migration import Migration, Strategy
from tabletd.executor.preflight import run_checks
from tabletd.executor.preflight.facts import Facts, Key, KeyPart, Table, ToolFacts
from tabletd.mysql.flavor import parse_version

PRIMARY = Key(is_unique=True, parts=(KeyPart("bigint", is_nullable=False, is_prefix=False),))


def migration(strategy: Strategy, statement: str, schema: str = "shop") -> Migration:
    return Migration(
        id=1,
        migration_uuid="a0638f6b_ec7b_11ea_9bf8_000d3a9b8a9a",
        keyspace="ks",
        shard="0",
        mysql_schema=schema,
        mysql_table="orders",
        migration_statement=statement,
        strategy=strategy,
    )


def gh_ost_facts() -> Facts:
    """A server and a table that gh-ost can take."""
    statement = "ALTER TABLE orders ADD COLUMN extra INT"
    return Facts(
        migration=migration(Strategy.GH_OST, statement),
        statement=parse(statement),
        arguments=(),
        server=parse_version("5.7.22-log", "MySQL Community Server"),
        variables={
            "read_only": "OFF",
            "log_bin": "ON",
            "binlog_format": "ROW",
            "binlog_row_image": "FULL",
            "log_slave_updates": "ON",
            "transaction_isolation": "REPEATABLE-READ",
            "log_bin_trust_function_creators": "ON",
            "datadir": "/srv/data",
        },
        table=Table("orders", "BASE TABLE", "INNODB", 10, 2**30, keys=(PRIMARY,)),
        tool=ToolFacts("/usr/bin/gh-ost", "1.1.10"),
        has_lock_instrument=True,
        disk_free_bytes=2**40,
    )


def pt_osc_facts() -> Facts:
    """A server and a table that pt-online-schema-change can take."""
    facts = gh_ost_facts()
    return replace(
        facts,
        migration=replace(facts.migration, strategy=Strategy.PT_OSC),
        server=parse_version("10.11.19-MariaDB-log", "Debian 12"),
        tool=ToolFacts("/usr/bin/pt-osc", "pt-online-schema-change 3.2.1"),
        has_lock_instrument=None,
    )


def variables(**changed: str) -> Callable[[Facts], Facts]:
    return lambda facts: replace(facts, variables={**facts.variables, **changed})


def without_variable(name: str) -> Callable[[Facts], Facts]:
    def change(facts: Facts) -> Facts:
        kept = {key: value for key, value in facts.variables.items() if key != name}
        return replace(facts, variables=kept)

    return change


def table(**changed: Any) -> Callable[[Facts], Facts]:
    def change(facts: Facts) -> Facts:
        assert facts.table is not None
        return replace(facts, table=replace(facts.table, **changed))

    return change


def changed(**changes: Any) -> Callable[[Facts], Facts]:
    return lambda facts: replace(facts, **changes)


def server(version: str) -> Callable[[Facts], Facts]:
    return changed(server=parse_version(version, ""))


def statement(sql: str) -> Callable[[Facts], Facts]:
    return changed(statement=parse(sql))


def key(
    *data_types: str, is_unique: bool = True, is_nullable: bool = False
) -> Callable[[Facts], Facts]:
    parts = tuple(KeyPart(one, is_nullable, is_prefix=False) for one in data_types)
    return table(keys=(Key(is_unique, parts),))


def named(schema: str, name: str = "orders") -> Callable[[Facts], Facts]:
    return lambda facts: replace(
        facts, migration=replace(facts.migration, mysql_schema=schema, mysql_table=name)
    )


def with_children(option: str) -> Callable[[Facts], Facts]:
    return lambda facts: replace(table(children=("a.b",))(facts), arguments=(option,))


BOTH = [
    (variables(read_only="ON"), Reason.READ_ONLY, "read_only"),
    (variables(skip_networking="ON"), Reason.PREFLIGHT_REFUSED, "skip_networking"),
    (changed(filters=("binlog-do-db=x",)), Reason.PREFLIGHT_REFUSED, "binlog-do-db=x"),
    (changed(table=None), Reason.TABLE_NOT_FOUND, "shop.orders does not exist"),
    (table(kind="VIEW"), Reason.PREFLIGHT_REFUSED, "is a view"),
    (table(kind="SYSTEM VERSIONED"), Reason.PREFLIGHT_REFUSED, "system-versioned"),
    (table(engine="MYISAM"), Reason.PREFLIGHT_REFUSED, "MYISAM"),
    (table(keys=()), Reason.PREFLIGHT_REFUSED, "key"),
    (key("int", is_unique=False), Reason.PREFLIGHT_REFUSED, "NOT NULL"),
    (key("int", is_nullable=True), Reason.PREFLIGHT_REFUSED, "NOT NULL"),
    (table(triggers=("audit",)), Reason.PREFLIGHT_REFUSED, "audit"),
    (table(triggers=("pt_osc_a_b_ins",)), Reason.PREFLIGHT_REFUSED, "another run"),
    (table(children=("shop.lines",)), Reason.PREFLIGHT_REFUSED, "shop.lines"),
    (changed(disk_free_bytes=2**29), Reason.PREFLIGHT_REFUSED, "1.20 GiB"),
    (changed(taken_names=("_x",), reserved_names=("_x",)), Reason.TABLE_EXISTS, "_x"),
    (statement("ALTER TABLE orders RENAME TO o2"), Reason.UNSUPPORTED_DDL, "renames the table"),
    (statement("ALTER IGNORE TABLE orders FORCE"), Reason.UNSUPPORTED_DDL, "IGNORE"),
    (statement("CREATE TABLE orders (id INT)"), Reason.UNSUPPORTED_DDL, "ALTER TABLE only"),
    (statement("ALTER TABLE orders"), Reason.UNSUPPORTED_DDL, "changes nothing"),
    (named("shop", "it's"), Reason.PREFLIGHT_REFUSED, "name"),
    (
        changed(tool=ToolFacts("/x", None, "there is no such executable file")),
        Reason.TOOL_MISSING,
        "/x",
    ),
    (changed(tool=ToolFacts("/x", None, "it hangs")), Reason.TOOL_UNSUITABLE, "it hangs"),
]
GH_OST = [
    (server("10.11.19-MariaDB"), Reason.UNSUPPORTED_SERVER, "MariaDB 10.11.19"),
    (server("11.4.5-MariaDB"), Reason.UNSUPPORTED_SERVER, "MariaDB 11.4.5"),
    (server("8.0.12"), Reason.UNSUPPORTED_SERVER, "column statistics"),
    (without_variable("transaction_isolation"), Reason.UNSUPPORTED_SERVER, "5.7.20"),
    (variables(log_bin="OFF"), Reason.PREFLIGHT_REFUSED, "binary log is off"),
    (variables(binlog_format="MIXED"), Reason.PREFLIGHT_REFUSED, "binlog_format is MIXED"),
    (variables(binlog_row_image="MINIMAL"), Reason.PREFLIGHT_REFUSED, "is MINIMAL"),
    (variables(log_slave_updates="OFF"), Reason.PREFLIGHT_REFUSED, "log_slave_updates"),
    (variables(log_bin_compress="ON"), Reason.PREFLIGHT_REFUSED, "log_bin_compress"),
    (variables(sql_mode="ANSI_QUOTES,ANSI"), Reason.PREFLIGHT_REFUSED, "ANSI_QUOTES"),
    (variables(wsrep_on="ON"), Reason.UNSUPPORTED_SERVER, "Galera"),
    (changed(has_lock_instrument=False), Reason.PREFLIGHT_REFUSED, "metadata-lock"),
    (changed(has_lock_instrument=None), Reason.PREFLIGHT_REFUSED, "performance_schema"),
    (
        changed(tool=ToolFacts("/x", "1.1.6", has_required_flags=False)),
        Reason.TOOL_UNSUITABLE,
        "1.1.6",
    ),
    (key("float"), Reason.PREFLIGHT_REFUSED, "floats"),
    (table(foreign_keys=("fk -> c",)), Reason.PREFLIGHT_REFUSED, "fk -> c"),
    (named("50%"), Reason.PREFLIGHT_REFUSED, "cannot quote"),
    (named("shop", "*/ ignore into t /*"), Reason.PREFLIGHT_REFUSED, "it holds */"),
]
PT_OSC = [
    (server("8.0.15"), Reason.UNSUPPORTED_SERVER, "8.0.15"),
    (
        variables(log_bin_trust_function_creators="OFF"),
        Reason.PREFLIGHT_REFUSED,
        "log_bin_trust_function_creators",
    ),
    (variables(wsrep_on="ON", wsrep_osu_method="RSU"), Reason.PREFLIGHT_REFUSED, "TOI"),
    (
        changed(arguments=("--alter-foreign-keys-method=drop_swap",)),
        Reason.PREFLIGHT_REFUSED,
        "drop_swap",
    ),
    (
        changed(arguments=("--alter-foreign-keys-method=none",)),
        Reason.PREFLIGHT_REFUSED,
        "breaks foreign keys",
    ),
    (named("shop", "тест"), Reason.PREFLIGHT_REFUSED, "ASCII"),
    (named("shop", "two\nlines"), Reason.PREFLIGHT_REFUSED, "the end of a line"),
    (table(unshown_defaults=("mood",)), Reason.PREFLIGHT_REFUSED, "(mood)"),
    (changed(tool=ToolFacts("/x", "7z 16.02")), Reason.TOOL_UNSUITABLE, "7z 16.02"),
]


@pytest.mark.parametrize(("change", "reason", "words"), [*BOTH, *GH_OST])
def test_gh_ost_is_refused(change: Callable[[Facts], Facts], reason: Reason, words: str) -> None:
    _expect(GhOst.CHECKS, change(gh_ost_facts()), reason, words)


@pytest.mark.parametrize(("change", "reason", "words"), [*BOTH, *PT_OSC])
def test_pt_osc_is_refused(change: Callable[[Facts], Facts], reason: Reason, words: str) -> None:
    _expect(PtOsc.CHECKS, change(pt_osc_facts()), reason, words)


def _expect(checks: Any, facts: Facts, reason: Reason, words: str) -> None:
    with pytest.raises(TabletdError) as refused:
        run_checks(checks, facts)
    assert refused.value.reason is reason
    assert words in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize(
    "change",
    [
        changed(),
        changed(disk_free_bytes=None),
        with_children("--skip-foreign-key-checks"),
        variables(log_bin_trust_function_creators="OFF"),
        changed(taken_names=("_orders_old",), reserved_names=("_x",)),
        server("8.0.36"),
        key("int", "varchar"),
    ],
)
def test_gh_ost_is_let_through(change: Callable[[Facts], Facts]) -> None:
    run_checks(GhOst.CHECKS, change(gh_ost_facts()))


@pytest.mark.parametrize(
    "change",
    [
        changed(),
        variables(log_bin="OFF", log_bin_trust_function_creators="OFF"),
        variables(binlog_format="STATEMENT"),
        server("5.6.24"),
        changed(
            has_configured_account=True,
            variables={"log_bin": "ON", "log_bin_trust_function_creators": "OFF"},
        ),
        with_children("--alter-foreign-keys-method=rebuild_constraints"),
    ],
)
def test_pt_osc_is_let_through(change: Callable[[Facts], Facts]) -> None:
    run_checks(PtOsc.CHECKS, change(pt_osc_facts()))


def test_the_operator_may_take_the_risk_of_an_unproven_cut_over() -> None:
    facts = replace(
        gh_ost_facts(),
        has_lock_instrument=None,
        server=parse_version("8.0.12", ""),
        allows_unsafe_cutover=True,
    )
    run_checks(GhOst.CHECKS, facts)


def test_a_read_only_server_is_the_error_that_callers_catch() -> None:
    with pytest.raises(NotWritable):
        run_checks(GhOst.CHECKS, variables(read_only="ON")(gh_ost_facts()))


@pytest.mark.parametrize("tool", [GhOst, PtOsc])
def test_each_check_takes_a_table_that_was_dropped_meanwhile(tool: type[Any]) -> None:
    facts = replace(gh_ost_facts(), table=None)
    for check in tool.CHECKS:
        with suppress(TabletdError):
            check(facts)
