"""Cancel in each state, cancel-all, and what a retry makes of a cancelled migration."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from tabletd.sandbox.vexec_client import VExecClient, literal, new_migration_uuid
from tests.support.daemons import EACH_TOOL, KEYSPACE, Case, copying, live_table

ROWS = 20_000
ADD_COLUMN = "ALTER TABLE orders ADD COLUMN extra INT NULL"


async def test_a_running_migration_that_is_cancelled_leaves_the_table_as_it_was(
    case: Case, client: VExecClient
) -> None:
    async with live_table(case.tablets, "orders", ROWS) as table:
        migration_uuid = await client.submit("orders", ADD_COLUMN, case.strategy, options=case.slow)
        await copying(client, migration_uuid)
        assert await client.cancel(migration_uuid) == 1
        record = await client.wait(migration_uuid, until={"cancelled"})
        assert record["cancelled_timestamp"]
        assert record["completed_timestamp"]
        await case.tablets.leaves_no_trace(migration_uuid)
        await table.keeps_being_written()
        await table.equals_its_book()
        assert (await client.migration(migration_uuid))["migration_status"] == "cancelled"


@pytest.mark.parametrize("case", EACH_TOOL, indirect=True)
async def test_a_queued_and_a_ready_migration_are_cancelled_behind_a_running_one(
    case: Case, client: VExecClient
) -> None:
    async with live_table(case.tablets, "orders", ROWS) as table:
        running = await client.submit("orders", ADD_COLUMN, case.strategy, options=case.slow)
        await copying(client, running)
        queued = await client.submit("orders", "ALTER TABLE orders ADD KEY (note)", case.strategy)
        ready = await client.submit("orders", "ALTER TABLE orders ADD KEY (payload)", case.strategy)
        # Behind a running one nothing becomes ready by itself for longer than a moment.
        await asyncio.to_thread(
            case.tablets.servers.primary.query,
            "UPDATE _vt.schema_migrations SET migration_status = 'ready' WHERE migration_uuid = %s",
            (ready,),
        )
        for migration_uuid in (queued, ready):
            assert await client.cancel(migration_uuid) == 1
            record = await client.wait(migration_uuid, until={"cancelled"})
            assert not record["started_timestamp"]
        assert (await client.migration(running))["migration_status"] == "running"
        assert await client.cancel(running) == 1
        await case.tablets.leaves_no_trace(running)
        await table.equals_its_book()


@pytest.mark.parametrize("case", EACH_TOOL, indirect=True)
async def test_cancel_all_ends_what_runs_and_what_waits(case: Case, client: VExecClient) -> None:
    async with live_table(case.tablets, "orders", ROWS) as table:
        running = await client.submit("orders", ADD_COLUMN, case.strategy, options=case.slow)
        await copying(client, running)
        waiting = [
            await client.submit("orders", f"ALTER TABLE orders ADD KEY k{n} (note)", case.strategy)
            for n in range(3)
        ]
        assert await client.cancel_all() == 4
        for migration_uuid in (running, *waiting):
            await client.wait(migration_uuid, until={"cancelled"})
        await case.tablets.leaves_no_trace(running)
        await table.equals_its_book()
        assert await client.cancel_all() == 0


@pytest.mark.parametrize("case", EACH_TOOL, indirect=True)
async def test_a_cancelled_migration_completes_when_it_is_retried(
    case: Case, client: VExecClient
) -> None:
    async with live_table(case.tablets, "orders", 5_000) as table:
        migration_uuid = await client.submit(
            "orders", ADD_COLUMN, case.strategy, options=case.brief
        )
        await copying(client, migration_uuid)
        await client.cancel(migration_uuid)
        # At once, while the tool may still be on its way out: it must not run twice.
        assert await client.retry(migration_uuid) == 1
        record = await client.wait(migration_uuid, until={"complete"})
        assert record["retries"] == "1"
        assert not record["cancelled_timestamp"]
        await table.equals_its_book()
        await case.tablets.leaves_no_trace(migration_uuid)


@pytest.mark.parametrize("case", EACH_TOOL, indirect=True)
async def test_a_finished_and_an_unknown_migration_cannot_be_cancelled(
    case: Case, client: VExecClient
) -> None:
    async with live_table(case.tablets, "orders", 300):
        migration_uuid = await client.submit("orders", ADD_COLUMN, case.strategy)
        await client.wait(migration_uuid, until={"complete"})
        assert await client.cancel(migration_uuid) == 0
        assert (await client.migration(migration_uuid))["migration_status"] == "complete"
        with pytest.raises(grpc.aio.AioRpcError, match="Migration not found") as refused:
            await client.cancel(new_migration_uuid())
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        assert await client.retry(migration_uuid) == 0


@pytest.mark.parametrize("case", EACH_TOOL, indirect=True)
async def test_the_same_migration_submitted_twice_is_one_migration(
    case: Case, client: VExecClient
) -> None:
    async with live_table(case.tablets, "orders", 300):
        migration_uuid = new_migration_uuid()
        for _ in range(2):
            await client.submit("orders", ADD_COLUMN, case.strategy, migration_uuid=migration_uuid)
        await client.wait(migration_uuid, until={"complete"})
        found = await client.vexec(
            "SELECT COUNT(*) AS n FROM _vt.schema_migrations "
            f"WHERE migration_uuid = {literal(migration_uuid)}"
        )
        assert found.records == [{"n": "1"}]
        assert KEYSPACE in str(await client.migration(migration_uuid))
