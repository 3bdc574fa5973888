"""What an earlier daemon left at work is looked after like what this one has started."""

from __future__ import annotations

import asyncio

import pytest

from tabletd.executor.engines.base import Outcome
from tabletd.executor.executor import ExecutorSettings
from tabletd.executor.states import Status
from tests.integration.executor.test_lifecycle import submit
from tests.support.engines import ALIAS, ExecutorInTest, FakeRun, begin, executor_on
from tests.support.servers import RealServer
from tests.support.waiting import eventually

DYING = ExecutorSettings(close_grace_seconds=0.01)


async def leave_at_work(server: RealServer, database: str, tablet: str = ALIAS) -> str:
    """Submit a migration and let its daemon die while it runs."""
    async with executor_on(server, database, settings=DYING, tablet=tablet) as test:
        uuid = await submit(test)
        run = await test.engine.next_run()
        run.may_clean.clear()
    return uuid


async def adoption(test: ExecutorInTest) -> FakeRun:
    """Become the primary beside a tool that is at work, and return its run."""
    test.engine.is_at_work = True
    await test.executor.make_primary()
    await eventually(lambda: test.engine.adoptions)
    return test.engine.adoptions[0]


async def test_a_tool_at_work_is_taken_over_steered_and_completed(
    any_server: RealServer, database: str
) -> None:
    uuid = await leave_at_work(any_server, database)
    settings = ExecutorSettings(max_concurrent=2, close_grace_seconds=5)
    async with executor_on(any_server, database, primary=False, settings=settings) as test:
        run = await adoption(test)
        other = await submit(test, "u")
        await test.until(other, Status.RUNNING)
        await test.executor.execute_statement(f"alter vitess_migration '{uuid}' postpone complete")
        await eventually(lambda: run.controls.postpone_completion)
        assert test.row(uuid)["migration_status"] == "running"
        run.finish()
        await test.until(uuid, Status.COMPLETE)
        assert test.row(uuid)["run_nonce"] == ""
        assert test.engine.recoveries == []


async def test_a_postponed_run_is_taken_over_as_postponed(
    mariadb: RealServer, database: str
) -> None:
    uuid = await leave_at_work(mariadb, database)
    mariadb.query("UPDATE _vt.schema_migrations SET postpone_completion = 1")
    async with executor_on(mariadb, database, primary=False) as test:
        run = await adoption(test)
        assert run.controls.postpone_completion
        assert await test.executor.cancel(uuid) == 1
        await eventually(run.stop.is_set)


async def test_a_run_that_waited_for_a_daemon_for_days_is_taken_over_and_not_stale(
    mariadb: RealServer, database: str
) -> None:
    uuid = await leave_at_work(mariadb, database)
    mariadb.query("UPDATE _vt.schema_migrations SET liveness_timestamp = NOW() - INTERVAL 3 DAY")
    async with executor_on(mariadb, database, primary=False) as test:
        run = await adoption(test)
        run.finish()
        await test.until(uuid, Status.COMPLETE)


@pytest.mark.parametrize("is_cancelled", [True, False], ids=["cancelled", "of another tablet"])
async def test_what_is_not_wanted_or_not_of_this_tablet_is_settled_and_not_taken_over(
    mariadb: RealServer, database: str, is_cancelled: bool
) -> None:
    uuid = await leave_at_work(mariadb, database, ALIAS if is_cancelled else "zone1-0000000199")
    if is_cancelled:
        mariadb.query("UPDATE _vt.schema_migrations SET migration_status = 'cancelled'")
    async with executor_on(mariadb, database, primary=False) as test:
        test.engine.is_at_work = True
        await test.executor.make_primary()
        await eventually(lambda: test.engine.recoveries)
        assert test.engine.recoveries[0].migration.migration_uuid == uuid
        assert test.engine.adoptions == []


async def test_a_run_that_has_not_begun_keeps_no_daemon_from_ending_and_starts_again(
    mariadb: RealServer, database: str
) -> None:
    async def asks_for_ever(run: FakeRun) -> Outcome:
        run.begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    patient = ExecutorSettings(close_grace_seconds=3600)
    async with executor_on(mariadb, database, script=asks_for_ever, settings=patient) as test:
        uuid = await submit(test)
        await test.engine.next_run()
        async with asyncio.timeout(60):
            await test.executor.close(detach=True)
        assert test.row(uuid)["migration_status"] == "running"
    async with executor_on(mariadb, database) as test:
        (await test.engine.next_run()).finish()
        await test.until(uuid, Status.COMPLETE)


async def test_a_complete_run_that_could_not_be_cleaned_up_is_cleaned_up_later(
    mariadb: RealServer, database: str
) -> None:
    async def swap_and_lose_the_server(run: FakeRun) -> Outcome:
        await begin(run)
        return Outcome(Status.COMPLETE, "swapped", "_t_del")

    async def clean_up(run: FakeRun) -> Outcome:
        await run.record.end()
        return Outcome(Status.COMPLETE, "found swapped", "_t_del")

    async with executor_on(mariadb, database, script=swap_and_lose_the_server) as test:
        test.engine.recovery = clean_up
        uuid = await submit(test)
        await eventually(lambda: test.row(uuid)["run_nonce"] == "" and test.engine.recoveries)
        row = test.row(uuid)
        assert (row["migration_status"], row["message"]) == ("complete", "swapped")
        assert row["artifacts"] == "_t_del,"
