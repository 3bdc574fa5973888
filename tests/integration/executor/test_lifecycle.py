from __future__ import annotations

import asyncio
import dataclasses

import pytest

from tabletd.errors import (
    ExecutorMigrationAlreadyRunning,
    ExecutorNotWritableTablet,
    LostRace,
    MySQLUnavailable,
    Reason,
    TabletdError,
)
from tabletd.executor.engines.base import EtaState, Outcome, Progress
from tabletd.executor.executor import ExecutorSettings
from tabletd.executor.migration import Migration, Strategy
from tabletd.executor.names import create_uuid
from tabletd.executor.states import Status
from tabletd.executor.submit import NewMigration
from tests.support.engines import (
    TOKEN,
    ExecutorInTest,
    FakeRun,
    begin,
    completed,
    executor_on,
)
from tests.support.servers import Pair, RealServer
from tests.support.waiting import eventually


async def submit(
    test: ExecutorInTest, table: str = "t", strategy: str = "gh-ost", statement: str = ""
) -> str:
    uuid = create_uuid()
    await test.executor.submit(
        NewMigration(uuid, statement or f"ALTER TABLE {table} ADD c INT", strategy)
    )
    return uuid


async def impossible(run: FakeRun) -> Outcome | None:
    raise TabletdError(Reason.MISSING_GRANT, "cannot drop the triggers")


async def test_a_migration_runs_at_once_and_ends_complete_with_its_facts(
    any_server: RealServer, database: str
) -> None:
    async with executor_on(any_server, database) as test:
        uuid = await submit(test)
        run = await test.engine.next_run()
        assert run.migration.status is Status.RUNNING
        row = test.row(uuid)
        assert row["run_nonce"] != ""
        assert row["ready_timestamp"] is not None
        assert row["started_timestamp"] is not None
        await run.record.add_artifacts("_a_gho", "_a_ghc")
        await run.record.add_artifacts("_a_ghc", "_a_del")
        assert test.row(uuid)["artifacts"] == "_a_gho,_a_ghc,_a_del,"
        await run.record.progress(
            Progress("gh-ost: copying rows", 50, 200, 25.0, 30, EtaState.READY, "lag 7s")
        )
        row = test.row(uuid)
        assert (row["rows_copied"], row["table_rows"], row["progress"]) == (50, 200, 25)
        assert (row["eta_seconds"], row["reason_throttled"]) == (30, "lag 7s")
        assert row["component_throttled"] == "gh-ost"
        assert row["last_throttled_timestamp"] is not None
        run.finish(old_table="_a_del")
        row = await test.until(uuid, Status.COMPLETE)
        assert row["artifacts"] == "_a_del,"
        assert (row["progress"], row["eta_seconds"], row["run_nonce"]) == (100, 0, "")
        assert row["completed_timestamp"] is not None
        assert row["stage"] == "gh-ost: complete"
        counts = {"StartedMigrations": 1, "SuccessfulMigrations": 1}
        counts |= {"AdoptedMigrations": 0, "FailedMigrations": 0}
        await eventually(lambda: counts.items() <= test.registry.export().items())


async def test_the_engine_is_that_of_the_strategy_for_an_alter_and_direct_for_the_rest(
    mariadb: RealServer, database: str
) -> None:
    async with executor_on(mariadb, database, script=completed) as test:
        altered = await submit(test, strategy="pt-osc")
        created = await submit(test, strategy="gh-ost", statement="CREATE TABLE n (a INT)")
        await test.until(altered, Status.COMPLETE)
        await test.until(created, Status.COMPLETE)
        assert len(test.engines[Strategy.PT_OSC].runs) == 1
        assert len(test.engines[Strategy.DIRECT].runs) == 1


@pytest.mark.parametrize("bug", [False, True])
async def test_a_refusal_fails_the_row_with_its_text_and_hint(
    mariadb: RealServer, database: str, bug: bool
) -> None:
    async def refuse(run: FakeRun) -> Outcome:
        if bug:
            raise ZeroDivisionError("secret text")
        raise TabletdError(Reason.PREFLIGHT_REFUSED, "the table has no key", hint="add one")

    async with executor_on(mariadb, database, script=refuse) as test:
        uuid = await submit(test)
        row = await test.until(uuid, Status.FAILED)
        message = str(row["message"])
        assert (
            message.startswith("internal error")
            if bug
            else message == ("the table has no key (add one)")
        )
        assert "secret" not in message
        assert row["completed_timestamp"] is not None
        await eventually(lambda: test.registry.export()["FailedMigrations"] == 1)


async def test_a_message_that_is_too_long_is_cut_with_an_ellipsis(
    any_server: RealServer, database: str
) -> None:
    async with executor_on(any_server, database) as test:
        uuid = await submit(test)
        run = await test.engine.next_run()
        run.finish(Status.FAILED, "😀" * 20_000)
        message = str((await test.until(uuid, Status.FAILED))["message"])
        assert len(message) == 16_383
        assert message.endswith("😀 ...")


async def test_never_two_on_one_table_and_never_more_than_allowed(
    mariadb: RealServer, database: str
) -> None:
    settings = ExecutorSettings(max_concurrent=2, close_grace_seconds=5)
    async with executor_on(mariadb, database, settings=settings) as test:
        first = await submit(test, "t")
        second = await submit(test, "t")
        third = await submit(test, "u")
        fourth = await submit(test, "v")
        await test.until(first, Status.RUNNING)
        await test.until(third, Status.RUNNING)
        assert test.row(second)["migration_status"] == "queued"
        assert test.row(fourth)["migration_status"] == "queued"
        (await test.engine.next_run(1)).finish()
        await test.until(second, Status.RUNNING)
        assert test.row(fourth)["migration_status"] == "queued"


async def test_a_cancelled_migration_is_not_started_again_while_its_run_is_cleaned_up(
    any_server: RealServer, database: str
) -> None:
    async with executor_on(any_server, database) as test:
        uuid = await submit(test)
        run = await test.engine.next_run()
        run.may_clean.clear()
        assert await test.executor.cancel(uuid) == 1
        await asyncio.wait_for(run.cleaning.wait(), 60)
        await run.record.add_artifacts("_late_gho")
        await run.record.progress(Progress("gh-ost: copying rows", percent=50.0))
        row = test.row(uuid)
        assert row["message"] == "CANCEL issued by user"
        assert row["stage"] == "gh-ost: cancelled, cleaning up"
        assert await test.executor.retry(uuid) == 1
        other = await submit(test, "t")
        assert test.row(uuid)["migration_status"] == "queued"
        run.may_clean.set()
        again = await test.engine.next_run(2)
        assert again.migration.migration_uuid == uuid
        assert test.row(other)["migration_status"] == "queued"
        assert test.row(uuid)["artifacts"] == ""


async def test_a_swap_that_was_faster_than_the_cancel_ends_complete(
    mariadb: RealServer, database: str
) -> None:
    async with executor_on(mariadb, database) as test:
        uuid = await submit(test)
        run = await test.engine.next_run()
        run.may_clean.clear()
        await test.executor.cancel(uuid)
        await asyncio.wait_for(run.cleaning.wait(), 60)
        await test.executor.retry(uuid)
        run.finish()
        run.may_clean.set()
        row = await test.until(uuid, Status.COMPLETE)
        assert "before the cancel took effect" in str(row["message"])
        assert row["run_nonce"] == ""
        assert len(test.engine.runs) == 1


async def test_close_ends_the_tool_and_the_next_start_runs_it_again(
    any_server: RealServer, database: str
) -> None:
    async with executor_on(any_server, database) as test:
        uuid = await submit(test)
        await test.engine.next_run()
    row = test.row(uuid)
    assert (row["migration_status"], row["run_nonce"], row["retries"]) == ("queued", "", 0)
    assert row["started_timestamp"] is None
    async with executor_on(any_server, database, script=completed) as test:
        await test.until(uuid, Status.COMPLETE)


@pytest.mark.parametrize("tablet", ["zone1-0000000101", "zone1-0000000100"])
async def test_a_killed_daemons_run_is_recovered_before_anything_starts(
    any_server: RealServer, database: str, tablet: str
) -> None:
    settings = ExecutorSettings(close_grace_seconds=0.01)
    async with executor_on(any_server, database, settings=settings, tablet=tablet) as test:
        uuid = await submit(test)
        run = await test.engine.next_run()
        run.may_clean.clear()
        waiting = await submit(test, "u")
    assert test.row(uuid)["migration_status"] == "running"
    async with executor_on(any_server, database) as test:
        again = await test.engine.next_run()
        assert [left.migration.migration_uuid for left in test.engine.recoveries] == [uuid]
        assert again.migration.migration_uuid == uuid
        assert test.row(waiting)["migration_status"] == "queued"
        is_mine = tablet == "zone1-0000000101"
        assert test.row(uuid)["retries"] == (0 if is_mine else 1)


async def test_a_tablet_failure_is_retried_once_and_then_stays_failed(
    mariadb: RealServer, database: str
) -> None:
    uuid = ""
    for tablet in ("zone1-0000000100", "zone1-0000000102"):
        settings = ExecutorSettings(close_grace_seconds=0.01)
        async with executor_on(mariadb, database, settings=settings, tablet=tablet) as test:
            uuid = uuid or await submit(test)
            run = await test.engine.next_run()
            run.may_clean.clear()
    async with executor_on(mariadb, database) as test:
        row = await test.until(uuid, Status.FAILED)
        assert (row["retries"], row["tablet_failure"]) == (1, 1)
        assert "zone1-0000000102" in str(row["message"])
        await submit(test, "u")
        run = await test.engine.next_run()
        assert run.migration.mysql_table == "u"


async def test_a_left_run_that_had_swapped_the_tables_is_complete(
    mariadb: RealServer, database: str
) -> None:
    settings = ExecutorSettings(close_grace_seconds=0.01)
    async with executor_on(mariadb, database, settings=settings) as test:
        uuid = await submit(test)
        (await test.engine.next_run()).may_clean.clear()

    async def swapped(run: FakeRun) -> Outcome:
        await run.record.end()
        return Outcome(Status.COMPLETE, "found swapped", "_t_del")

    async with executor_on(mariadb, database, primary=False) as test:
        test.engine.recovery = swapped
        await test.executor.make_primary()
        row = await test.until(uuid, Status.COMPLETE)
        assert (row["message"], row["artifacts"]) == ("found swapped", "_t_del,")
        assert not test.engine.runs


async def test_a_run_that_cannot_be_recovered_becomes_stale_and_holds_its_table(
    mariadb: RealServer, database: str
) -> None:
    settings = ExecutorSettings(close_grace_seconds=0.01)
    async with executor_on(mariadb, database, settings=settings) as test:
        uuid = await submit(test)
        (await test.engine.next_run()).may_clean.clear()
    mariadb.query(
        "UPDATE _vt.schema_migrations SET liveness_timestamp = NOW() - INTERVAL 11 MINUTE"
    )

    settings = ExecutorSettings(stale_seconds=600, close_grace_seconds=1, max_concurrent=2)
    async with executor_on(mariadb, database, settings=settings, primary=False) as test:
        test.engine.recovery = impossible
        await test.executor.make_primary()
        row = await test.until(uuid, Status.FAILED)
        assert "no sign of life for 11 minutes" in str(row["message"])
        assert row["run_nonce"] != ""
        same_table = await submit(test, "t")
        other = await submit(test, "u")
        await test.until(other, Status.RUNNING)
        assert test.row(same_table)["migration_status"] == "queued"


async def test_an_old_liveness_of_a_run_that_is_looked_after_is_not_stale(
    mariadb: RealServer, database: str
) -> None:
    settings = ExecutorSettings(stale_seconds=600, close_grace_seconds=5)
    async with executor_on(mariadb, database, settings=settings) as test:
        uuid = await submit(test)
        run = await test.engine.next_run()
        mariadb.query(
            "UPDATE _vt.schema_migrations SET liveness_timestamp = NOW() - INTERVAL 1 DAY"
        )
        await submit(test, "u")
        run.finish()
        await test.until(uuid, Status.COMPLETE)


async def test_a_server_that_went_away_leaves_the_run_to_recovery(
    mariadb: RealServer, database: str
) -> None:
    async def lose(run: FakeRun) -> Outcome:
        await begin(run)
        raise MySQLUnavailable("the connection was lost")

    async with executor_on(mariadb, database, script=lose) as test:
        uuid = await submit(test)
        await eventually(lambda: test.engine.runs)
        test.engine.script = completed
        assert test.row(uuid)["migration_status"] == "running"
        await eventually(lambda: test.engine.recoveries)
        await test.until(uuid, Status.COMPLETE)


async def test_a_role_change_stops_the_tool_and_leaves_the_row_to_the_next_primary(
    mariadb: RealServer, database: str
) -> None:
    async with executor_on(mariadb, database) as test:
        uuid = await submit(test)
        run = await test.engine.next_run()
        mariadb.query("SET GLOBAL read_only = 1")
        before = mariadb.gtid_executed()
        await test.executor.make_non_primary()
        await asyncio.wait_for(run.cleaning.wait(), 60)
        assert mariadb.gtid_executed() == before
        assert test.row(uuid)["migration_status"] == "running"
        mariadb.query("SET GLOBAL read_only = 0")
        await test.executor.make_primary()
        await test.engine.next_run(2)
        assert len(test.engine.recoveries) == 1


async def test_a_promoted_replica_settles_the_former_primarys_run_and_retries_it_once(
    any_pair: Pair, database: str
) -> None:
    primary, replica = any_pair.primary, any_pair.replica
    async with executor_on(primary, database) as former:
        uuid = await submit(former)
        run = await former.engine.next_run()
        await asyncio.to_thread(primary.query, "SET GLOBAL read_only = 1")
        await former.executor.make_non_primary()
        await asyncio.wait_for(run.cleaning.wait(), 60)
        await asyncio.to_thread(any_pair.catch_up)
    await asyncio.to_thread(replica.script, "STOP SLAVE", "SET GLOBAL read_only = 0")
    async with executor_on(replica, database, tablet="zone1-0000000102") as test:
        again = await test.engine.next_run()
        assert again.migration.migration_uuid == uuid
        assert [left.migration.tablet for left in test.engine.recoveries] == ["zone1-0000000101"]
        row = test.row(uuid)
        assert (row["retries"], row["tablet"]) == (1, "zone1-0000000102")
        again.finish()
        await test.until(uuid, Status.COMPLETE)


async def test_a_claim_that_a_killed_daemon_never_used_goes_back(
    mariadb: RealServer, database: str
) -> None:
    async with executor_on(mariadb, database, primary=False) as test:
        await test.executor.make_primary()
        uuid = await submit(test)
        (await test.engine.next_run()).finish()
        await test.until(uuid, Status.COMPLETE)
    for tablet, retries in (("zone1-0000000101", 0), ("zone1-0000000100", 1)):
        mariadb.query(
            "UPDATE _vt.schema_migrations SET migration_status = 'running', tablet = %s,"
            " run_nonce = '', completed_timestamp = NULL",
            (tablet,),
        )
        async with executor_on(mariadb, database, script=completed) as test:
            row = await test.until(uuid, Status.COMPLETE)
            assert row["retries"] == retries


async def test_the_loser_of_a_race_changes_nothing(mariadb: RealServer, database: str) -> None:
    async with executor_on(mariadb, database) as test:
        uuid = await submit(test)
        run = await test.engine.next_run()
        mariadb.query("UPDATE _vt.schema_migrations SET run_nonce = 'another'")
        with pytest.raises(LostRace):
            await run.record.progress(Progress("gh-ost: copying rows"))
        with pytest.raises(LostRace):
            await run.record.add_artifacts("_x")
        with pytest.raises(LostRace):
            await begin(run)
        test.engine.recovery = impossible
        run.finish()
        await eventually(lambda: test.engine.recoveries)
        row = test.row(uuid)
        assert row["run_nonce"] == "another"
        assert row["migration_status"] == "running"


async def test_a_row_cancelled_behind_our_back_is_stopped(
    mariadb: RealServer, database: str
) -> None:
    async with executor_on(mariadb, database) as test:
        await submit(test)
        run = await test.engine.next_run()
        mariadb.query("UPDATE _vt.schema_migrations SET migration_status = 'cancelled'")
        await submit(test, "u")
        await asyncio.wait_for(run.stop.wait(), 60)


async def test_an_unsupported_strategy_in_a_foreign_row_fails_it(
    mariadb: RealServer, database: str
) -> None:
    async with executor_on(mariadb, database) as test:
        await submit(test)
        run = await test.engine.next_run()
        foreign = await submit(test, "u")
        mariadb.query(
            "UPDATE _vt.schema_migrations SET strategy = 'vitess' WHERE migration_uuid = %s",
            (foreign,),
        )
        run.finish()
        row = await test.until(foreign, Status.FAILED)
        assert "the strategy 'vitess' is not offered here" in str(row["message"])


async def test_execute_with_runs_one_now_or_says_why_not(
    mariadb: RealServer, database: str
) -> None:
    async with executor_on(mariadb, database) as test:
        first, second = await submit(test), await submit(test, "u")
        run = await test.engine.next_run()
        queued = Migration(
            id=0,
            migration_uuid=second,
            keyspace="ks",
            shard="0",
            mysql_schema=database,
            mysql_table="u",
            migration_statement="",
            strategy=Strategy.PT_OSC,
        )
        with pytest.raises(ExecutorMigrationAlreadyRunning):
            await test.executor.execute_with_ghost(queued)
        await test.executor.make_non_primary()
        with pytest.raises(ExecutorNotWritableTablet):
            await test.executor.execute_with_ptosc(queued)
        await eventually(run.cleaning.is_set)
        mariadb.query("UPDATE _vt.schema_migrations SET run_nonce='', migration_status='failed'")
        assert test.row(first)["migration_status"] == "failed"
        await test.executor.make_primary()
        assert await test.executor.retry(second) == 1
        await test.until(second, Status.RUNNING)
        await test.executor.cancel(second)
        await eventually(lambda: test.row(second)["run_nonce"] == "")
        unknown = dataclasses.replace(queued, migration_uuid=create_uuid())
        with pytest.raises(TabletdError, match="Migration not found"):
            await test.executor.execute_with_ptosc(unknown)


async def test_reports_are_signs_of_life_and_late_ones_change_nothing(
    any_server: RealServer, database: str
) -> None:
    async with executor_on(any_server, database) as test:
        report = test.executor.on_schema_migration_status
        uuid = await submit(test)
        run = await test.engine.next_run()
        await report(uuid, "running", "false", "12.5", token=TOKEN, eta_seconds=9, rows_copied=7)
        row = test.row(uuid)
        assert (row["progress"], row["eta_seconds"], row["rows_copied"]) == (12.5, 9, 7)
        for absurd in ("nan", "inf", "-1", "101", "x", ""):
            await report(uuid, "running", False, absurd, token=TOKEN, eta_seconds=-5)
        assert test.row(uuid)["progress"] == 12.5
        await report(uuid, "complete", "true", token=TOKEN)
        await report(uuid, "running", "false", 40, token=TOKEN)
        await report(uuid, "complete", "false", 99, token=TOKEN)
        # Its answer may have got lost; whoever repeats it changes nothing.
        await report(uuid, "complete", "false", 100, token=TOKEN, rows_copied=1)
        for other in ("failed", "running"):
            with pytest.raises(TabletdError, match="has reported complete already") as caught:
                await report(uuid, other, "false", 3, token=TOKEN)
            assert caught.value.reason is Reason.ILLEGAL_TRANSITION
        row = test.row(uuid)
        assert (row["progress"], row["rows_copied"]) == (99, 7)
        assert test.row(uuid)["migration_status"] == "running"
        with pytest.raises(TabletdError, match="Migration not found"):
            await report(create_uuid(), "complete", False, token="x")
        for token, reason in (("", Reason.UNAUTHENTICATED), ("x", Reason.PERMISSION_DENIED)):
            with pytest.raises(TabletdError) as caught:
                await report(uuid, "running", False, token=token)
            assert caught.value.reason is reason
        with pytest.raises(TabletdError, match="running, complete or failed, not 'resurrected'"):
            await report(uuid, "resurrected", False, token=TOKEN)
        run.finish(Status.FAILED, "the cause")
        await test.until(uuid, Status.FAILED)
        await report(uuid, "complete", "false", 100, token=TOKEN)
        await report(uuid, "running", "false", 5, token=TOKEN)
        row = test.row(uuid)
        assert (row["migration_status"], row["message"]) == ("failed", "the cause")
