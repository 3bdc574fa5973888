from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from tabletd.errors import LostRace, MigrationNotFound, Reason, TabletdError
from tabletd.executor.names import create_uuid
from tabletd.executor.reads import (
    COLLECTABLE_SQL,
    PENDING_SQL,
    TABLET_FAILURES_SQL,
    UNSETTLED_SQL,
)
from tabletd.executor.states import Command, Status
from tabletd.executor.store import Store
from tabletd.mysql.pool import Pool
from tabletd.mysql.sidecar import ensure_sidecar
from tests.conftest import StartServer
from tests.support.pools import pool_of
from tests.support.servers import RealServer
from tests.support.submissions import submission

_DIGITS = "(SELECT 0 d " + "".join(f"UNION SELECT {digit} " for digit in range(1, 10)) + ")"


async def queue(pool: Pool) -> tuple[Store, str]:
    async with pool.session() as session:
        await ensure_sidecar(session)
    uuid = create_uuid()
    store = Store(pool, tablet="zone1-0000000101")
    new = submission(uuid, statement="ALTER TABLE t COMMENT '😀 %s'")
    result = await store.insert(new, shard="0")
    assert result.rows_affected == 1
    return store, uuid


async def test_one_of_many_claims_wins(any_server: RealServer) -> None:
    async with pool_of(any_server, size_max=8) as pool:
        store, uuid = await queue(pool)
        await store.transition(uuid, Command.SCHEDULE)
        claims = [store.transition(uuid, Command.CLAIM, run_nonce="") for _ in range(8)]
        results = await asyncio.gather(*claims, return_exceptions=True)
        assert results.count(None) == 1
        for result in results:
            assert result is None or isinstance(result, TabletdError)


async def test_a_row_is_read_as_it_was_written(any_server: RealServer) -> None:
    async with pool_of(any_server) as pool:
        store, uuid = await queue(pool)
        migration = await store.read(uuid)
        assert migration.migration_statement == "ALTER TABLE t COMMENT '😀 %s'"
        assert migration.status is Status.QUEUED
        assert migration.requested_timestamp is not None
        assert migration.eta_seconds == -1
        with pytest.raises(MigrationNotFound):
            await store.read(create_uuid())


async def test_what_becomes_of_a_migration_is_in_the_log(
    any_server: RealServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tabletd.executor.store")
    async with pool_of(any_server) as pool:
        store, uuid = await queue(pool)
        await store.transition(uuid, Command.SCHEDULE)
        await store.transition(uuid, Command.CLAIM)
        await store.transition(uuid, Command.FAIL, message="no such table")
        with pytest.raises(TabletdError):
            await store.transition(uuid, Command.COMPLETE)
    assert [(one.levelname, one.message) for one in caplog.records] == [
        ("INFO", f"migration {uuid}: ready"),
        ("INFO", f"migration {uuid}: running"),
        ("WARNING", f"migration {uuid}: failed: no such table"),
    ]


async def test_a_command_that_does_not_apply_changes_nothing(any_server: RealServer) -> None:
    async with pool_of(any_server) as pool:
        store, uuid = await queue(pool)
        for command in (Command.COMPLETE, Command.RETRY, Command.REQUEUE, Command.CLAIM):
            with pytest.raises(TabletdError) as caught:
                await store.transition(uuid, command)
            assert caught.value.reason is Reason.ILLEGAL_TRANSITION
        with pytest.raises(LostRace):
            await store.transition(uuid, Command.SCHEDULE, run_nonce="another")
        with pytest.raises(MigrationNotFound):
            await store.transition(create_uuid(), Command.CANCEL)
        assert (await store.read(uuid)).status is Status.QUEUED


async def test_nothing_is_written_when_read_only_is_set_after_the_look_at_it(
    any_server: RealServer,
) -> None:
    async with pool_of(any_server, size_max=8) as pool:
        store, uuid = await queue(pool)
        stop = asyncio.Event()

        async def write() -> None:
            while not stop.is_set():
                for command in (Command.SCHEDULE, Command.CANCEL, Command.RETRY):
                    with contextlib.suppress(TabletdError):
                        await store.transition(uuid, command)

        async with asyncio.TaskGroup() as group:
            group.create_task(write())
            for _ in range(25):
                await asyncio.to_thread(any_server.query, "SET GLOBAL read_only = 1")
                before = await asyncio.to_thread(any_server.gtid_executed)
                await asyncio.sleep(0.01)
                assert await asyncio.to_thread(any_server.gtid_executed) == before
                await asyncio.to_thread(any_server.query, "SET GLOBAL read_only = 0")
            stop.set()


async def test_a_statement_logged_queue_works_too(start_server: StartServer) -> None:
    options = ("--binlog-format=STATEMENT",)
    server = await asyncio.to_thread(start_server, "mariadb", options=options)
    async with pool_of(server) as pool:
        store, uuid = await queue(pool)
        await store.transition(uuid, Command.SCHEDULE)
        assert (await store.read(uuid)).status is Status.READY


async def test_what_does_not_fit_is_refused_and_not_cut(any_server: RealServer) -> None:
    async with pool_of(any_server) as pool:
        store, uuid = await queue(pool)
        await store.transition(uuid, Command.SCHEDULE)
        await store.transition(uuid, Command.CLAIM)
        with pytest.raises(TabletdError) as caught:
            await store.begin_run(uuid, {"run_nonce": "n", "run_directory": "x" * 1025})
        assert caught.value.reason is Reason.INVALID_REQUEST
        assert (await store.read(uuid)).run_nonce == ""


async def test_a_tick_reads_pending_rows_only_whatever_has_finished(
    any_server: RealServer,
) -> None:
    async with pool_of(any_server) as pool:
        store, uuid = await queue(pool)
        any_server.script(
            "INSERT INTO _vt.schema_migrations (migration_uuid, keyspace, shard, mysql_schema,"
            " mysql_table, migration_statement, strategy, options, migration_status, log_path,"
            " artifacts, message, removed_unique_key_names, dropped_no_default_column_names,"
            " expanded_column_names, revertible_notes, removed_foreign_key_names, special_plan,"
            " component_throttled, reason_throttled, stage, completed_timestamp,"
            " cleanup_timestamp) SELECT CONCAT(a.d, b.d, c.d, e.d), 'ks', '0', 'db', 't', 'x',"
            " 'gh-ost', '', IF(a.d < 8, 'complete', 'failed'), '', '', '', '', '', '', '', '', '',"
            " '', '', '', NOW(6), IF(b.d < 9, NOW(), NULL)"
            f" FROM {_DIGITS} a, {_DIGITS} b, {_DIGITS} c, {_DIGITS} e",
            "ANALYZE TABLE _vt.schema_migrations",
        )
        pending, unsettled, failures = await store.candidates()
        assert [row.migration_uuid for row in pending] == [uuid]
        assert unsettled == failures == ()
        for sql in (
            PENDING_SQL,
            UNSETTLED_SQL,
            TABLET_FAILURES_SQL,
            COLLECTABLE_SQL.replace("%s SECOND", "86400 SECOND").replace("%s", "50"),
        ):
            (plan,) = any_server.records(f"EXPLAIN {sql}")
            assert plan["key"] is not None, sql
            assert int(plan["rows"]) < 100, sql
