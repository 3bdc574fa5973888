"""A migration that waits to complete: postponed, completed, forced, ended with its daemon."""

from __future__ import annotations

import asyncio
from contextlib import closing

import grpc.aio
import pytest

from tabletd.sandbox.vexec_client import Record, VExecClient
from tabletd_pb import tabletmanagerdata_pb2, tabletmanagerservice_pb2_grpc
from tests.support.daemons import KEYSPACE, Case, live_table
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(90)
ADD_COLUMN = "ALTER TABLE orders ADD COLUMN extra INT NULL"
POSTPONED = "--postpone-completion"


async def _command(case: Case, migration_uuid: str, command: str) -> None:
    request = tabletmanagerdata_pb2.ExecuteQueryRequest(
        query=f"alter vitess_migration '{migration_uuid}' {command}".encode(),
        db_name=KEYSPACE,
        max_rows=10,
    )
    async with grpc.aio.insecure_channel(case.tablets.primary.grpc) as channel:
        stub = tabletmanagerservice_pb2_grpc.TabletManagerStub(channel)
        answer = await stub.ExecuteQuery(request, timeout=10)
    assert answer.result.rows_affected == 1, command


async def _ready(client: VExecClient, migration_uuid: str) -> Record:
    async def is_ready() -> Record | None:
        record = await client.migration(migration_uuid)
        assert record["migration_status"] in ("queued", "ready", "running"), record["message"]
        return record if record["ready_to_complete"] == "1" else None

    record = await eventually(is_ready, 30, "it is ready to complete")
    assert record
    return record


async def test_it_waits_until_it_is_told_to_complete(case: Case, client: VExecClient) -> None:
    async with live_table(case.tablets, "orders", 500) as table:
        uuid = await client.submit("orders", ADD_COLUMN, case.strategy, options=POSTPONED)
        record = await _ready(client, uuid)
        assert record["ready_to_complete_timestamp"]
        assert record["postpone_completion"] == "1"
        await table.keeps_being_written(50)

        await _command(case, uuid, "complete")
        record = await client.wait(uuid, until={"complete"}, within_seconds=40)
        assert record["postpone_completion"] == "0"
        await table.equals_its_book()
        await case.tablets.leaves_no_trace(uuid)


async def test_it_is_postponed_and_forced_while_it_runs(case: Case, client: VExecClient) -> None:
    async with live_table(case.tablets, "orders", 3000, transactions_per_second=20.0) as table:
        uuid = await client.submit("orders", ADD_COLUMN, case.strategy, options=case.brief)
        await client.wait(uuid, until={"running"}, within_seconds=10)
        await _command(case, uuid, "postpone complete")
        await _ready(client, uuid)
        primary = case.tablets.servers.primary
        with (
            primary.telling_lock_holders(),
            closing(primary.connect(KEYSPACE, autocommit=False)) as holder,
        ):
            holder.cursor().execute("SELECT * FROM orders LIMIT 1")
            await _command(case, uuid, "force_cutover")
            await _command(case, uuid, "complete")
            record = await client.wait(uuid, until={"complete"}, within_seconds=40)
        assert "the forced cut-over ended connection" in (record["message"] or "")
        await table.equals_its_book()
        await case.tablets.leaves_no_trace(uuid)


async def test_a_waiting_migration_starts_again_with_the_daemon_and_waits_again(
    case: Case, client: VExecClient
) -> None:
    async with live_table(case.tablets, "orders", 500) as table:
        uuid = await client.submit("orders", ADD_COLUMN, case.strategy, options=POSTPONED)
        before = await _ready(client, uuid)
        await asyncio.to_thread(case.tablets.primary.kill)
        await case.tablets.restart_primary()

        async def runs_again() -> bool:
            record = await client.migration(uuid)
            return record["ready_to_complete"] == "1" and record["log_file"] != before["log_file"]

        await eventually(runs_again, 40)
        assert await client.cancel(uuid) == 1
        await client.wait(uuid, until={"cancelled"}, within_seconds=5)
        await case.tablets.leaves_no_trace(uuid)
        await table.equals_its_book()
