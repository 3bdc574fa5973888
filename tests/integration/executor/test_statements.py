"""Statements about migrations, on real servers."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.executor.commands import ThrottlerDoor
from tabletd.executor.directives import annotate
from tabletd.executor.names import create_uuid
from tabletd.executor.settings import ExecutorSettings
from tabletd.executor.states import Status
from tabletd.executor.strategy import Strategy
from tabletd.mysql.result import ResultSet, text_result
from tests.support.engines import ExecutorInTest, completed, executor_on
from tests.support.servers import RealServer
from tests.support.waiting import eventually

ALTER = "alter vitess_migration"


def annotated(
    uuid: str,
    sql: str = "alter table t add c int",
    *,
    strategy: str = "gh-ost",
    options: str = "",
    context: str = "ctx",
    table: str = "t",
) -> str:
    return annotate(
        sql,
        migration_uuid=uuid,
        migration_context=context,
        mysql_table=table,
        strategy=strategy,
        options=options,
    )


async def run(test: ExecutorInTest, sql: str) -> ResultSet:
    result = await test.executor.execute_statement(sql)
    assert result is not None
    return result


async def affected(test: ExecutorInTest, sql: str) -> int:
    return (await run(test, sql)).rows_affected


async def submit(test: ExecutorInTest, options: str = "", **others: str) -> str:
    uuid = create_uuid()
    assert await affected(test, annotated(uuid, options=options, **others)) == 1
    return uuid


async def test_an_annotated_statement_becomes_a_migration(
    any_server: RealServer, database: str
) -> None:
    async with executor_on(any_server, database) as test:
        uuid = await submit(
            test, "--postpone-launch --retain-artifacts=2h --cut-over-threshold=7s --chunk-size=5"
        )
        row = test.row(uuid)
    assert row["migration_statement"] == "alter table t add c int"
    assert (row["strategy"], row["mysql_table"], row["migration_context"]) == ("gh-ost", "t", "ctx")
    assert (row["postpone_launch"], row["retain_artifacts_seconds"]) == (1, 7200)
    assert (row["cutover_threshold_seconds"], row["is_immediate_operation"]) == (7, 0)


async def test_other_statements_are_left_to_the_server(mariadb: RealServer, database: str) -> None:
    async with executor_on(mariadb, database) as test:
        assert await test.executor.execute_statement("create table t (id int)") is None
        assert await test.executor.execute_statement("/*vt+ allowZeroInDate=true */ x") is None


async def test_a_known_uuid_is_retried_and_keeps_its_statement(
    mariadb: RealServer, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with executor_on(mariadb, database) as test:
        uuid = await submit(test, "--postpone-launch")
        assert await affected(test, annotated(uuid)) == 0
        assert await affected(test, f"{ALTER} '{uuid}' cancel") == 1
        with caplog.at_level(logging.WARNING):
            assert await affected(test, annotated(uuid, "alter table t add d int")) == 1
        row = test.row(uuid)
        with pytest.raises(TabletdError, match="migration rejected: found migration") as caught:
            await run(test, annotated(uuid, context="other"))
    assert (row["migration_status"], row["retries"]) == ("queued", 1)
    assert row["migration_statement"] == "alter table t add c int"
    assert "another statement" in caplog.text
    assert caught.value.reason is Reason.MIGRATION_REJECTED
    assert "different context: ctx than" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "others", "text"),
    [
        ("--singleton", {}, "singleton migration rejected: found pending migrations [sample: "),
        ("--singleton-context", {"context": "other"}, "in different context: ctx"),
        ("--singleton-context", {}, ""),
        ("--singleton-table", {}, "on the table t"),
        ("--singleton-table", {"sql": "alter table u add c int", "table": "u"}, ""),
    ],
)
async def test_a_singleton_is_refused_beside_what_it_excludes(
    mariadb: RealServer, database: str, options: str, others: dict[str, str], text: str
) -> None:
    async with executor_on(mariadb, database) as test:
        await submit(test, "--postpone-launch")
        uuid = create_uuid()
        sql = annotated(uuid, options=f"{options} --postpone-launch", **others)
        if not text:
            assert await affected(test, sql) == 1
            return
        with pytest.raises(TabletdError) as caught:
            await run(test, sql)
        assert text in str(caught.value)
        assert caught.value.reason is Reason.MIGRATION_REJECTED
        assert await affected(test, f"show vitess_migrations like '{uuid}'") == 0


async def test_a_pending_revert_is_tolerated_beside_a_singleton_of_its_context(
    mariadb: RealServer, database: str
) -> None:
    async with executor_on(mariadb, database) as test:
        revert = f"revert vitess_migration '{create_uuid()}'"
        await run(test, annotated(create_uuid(), revert, options="--postpone-launch", table=""))
        await submit(test, "--singleton-context --postpone-launch", context="other")


async def test_a_postponed_launch_waits_for_its_launch_on_this_shard(
    mariadb: RealServer, database: str
) -> None:
    async with executor_on(mariadb, database) as test:
        uuids = [
            await submit(test, "--postpone-launch", table=name, sql=f"alter table {name} force")
            for name in ("t", "u")
        ]
        launch = f"{ALTER} '{uuids[0]}' launch"
        assert await affected(test, f"{launch} vitess_shards '-80,80-'") == 0
        assert await affected(test, f"{ALTER} '{create_uuid()}' launch") == 0
        assert not test.engine.runs
        assert await affected(test, f"{launch} vitess_shards 'x, 0'") == 1
        (await test.engine.next_run()).finish()
        await test.until(uuids[0], Status.COMPLETE)
        assert await affected(test, f"{ALTER} launch all") == 1
        await test.engine.next_run(2)


async def test_an_immediate_operation_stays_queued_until_it_may_complete(
    mariadb: RealServer, database: str
) -> None:
    async with executor_on(mariadb, database, script=completed) as test:
        sql = "create table t (id int primary key)"
        uuid = await submit(test, "--postpone-completion", sql=sql)
        await eventually(lambda: test.row(uuid)["ready_to_complete"] == 1)
        assert test.row(uuid)["migration_status"] == "queued"
        assert await affected(test, f"{ALTER} '{uuid}' complete vitess_shards '-80'") == 0
        assert await affected(test, f"{ALTER} '{uuid}' complete") == 1
        await test.until(uuid, Status.COMPLETE)
        assert await affected(test, f"{ALTER} '{uuid}' complete") == 0
        assert await affected(test, f"{ALTER} complete all") == 0


async def test_a_run_follows_what_is_said_of_it(mariadb: RealServer, database: str) -> None:
    async with executor_on(mariadb, database) as test:
        pt_osc = test.engines[Strategy.PT_OSC]
        uuid = await submit(test, "--postpone-completion", strategy="pt-osc")
        controls = (await pt_osc.next_run()).controls
        assert controls.postpone_completion
        assert await affected(test, f"{ALTER} '{uuid}' complete") == 1
        await eventually(lambda: not controls.postpone_completion)
        assert await affected(test, f"{ALTER} postpone complete all") == 1
        await eventually(lambda: controls.postpone_completion)
        assert await affected(test, f"{ALTER} '{uuid}' postpone complete") == 0
        assert await affected(test, f"{ALTER} '{uuid}' cutover_threshold '15s'") == 1
        assert await affected(test, f"{ALTER} '{uuid}' force_cutover") == 1
        assert await affected(test, f"{ALTER} force_cutover all") == 0
        await eventually(lambda: controls.force_cutover)
        assert controls.cutover_threshold_seconds == 15


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (4, "cut-over min value is 5s"),
        (31, "cut-over max value is 30s"),
        (11, "cut-over max value is 10s with gh-ost"),
        (7, "gh-ost takes its cut-over threshold when it starts"),
    ],
)
async def test_a_threshold_that_cannot_be_kept_is_refused(
    mariadb: RealServer, database: str, seconds: int, text: str
) -> None:
    async with executor_on(mariadb, database) as test:
        uuid = await submit(test)
        await test.engine.next_run()
        with pytest.raises(TabletdError, match=text) as caught:
            await run(test, f"{ALTER} '{uuid}' cutover_threshold '{seconds}s'")
    assert caught.value.reason is Reason.MIGRATION_REJECTED


async def test_a_threshold_that_none_may_have_is_refused_for_a_migration_that_is_not_there(
    mariadb: RealServer, database: str
) -> None:
    async with executor_on(mariadb, database) as test:
        unknown = create_uuid()
        assert await affected(test, f"{ALTER} '{unknown}' cutover_threshold '7s'") == 0
        with pytest.raises(TabletdError, match="cut-over min value is 5s"):
            await run(test, f"{ALTER} '{unknown}' cutover_threshold '1s'")


async def test_cancel_retry_and_clean_up_count_what_they_change(
    mariadb: RealServer, database: str
) -> None:
    async with executor_on(mariadb, database, script=completed) as test:
        assert await affected(test, f"{ALTER} cancel all") == 0
        with pytest.raises(TabletdError, match="Migration not found"):
            await run(test, f"{ALTER} '{create_uuid()}' cancel")
        assert await affected(test, f"{ALTER} '{create_uuid()}' retry") == 0
        held = [await submit(test, "--postpone-launch") for _ in range(2)]
        assert await affected(test, f"{ALTER} cancel all") == 2
        assert test.row(held[0])["message"] == "CANCEL ALL issued by user"
        test.server.query("UPDATE _vt.schema_migrations SET special_plan = '{}'")
        assert await affected(test, f"{ALTER} '{held[0]}' retry") == 1
        assert test.row(held[0])["special_plan"] == ""
        assert await affected(test, f"{ALTER} '{held[0]}' cancel") == 1
        assert test.row(held[0])["message"] == "CANCEL issued by user"
        assert await affected(test, f"{ALTER} '{held[1]}' cleanup") == 1
        assert await affected(test, f"{ALTER} cleanup all") == 1
        assert await affected(test, f"{ALTER} cleanup all") == 0
        assert test.row(held[0])["retain_artifacts_seconds"] == -1


async def test_migrations_are_shown_by_pattern_and_by_condition(
    any_server: RealServer, database: str
) -> None:
    async with executor_on(any_server, database) as test:
        first = await submit(test, "--postpone-launch", context="one")
        second = await submit(test, "--postpone-launch", context="two")
        for sql, expected in (
            ("show vitess_migrations", [first, second]),
            ("show vitess_migrations from ks", [first, second]),
            (f"show vitess_migrations like '{first}'", [first]),
            ("show vitess_migrations like 'tw%'", [second]),
            ("show vitess_migrations like 'queued'", [first, second]),
            ("show vitess_migrations where migration_context = 'one'", [first]),
        ):
            found = await run(test, sql)
            assert [row["migration_uuid"].decode() for row in found.dicts()] == expected
            assert found.rows_affected == len(expected)
        for sql in (
            "show vitess_migrations where id in (select 1 from mysql.user)",
            "show vitess_migrations where sleep(1)",
            "show vitess_migrations where 1 union select 1",
            "show vitess_migrations from other",
        ):
            with pytest.raises(TabletdError):
                await run(test, sql)


async def test_a_log_is_shown_whole_or_by_its_beginning_and_end(
    mariadb: RealServer, database: str, tmp_path: Path
) -> None:
    log = tmp_path / "migration.log"
    async with executor_on(mariadb, database) as test:
        uuid = await submit(test, "--postpone-launch")
        show = f"show vitess_migration '{uuid}' logs"
        with pytest.raises(TabletdError, match="has no log") as caught:
            await run(test, show)
        assert caught.value.reason is Reason.LOG_NOT_FOUND
        test.server.query(
            "UPDATE _vt.schema_migrations SET log_file = %s WHERE migration_uuid = %s",
            (str(log), uuid),
        )
        with pytest.raises(TabletdError, match="no log on this host any more"):
            await run(test, show)
        log.write_bytes(b"starting gh-ost \xff\n")
        assert (await run(test, show)).dicts() == [{"migration_log": b"starting gh-ost \xff\n"}]
        log.write_bytes(b"begin" + b"x" * 6_000_000 + b"end")
        ((shown,),) = (await run(test, show)).rows
    assert shown.startswith(b"beginx")
    assert shown.endswith(b"xend")
    assert b"bytes left out" in shown
    assert len(shown) < 5_000_000


class Rules:
    """Implements `commands.AppRules`, noting what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    async def throttle(self, app: str, *, ratio: float = 1, expire_seconds: float = -1) -> None:
        self.asked.append((app, ratio, expire_seconds))

    async def unthrottle(self, app: str) -> bool:
        self.asked.append((app,))
        return app == "online-ddl"

    def show(self) -> ResultSet:
        return text_result("app", b"online-ddl")


async def test_throttling_goes_to_the_rules_for_apps(mariadb: RealServer, database: str) -> None:
    rules, uuid = Rules(), create_uuid()
    door = ThrottlerDoor(rules, lambda shard: text_result("shard", shard.encode()))
    async with executor_on(mariadb, database, throttler=door) as test:
        assert await affected(test, f"{ALTER} '{uuid}' throttle expire '1m' ratio 0.5") == 1
        assert await affected(test, f"{ALTER} throttle all") == 1
        assert await affected(test, f"{ALTER} '{uuid}' unthrottle") == 0
        assert await affected(test, f"{ALTER} unthrottle all") == 1
        apps = await run(test, "show vitess_throttled_apps")
        status = await run(test, "show vitess_throttler status")
    assert rules.asked == [(uuid, 0.5, 60), ("online-ddl", 1, -1), (uuid,), ("online-ddl",)]
    assert (apps.rows, status.rows) == ([(b"online-ddl",)], [(b"0",)])


async def test_a_revert_takes_its_table_from_what_it_undoes(
    mariadb: RealServer, database: str
) -> None:
    async with executor_on(mariadb, database, script=completed) as test:
        created = await submit(test, sql="create table t (id int primary key)")
        await test.until(created, Status.COMPLETE)
        uuid = create_uuid()
        revert = f"revert vitess_migration '{created}'"
        sql = annotated(uuid, revert, strategy="online", options="--postpone-launch", table="")
        assert await affected(test, sql) == 1
        row = test.row(uuid)
        answer = await run(test, revert)
        own = test.row(answer.rows[0][0].decode())
    assert (row["reverted_uuid"], row["mysql_table"], row["ddl_action"]) == (created, "t", "drop")
    assert (row["migration_statement"], row["is_immediate_operation"]) == (revert, 1)
    assert answer.columns[0].name == "uuid"
    assert own["reverted_uuid"] == created


async def test_the_same_statement_in_one_context_is_done_once(
    mariadb: RealServer, database: str
) -> None:
    async with executor_on(mariadb, database, script=completed) as test:
        first = await submit(test)
        await test.until(first, Status.COMPLETE)
        again, elsewhere = await submit(test), await submit(test, context="other")
        row = await test.until(again, Status.COMPLETE)
        await test.until(elsewhere, Status.COMPLETE)
        assert len(test.engine.runs) == 2
    assert row["message"] == f"duplicate DDL as {first} for migration context ctx"


async def test_one_that_fails_takes_those_with_it_that_complete_behind_it(
    mariadb: RealServer, database: str
) -> None:
    settings = ExecutorSettings(max_concurrent=2, close_grace_seconds=5)
    options = "--in-order-completion --allow-concurrent"
    async with executor_on(mariadb, database, settings=settings) as test:
        first = await submit(test, options)
        run_of_first = await test.engine.next_run(1)
        second = await submit(test, options, sql="alter table u add c int", table="u")
        run_of_second = await test.engine.next_run(2)
        third = await submit(test, options, sql="drop table v", table="v")
        assert run_of_second.controls.completion_waits_for == f"the earlier migration {first}"
        await eventually(lambda: test.row(third)["in_order_completion_pending_count"] == 2)
        run_of_first.finish(Status.FAILED, "no")
        rows = [await test.until(uuid, Status.FAILED) for uuid in (second, third)]
        await eventually(run_of_second.stop.is_set)
    for row in rows:
        assert f"the earlier migration {first} of the same context is failed" in str(row["message"])


async def test_one_in_order_may_complete_when_it_is_the_first(
    mariadb: RealServer, database: str
) -> None:
    settings = ExecutorSettings(max_concurrent=2, close_grace_seconds=5)
    async with executor_on(mariadb, database, settings=settings) as test:
        await submit(test)
        run_of_first = await test.engine.next_run(1)
        second = await submit(
            test, "--in-order-completion", sql="alter table u add c int", table="u"
        )
        run_of_second = await test.engine.next_run(2)
        run_of_first.finish()
        await eventually(lambda: not run_of_second.controls.completion_waits_for)
        await eventually(lambda: test.row(second)["in_order_completion_pending_count"] == 0)


async def test_online_stands_for_what_the_operator_says(mariadb: RealServer, database: str) -> None:
    async with executor_on(mariadb, database) as test:
        with pytest.raises(TabletdError, match="offered are: direct, mysql, gh-ost, pt-osc"):
            await run(test, annotated(create_uuid(), strategy="vitess"))
    settings = ExecutorSettings(default_online_strategy=Strategy.PT_OSC)
    async with executor_on(mariadb, database, settings=settings) as test:
        uuid = await submit(test, "--postpone-launch", strategy="online")
        assert test.row(uuid)["strategy"] == "pt-osc"


async def test_a_replica_shows_and_changes_nothing(mariadb: RealServer, database: str) -> None:
    async with executor_on(mariadb, database) as test:
        await submit(test, "--postpone-launch")
    async with executor_on(mariadb, database, primary=False) as test:
        assert await affected(test, "show vitess_migrations") == 1
        for sql in (f"{ALTER} cancel all", annotated(create_uuid()), f"{ALTER} launch all"):
            with pytest.raises(TabletdError) as caught:
                await run(test, sql)
            assert caught.value.reason is Reason.NOT_PRIMARY


async def test_a_concurrent_one_begins_when_the_one_that_copies_is_ready(
    mariadb: RealServer, database: str
) -> None:
    async with executor_on(mariadb, database) as test:
        first = await submit(test, "--postpone-completion --allow-concurrent")
        run_of_first = await test.engine.next_run(1)
        other = {"sql": "alter table u add c int", "table": "u"}
        second = await submit(test, "--allow-concurrent", **other)
        await submit(test, sql="alter table v add c int", table="v")
        await run_of_first.record.ready_to_complete(True)
        run_of_second = await test.engine.next_run(2)
        assert run_of_second.migration.migration_uuid == second
        assert test.row(first)["ready_to_complete"] == 1
        assert run_of_second.controls.completion_waits_for == ""


async def test_where_no_migrations_are_wanted_none_is_taken_and_the_others_are_still_controlled(
    mariadb: RealServer, database: str
) -> None:
    async with executor_on(mariadb, database) as test:
        uuid = await submit(test, "--postpone-launch")
    async with executor_on(
        mariadb, database, settings=ExecutorSettings(enable_online_ddl=False)
    ) as test:
        for sql in (annotated(create_uuid()), f"revert vitess_migration '{uuid}'"):
            with pytest.raises(TabletdError, match="online DDL is disabled"):
                await run(test, sql)
        assert await affected(test, f"{ALTER} '{uuid}' cancel") == 1
