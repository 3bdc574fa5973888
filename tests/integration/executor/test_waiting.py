from __future__ import annotations

from datetime import datetime

from tabletd.executor.engines.base import Progress
from tabletd.executor.names import create_uuid
from tabletd.executor.states import Status
from tabletd.executor.submit import NewMigration
from tests.support.engines import ExecutorInTest, executor_on
from tests.support.servers import RealServer
from tests.support.waiting import eventually


async def submit(test: ExecutorInTest, table: str = "t", options: str = "") -> str:
    uuid = create_uuid()
    statement = f"ALTER TABLE {table} ADD c INT"
    await test.executor.submit(NewMigration(uuid, statement, "gh-ost", options))
    return uuid


async def told(test: ExecutorInTest, uuid: str, stage: str) -> dict[str, object]:
    await eventually(lambda: test.row(uuid)["stage"] == stage)
    return test.row(uuid)


async def test_the_row_of_one_that_waits_says_for_what_and_since_when(
    any_server: RealServer, database: str
) -> None:
    async with executor_on(any_server, database) as test:
        first = await submit(test)
        await test.engine.next_run()
        second = await submit(test, "u")
        row = await told(test, second, "gh-ost: waiting for a slot")
        assert str(row["message"]).startswith(f"Migration {first} runs, and")
        since = row["message_timestamp"]
        assert isinstance(since, datetime)
        # What is still so is not written anew.
        third = await submit(test, "v", "--postpone-launch")
        await told(test, third, "gh-ost: waiting to be launched")
        assert test.row(second)["message_timestamp"] == since


async def test_one_that_begins_or_is_cancelled_does_not_go_on_saying_that_it_waits(
    mariadb: RealServer, database: str
) -> None:
    async with executor_on(mariadb, database) as test:
        await submit(test)
        run = await test.engine.next_run()
        second, third = await submit(test, "u"), await submit(test, "v")
        for uuid in (second, third):
            await told(test, uuid, "gh-ost: waiting for a slot")
        await test.executor.cancel(third)
        row = test.row(third)
        assert (row["stage"], row["message"]) == ("gh-ost: cancelled", "CANCEL issued by user")
        run.finish()
        await test.engine.next_run(2)
        row = await test.until(second, Status.RUNNING)
        assert row["message"] == ""
        assert "waiting" not in str(row["stage"])


async def test_a_run_that_is_held_at_its_end_says_by_whom(
    mariadb: RealServer, database: str
) -> None:
    async with executor_on(mariadb, database) as test:
        uuid = await submit(test, options="--postpone-completion")
        run = await test.engine.next_run()
        await run.record.ready_to_complete(True)
        await eventually(lambda: test.row(uuid)["message"] != "")
        assert test.row(uuid)["message"] == (
            "Completion waits: it is postponed by its flag --postpone-completion. "
            f"ALTER VITESS_MIGRATION '{uuid}' COMPLETE lets it complete."
        )
        await test.executor.execute_statement(f"ALTER VITESS_MIGRATION '{uuid}' COMPLETE")
        await eventually(lambda: test.row(uuid)["message"] == "")


async def test_a_run_that_is_throttled_says_so_as_long_as_it_is(
    mariadb: RealServer, database: str
) -> None:
    async with executor_on(mariadb, database) as test:
        uuid = await submit(test)
        run = await test.engine.next_run()
        throttled = Progress("gh-ost: throttled", throttle_reason="replica a: lag 7 s")
        await run.record.progress(throttled)
        row = test.row(uuid)
        assert row["message"] == "Throttled: replica a: lag 7 s. It goes on by itself."
        later = Progress("gh-ost: throttled", throttle_reason="replica a: lag 9 s")
        await run.record.progress(later)
        assert test.row(uuid)["message"] == "Throttled: replica a: lag 9 s. It goes on by itself."
        assert test.row(uuid)["message_timestamp"] == row["message_timestamp"]
        await run.record.progress(Progress("gh-ost: copying rows"))
        assert test.row(uuid)["message"] == ""
        await run.record.progress(throttled)
        await run.record.stage("gh-ost: cutting over", "connection 7 holds the lock")
        await run.record.progress(Progress("gh-ost: cutting over"))
        assert test.row(uuid)["message"] == "connection 7 holds the lock"
