from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tabletd.executor.engines.base import EtaState, Progress
from tabletd.executor.names import create_uuid
from tabletd.executor.states import Status
from tabletd.executor.submit import NewMigration
from tabletd.executor.watch import Changed, News, Removed, Subscription, UpToDate, Watch, Wish
from tabletd.executor.watch_rows import MigrationReader, WatchedMigration
from tests.support.engines import ExecutorInTest, executor_on
from tests.support.servers import RealServer
from tests.support.waiting import eventually
from tests.support.watched import watch_over


@asynccontextmanager
async def watched_executor(
    server: RealServer, database: str
) -> AsyncGenerator[tuple[ExecutorInTest, Watch]]:
    async with (
        executor_on(server, database) as test,
        watch_over(MigrationReader(test.pool, test.executor.backlog)) as watch,
    ):
        test.executor.on_write(watch.wake)
        yield test, watch


async def submit(test: ExecutorInTest) -> str:
    uuid = create_uuid()
    await test.executor.submit(NewMigration(uuid, "ALTER TABLE t ADD c INT", "gh-ost"))
    return uuid


async def until(subscription: Subscription, status: Status, stage: str = "") -> WatchedMigration:
    async with asyncio.timeout(60):
        async for news in subscription:
            if not isinstance(news, Changed) or stage not in news.migration.stage:
                continue
            if news.migration.migration_status == status:
                return news.migration
    raise AssertionError("it ended")


async def first(subscription: Subscription) -> list[News]:
    async with asyncio.timeout(60):
        news = [await anext(subscription)]
        while not isinstance(news[-1], UpToDate):
            news.append(await anext(subscription))
    return news


async def test_a_migration_is_followed_from_its_beginning_to_its_end(
    any_server: RealServer, database: str
) -> None:
    async with watched_executor(any_server, database) as (test, watch):
        await test.executor.vexec("SELECT * FROM _vt.schema_migrations")
        async with watch.subscribe(Wish()) as subscription:
            await first(subscription)
            uuid = await submit(test)
            run = await test.engine.next_run()
            progress = Progress(
                "gh-ost: copying rows", 50, 200, 25.0, 30, EtaState.READY, backlog=7
            )
            await run.record.progress(progress)
            seen = await until(subscription, Status.RUNNING, "copying rows")
            assert (seen.migration_uuid, seen.rows_copied, seen.table_rows) == (uuid, 50, 200)
            assert (seen.progress, seen.eta_seconds, seen.eta_state) == (25.0, 30, EtaState.READY)
            assert seen.backlog == 7
            assert seen.started_timestamp is not None
            await run.record.progress(Progress("gh-ost: throttled", throttle_reason="lag 7 s"))
            seen = await until(subscription, Status.RUNNING, "throttled")
            assert (seen.component_throttled, seen.reason_throttled) == ("gh-ost", "lag 7 s")
            assert seen.last_throttled_timestamp is not None
            run.finish(old_table="_a_del")
            seen = await until(subscription, Status.COMPLETE)
            assert (seen.artifacts, seen.progress, seen.backlog) == ("_a_del,", 100.0, 0)
            assert (seen.component_throttled, seen.reason_throttled) == ("", "")


async def test_a_late_watcher_sees_what_has_ended_and_changes_of_it(
    any_server: RealServer, database: str
) -> None:
    async with watched_executor(any_server, database) as (test, watch):
        uuid = await submit(test)
        (await test.engine.next_run()).finish()
        await test.until(uuid, Status.COMPLETE)
        async with watch.subscribe(Wish(uuids=frozenset({uuid}))) as subscription:
            (seen,) = [one for one in await first(subscription) if isinstance(one, Changed)]
            assert seen.migration.migration_status == "complete"
            assert seen.migration.completed_timestamp is not None
        any_server.query(
            "UPDATE _vt.schema_migrations SET cleanup_timestamp = NOW() WHERE migration_uuid = %s",
            (uuid,),
        )
        wish = Wish(resume_series=watch.series, resume_after=seen.sequence)
        async with watch.subscribe(wish) as subscription:
            (seen,) = [one for one in await first(subscription) if isinstance(one, Changed)]
            assert seen.migration.cleanup_timestamp is not None


async def test_of_rows_that_wait_only_those_are_read_that_have_changed(
    any_server: RealServer, database: str
) -> None:
    async with executor_on(any_server, database) as test:
        for _ in range(2):
            new = NewMigration(
                create_uuid(), "ALTER TABLE t ADD c INT", "gh-ost", "--postpone-launch"
            )
            await test.executor.submit(new)
        reader = MigrationReader(test.pool, test.executor.backlog)
        rows, _ = await reader.changes((), 0)
        ids = [row.id for row in rows]

        async def changed() -> list[int]:
            return [row.id for row in (await reader.changes(ids, ids[-1]))[0]]

        async def are_quiet() -> bool:
            return not await changed()

        for assignment in (
            "rows_copied = 7",
            "progress = 12.5",
            "log_file = 'x'",
            "special_plan = 'x', log_file = ''",
            "ready_to_complete_timestamp = NOW()",
            "ready_to_complete_timestamp = NULL, cleanup_timestamp = NOW()",
        ):
            await eventually(are_quiet, what="what they wait for is written")
            any_server.query(
                f"UPDATE _vt.schema_migrations SET {assignment} WHERE id = %s", (ids[0],)
            )
            assert ids[0] in await changed()
        any_server.query("DELETE FROM _vt.schema_migrations WHERE id = %s", (ids[1],))
        assert (await reader.changes(ids, ids[-1]))[1] == {ids[1]}


async def test_a_row_that_somebody_deletes_is_told_as_removed(
    any_server: RealServer, database: str
) -> None:
    async with watched_executor(any_server, database) as (test, watch):
        uuid = await submit(test)
        (await test.engine.next_run()).finish()
        await test.until(uuid, Status.COMPLETE)
        async with watch.subscribe(Wish()) as subscription:
            last = (await first(subscription))[-1].sequence
        any_server.query("DELETE FROM _vt.schema_migrations WHERE migration_uuid = %s", (uuid,))
        wish = Wish(resume_series=watch.series, resume_after=last)
        async with watch.subscribe(wish) as subscription:
            (gone,) = [one for one in await first(subscription) if isinstance(one, Removed)]
            assert gone.migration.migration_uuid == uuid
