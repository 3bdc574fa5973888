"""The server changes its role, the daemon dies: what is queued survives."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from tabletd.sandbox.vexec_client import VExecClient
from tests.support.daemons import EACH_TOOL, Case, TabletPair, connected, copying, live_table
from tests.support.waiting import eventually

ROWS = 6_000
ADD_COLUMN = "ALTER TABLE orders ADD COLUMN extra INT NULL"


@pytest.mark.parametrize("case", EACH_TOOL, indirect=True)
async def test_queued_migrations_survive_a_restart_of_the_daemon(
    case: Case, client: VExecClient
) -> None:
    tablets = case.tablets
    async with live_table(tablets, "orders", ROWS) as table:
        running = await client.submit("orders", ADD_COLUMN, case.strategy, options=case.slow)
        await copying(client, running)
        queued = await client.submit("orders", "ALTER TABLE orders ADD KEY (note)", case.strategy)
        assert await client.cancel(running) == 1
        await asyncio.to_thread(tablets.primary.kill)
        await tablets.restart_primary()
        async with connected(tablets.primary) as again:
            await again.wait(queued, until={"complete"})
            assert (await again.migration(running))["migration_status"] == "cancelled"
        await table.equals_its_book()
        await tablets.leaves_no_trace(running)
        await tablets.leaves_no_trace(queued)


@pytest.mark.parametrize("case", EACH_TOOL, indirect=True)
async def test_a_primary_that_becomes_read_only_ends_its_tool_and_writes_nothing(
    case: Case, client: VExecClient
) -> None:
    tablets = case.tablets
    primary = tablets.servers.primary
    async with live_table(tablets, "orders", ROWS) as table:
        migration_uuid = await client.submit(
            "orders", ADD_COLUMN, case.strategy, options=case.brief
        )
        await copying(client, migration_uuid)
        await table.settle()
        await asyncio.to_thread(primary.script, "SET GLOBAL read_only = 1")

        async def tool_has_ended() -> bool:
            return not await asyncio.to_thread(tablets.tool_commands)

        await eventually(tool_has_ended, what="the tool ends when the server is read_only")
        before = await asyncio.to_thread(primary.gtid_executed)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.submit("orders", "ALTER TABLE orders ADD KEY (note)", case.strategy)
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert await asyncio.to_thread(primary.gtid_executed) == before

        await asyncio.to_thread(primary.script, "SET GLOBAL read_only = 0")
        await client.wait(migration_uuid, until={"complete"})
        await table.equals_its_book()
        await tablets.leaves_no_trace(migration_uuid)


async def test_a_replica_daemon_writes_nothing_and_takes_no_migration(tablets: TabletPair) -> None:
    async with connected(tablets.replica) as client:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.submit("orders", ADD_COLUMN, "direct")
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        with pytest.raises(grpc.aio.AioRpcError):
            await client.cancel_all()
    assert await asyncio.to_thread(tablets.errant_transactions) == ""
