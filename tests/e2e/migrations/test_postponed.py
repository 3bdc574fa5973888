"""A migration that waits to complete: postponed, completed, forced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing

from tabletd.sandbox.accounts import DAEMON_USER
from tabletd.sandbox.vexec_client import Record, VExecClient
from tests.support.daemons import (
    KEYSPACE,
    Case,
    TabletPair,
    command,
    live_table,
    wait_until_serving,
)
from tests.support.waiting import eventually

ADD_COLUMN = "ALTER TABLE orders ADD COLUMN extra INT NULL"
POSTPONED = "--postpone-completion"


async def _ready(client: VExecClient, migration_uuid: str) -> Record:
    async def is_ready() -> Record | None:
        record = await client.migration(migration_uuid)
        assert record["migration_status"] in ("queued", "ready", "running"), record["message"]
        return record if record["ready_to_complete"] == "1" else None

    record = await eventually(is_ready, what="it is ready to complete")
    assert record
    return record


async def test_it_waits_until_it_is_told_to_complete(case: Case, client: VExecClient) -> None:
    async with live_table(case.tablets, "orders", 500) as table:
        uuid = await client.submit("orders", ADD_COLUMN, case.strategy, options=POSTPONED)
        record = await _ready(client, uuid)
        assert record["ready_to_complete_timestamp"]
        assert record["postpone_completion"] == "1"
        await table.keeps_being_written(50)

        await command(case.tablets, uuid, "complete")
        record = await client.wait(uuid, until={"complete"})
        assert record["postpone_completion"] == "0"
        await table.equals_its_book()
        await case.tablets.leaves_no_trace(uuid)


@asynccontextmanager
async def ending_others(tablets: TabletPair) -> AsyncGenerator[None]:
    """Let the daemon end connections of others: on MySQL 5.7 that needs SUPER."""
    server = tablets.servers.primary
    if server.is_mariadb:
        yield
        return
    account = f"{DAEMON_USER}@127.0.0.1"
    server.query(f"GRANT SUPER ON *.* TO {account}")
    # Its connections go on with what it had when they logged in.
    await asyncio.to_thread(tablets.primary.terminate)
    await tablets.restart_primary()
    await asyncio.to_thread(wait_until_serving, tablets)
    try:
        yield
    finally:
        server.query(f"REVOKE SUPER ON *.* FROM {account}")


async def test_it_is_postponed_and_forced_while_it_runs(case: Case, client: VExecClient) -> None:
    writing = live_table(case.tablets, "orders", 3000, transactions_per_second=20.0)
    async with ending_others(case.tablets), writing as table:
        uuid = await client.submit("orders", ADD_COLUMN, case.strategy, options=case.brief)
        await client.wait(uuid, until={"running"})
        await command(case.tablets, uuid, "postpone complete")
        await _ready(client, uuid)
        primary = case.tablets.servers.primary
        with (
            primary.telling_lock_holders(),
            closing(primary.connect(KEYSPACE, autocommit=False)) as holder,
        ):
            holder.cursor().execute("SELECT * FROM orders LIMIT 1")
            await command(case.tablets, uuid, "force_cutover")
            await command(case.tablets, uuid, "complete")
            record = await client.wait(uuid, until={"complete"})
        assert "the forced cut-over ended connection" in (record["message"] or "")
        await table.equals_its_book()
        await case.tablets.leaves_no_trace(uuid)
