"""What an ApplySchema asks for, and what of it is refused before anything is done."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.executor.directives import Directives, read_directives
from tabletd.executor.names import is_online_ddl_uuid
from tabletd.executor.strategy import Strategy
from tabletd.vtctld.schema_changes import Plan, Step, Way, read_changes
from tabletd_pb import vtctldata_pb2

NOW = 1_700_000_000.0
ONE = "0f4b5e0a_e716_11f1_af94_02fc00000001"
TWO = "0f4b5e0a_e716_11f1_af94_02fc00000002"
ALTER = "ALTER TABLE t ADD c int"


def read(
    *sql: str, strategy: str = "gh-ost", online: Strategy | None = None, **fields: Any
) -> Plan:
    request = vtctldata_pb2.ApplySchemaRequest(
        keyspace="shop", sql=sql, ddl_strategy=strategy, **fields
    )
    return read_changes(request, now_seconds=NOW, online=online)


def refusal(*sql: str, **fields: Any) -> TabletdError:
    with pytest.raises(TabletdError) as caught:
        read(*sql, **fields)
    return caught.value


def directives(step: Step) -> Directives:
    assert step.way is Way.QUERY
    found = read_directives(step.sql)
    assert found is not None
    return found


def test_a_ddl_becomes_a_migration_with_what_the_tablet_must_know() -> None:
    plan = read(ALTER, strategy="gh-ost --max-load=Threads_running=9", migration_context="release")
    (step,) = plan.steps
    found = directives(step)
    assert found.sql == ALTER
    assert (found.strategy, found.options) == ("gh-ost", "--max-load=Threads_running=9")
    assert (found.migration_context, found.mysql_table) == ("release", "t")
    assert plan.uuids == (found.migration_uuid,)
    assert is_online_ddl_uuid(found.migration_uuid)


def test_without_a_context_one_is_made_for_the_whole_request() -> None:
    plan = read(ALTER, "DROP TABLE u")
    contexts = {directives(step).migration_context for step in plan.steps}
    assert contexts == {plan.migration_context}
    assert re.fullmatch(r"vtctl:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", plan.migration_context)


def test_statements_are_split_at_semicolons_that_are_not_quoted() -> None:
    plan = read(f"{ALTER} COMMENT 'a;b'; -- ;\nDROP TABLE u;;", "CREATE VIEW v AS SELECT 1")
    assert [directives(step).sql for step in plan.steps] == [
        f"{ALTER} COMMENT 'a;b'",
        "-- ;\nDROP TABLE u",
        "CREATE VIEW v AS SELECT 1",
    ]


def test_a_drop_of_several_tables_is_a_migration_for_each() -> None:
    plan = read("DROP TABLE IF EXISTS a, `b``c`, other.d")
    assert [directives(step).sql for step in plan.steps] == [
        "DROP TABLE IF EXISTS `a`",
        "DROP TABLE IF EXISTS `b``c`",
        "DROP TABLE IF EXISTS `other`.`d`",
    ]
    assert len(set(plan.uuids)) == 3
    assert "3 tables" in refusal("DROP TABLE a, b, c", uuid_list=[ONE]).message


def test_a_drop_of_several_temporary_tables_drops_no_real_ones() -> None:
    error = refusal("DROP TEMPORARY TABLE a, b")
    assert error.reason is Reason.UNSUPPORTED_DDL
    assert "Unsupported online DDL action" in error.message


@pytest.mark.parametrize("strategy", ["", "direct"])
def test_a_direct_change_has_no_migration(strategy: str) -> None:
    plan = read(ALTER, "RENAME TABLE a TO b", strategy=strategy)
    assert [(step.way, step.sql) for step in plan.steps] == [
        (Way.DIRECT, ALTER),
        (Way.DIRECT, "RENAME TABLE a TO b"),
    ]
    assert plan.uuids == ()
    assert not plan.has_other_than_ddl


def test_flags_of_a_direct_change_are_for_its_session() -> None:
    plan = read(ALTER, strategy="direct --allow-zero-in-date --unsafe-allow-foreign-keys")
    (step,) = plan.steps
    assert step.disable_foreign_key_checks
    assert step.sql.startswith("SET SESSION sql_mode")
    assert step.sql.endswith(f";\n{ALTER}")


def test_what_is_no_ddl_is_told_apart() -> None:
    assert read("/* x */ insert into t values (1)", strategy="direct").has_other_than_ddl
    assert not read("/* x */ create table t (a int)", strategy="direct").has_other_than_ddl


@pytest.mark.parametrize("strategy", ["", "gh-ost"])
@pytest.mark.parametrize("rest", ["cancel", "retry", "complete", "launch", "force_cutover"])
def test_a_control_is_passed_on_as_it_is(strategy: str, rest: str) -> None:
    sql = f"alter vitess_migration '{ONE}' {rest}"
    assert read(sql, strategy=strategy).steps == (Step(Way.QUERY, sql),)


@pytest.mark.parametrize(
    ("sql", "name", "ratio", "expires_at_seconds"),
    [
        (f"alter vitess_migration '{ONE}' throttle", ONE, 1.0, int(NOW) + 3600),
        ("alter vitess_migration throttle all", "online-ddl", 1.0, int(NOW) + 3600),
        (
            f"alter vitess_migration '{ONE}' throttle expire '10m' ratio 0.5",
            ONE,
            0.5,
            int(NOW) + 600,
        ),
        (f"alter vitess_migration '{ONE}' unthrottle", ONE, 0.0, 0),
        ("alter vitess_migration unthrottle all", "online-ddl", 0.0, 0),
    ],
)
def test_throttling_becomes_a_rule(
    sql: str, name: str, ratio: float, expires_at_seconds: int
) -> None:
    (step,) = read(sql).steps
    assert step.way is Way.THROTTLE
    assert step.rule is not None
    assert step.rule.HasField("expires_at")
    assert (step.rule.name, step.rule.ratio) == (name, ratio)
    assert step.rule.expires_at.seconds == expires_at_seconds


@pytest.mark.parametrize(("given", "used"), [("", "mysql"), ("gh-ost", "gh-ost")])
def test_a_revert_is_a_migration_of_its_own(given: str, used: str) -> None:
    plan = read(f"revert vitess_migration '{ONE}'", strategy=given)
    found = directives(plan.steps[0])
    assert found.sql == f"revert vitess_migration '{ONE}'"
    assert found.strategy == used
    assert plan.uuids == (found.migration_uuid,)
    assert plan.uuids != (ONE,)


def test_a_show_is_refused_because_there_is_no_place_for_rows() -> None:
    error = refusal("show vitess_migrations")
    assert error.reason is Reason.INVALID_REQUEST
    assert "OnlineDDL show" in str(error)


def test_given_uuids_name_the_migrations() -> None:
    plan = read(ALTER, "DROP TABLE u", uuid_list=[ONE, TWO.upper()])
    assert plan.uuids == (ONE, TWO)
    assert [directives(step).migration_uuid for step in plan.steps] == [ONE, TWO]


@pytest.mark.parametrize(
    ("uuids", "problem"),
    [
        (["x"], "invalid UuidList: Not a valid UUID: x"),
        ([ONE, ONE], "invalid UuidList: UUID values must be unique"),
        ([ONE, TWO], "invalid UuidList: 2 UUIDs for 1 statements"),
    ],
)
def test_wrong_uuids_are_refused(uuids: list[str], problem: str) -> None:
    error = refusal(ALTER, uuid_list=uuids)
    assert error.reason is Reason.INVALID_REQUEST
    assert problem in error.message


def test_an_unknown_strategy_and_option_are_refused() -> None:
    error = refusal(ALTER, strategy="pt-ost")
    assert error.message == "invalid DdlStrategy: Unknown online DDL strategy: 'pt-ost'"
    assert error.reason is Reason.INVALID_REQUEST
    assert "invalid DdlStrategy" in refusal(ALTER, strategy="gh-ost --max-lod=1").message


def test_vitess_own_strategy_is_refused_unless_another_stands_for_it() -> None:
    error = refusal(ALTER, strategy="vitess --postpone-launch")
    assert error.reason is Reason.MIGRATION_REJECTED
    assert "gh-ost" in str(error)
    plan = read(ALTER, strategy="online", online=Strategy.PT_OSC)
    assert directives(plan.steps[0]).strategy == "pt-osc"


@pytest.mark.parametrize("sql", [[], ["", " ; -- nothing\n"]])
def test_an_empty_request_is_a_failed_precondition(sql: list[str]) -> None:
    assert refusal(*sql).reason is Reason.MIGRATION_REJECTED


def test_a_fault_in_the_last_statement_refuses_the_whole_request() -> None:
    error = refusal(ALTER, "ALTER TABLE t RENAME TO u")
    assert error.reason is Reason.UNSUPPORTED_DDL
    assert refusal(ALTER, "SELECT 1").reason is Reason.UNSUPPORTED_DDL


def test_creates_are_sent_together_when_asked() -> None:
    creates = [f"CREATE TABLE t{number} (a int)" for number in range(5)]
    plan = read(*creates, strategy="direct", batch_size=2)
    assert [step.sql.count("CREATE") for step in plan.steps] == [2, 2, 1]


@pytest.mark.parametrize(
    ("sql", "fields"),
    [
        (["CREATE TABLE a (b int)"], {"strategy": "gh-ost"}),
        (["CREATE TABLE a (b int)"], {"strategy": "direct", "uuid_list": [ONE]}),
        (["CREATE TABLE a (b int)", "DROP TABLE c"], {"strategy": "direct"}),
        (["CREATE INDEX i ON a (b)"], {"strategy": "direct"}),
    ],
)
def test_other_statements_are_not_sent_together(sql: list[str], fields: dict[str, Any]) -> None:
    error = refusal(*sql, batch_size=2, **fields)
    assert error.reason is Reason.INVALID_REQUEST
    assert "batch_size" in error.message
