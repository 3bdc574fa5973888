"""A migration's whole way over gRPC: success under writes, failures, and what they leave."""

from __future__ import annotations

import asyncio

import pytest

from tabletd.sandbox.vexec_client import VExecClient
from tests.support.daemons import (
    EACH_TOOL,
    KEYSPACE,
    Case,
    TabletPair,
    columns,
    connected,
    copying,
    from_starter,
    kill,
    live_table,
)

ROWS = 20_000


async def test_a_migration_under_writes_loses_no_row_on_primary_and_replica(
    case: Case, client: VExecClient
) -> None:
    async with live_table(case.tablets, "orders", ROWS) as table:
        await table.keeps_being_written()
        migration_uuid = await client.submit(
            "orders",
            "ALTER TABLE orders ADD COLUMN region VARCHAR(20) NOT NULL DEFAULT 'nord ☃', "
            "MODIFY amount DECIMAL(16,4) NOT NULL, ADD KEY by_note (note)",
            case.strategy,
        )
        record = await client.wait(migration_uuid, until={"complete"})
        assert float(record["progress"] or 0) == 100
        assert int(record["rows_copied"] or 0) > 0
        assert record["started_timestamp"]
        assert record["completed_timestamp"]
        assert int(record["cutover_attempts"] or 0) >= 1
        assert record["last_cutover_attempt_timestamp"]
        await table.keeps_being_written()
        await table.equals_its_book()
        for server in (case.tablets.servers.primary, case.tablets.servers.replica):
            assert columns(server, "orders")["region"] == "varchar(20)"
            assert columns(server, "orders")["amount"] == "decimal(16,4)"
        await case.tablets.leaves_no_trace(migration_uuid)


async def test_a_statement_that_the_server_refuses_fails_in_the_dry_run_with_its_words(
    case: Case, client: VExecClient
) -> None:
    async with live_table(case.tablets, "orders", 1_000) as table:
        migration_uuid = await client.submit(
            "orders", "ALTER TABLE orders ADD KEY nowhere (no_such_column)", case.strategy
        )
        record = await client.wait(migration_uuid, until={"failed"})
        assert "no_such_column" in (record["message"] or "")
        assert record["completed_timestamp"]
        await table.equals_its_book()
        await case.tablets.leaves_no_trace(migration_uuid)


@pytest.mark.parametrize("case", EACH_TOOL, indirect=True)
async def test_a_tool_that_is_killed_fails_the_migration_and_everything_is_cleaned_up(
    case: Case, client: VExecClient
) -> None:
    async with live_table(case.tablets, "orders", ROWS) as table:
        migration_uuid = await client.submit(
            "orders", "ALTER TABLE orders ADD COLUMN extra INT", case.strategy, options=case.slow
        )
        await copying(client, migration_uuid)
        kill(case.tablets.tools())
        record = await client.wait(migration_uuid, until={"failed"})
        assert record["message"]
        await table.equals_its_book()
        await case.tablets.leaves_no_trace(migration_uuid)

        assert await client.retry(migration_uuid) == 1
        await copying(client, migration_uuid)
        assert await client.cancel(migration_uuid) == 1
        await case.tablets.leaves_no_trace(migration_uuid)


async def test_rows_that_a_new_unique_key_would_lose_are_named_before_anything_runs(
    mysql57_tablets: TabletPair,
) -> None:
    tablets = mysql57_tablets
    await from_starter(TabletPair.heal, tablets)
    await asyncio.to_thread(
        tablets.servers.primary.script,
        f"CREATE TABLE {KEYSPACE}.twins (id INT PRIMARY KEY, twin INT NOT NULL)",
        f"INSERT INTO {KEYSPACE}.twins VALUES (1, 1), (2, 1), (3, 3)",
    )
    tablets.tables.add("twins")
    async with connected(tablets.primary) as client:
        migration_uuid = await client.submit(
            "twins", "ALTER TABLE twins ADD UNIQUE KEY twin (twin)", "gh-ost"
        )
        record = await client.wait(migration_uuid, until={"failed"})
    assert "alike in the unique key twin: id = 1 and 2" in (record["message"] or "")
    assert not record["log_file"]
    count = f"SELECT COUNT(*) FROM {KEYSPACE}.twins"
    assert await asyncio.to_thread(tablets.servers.primary.scalar, count) == 3
    await tablets.leaves_no_trace(migration_uuid)


@pytest.mark.parametrize("case", EACH_TOOL, indirect=True)
async def test_a_failed_migration_that_is_mended_succeeds_when_retried(
    case: Case, client: VExecClient
) -> None:
    async with live_table(case.tablets, "orders", 1_000) as table:
        migration_uuid = await client.submit(
            "orders", "ALTER TABLE orders ADD KEY by_region (region)", case.strategy
        )
        await client.wait(migration_uuid, until={"failed"})
        await asyncio.to_thread(
            case.tablets.servers.primary.script,
            f"ALTER TABLE {KEYSPACE}.orders ADD COLUMN region INT NULL",
        )
        assert await client.retry(migration_uuid) == 1
        record = await client.wait(migration_uuid, until={"complete"})
        assert record["retries"] == "1"
        await table.equals_its_book()
        await case.tablets.leaves_no_trace(migration_uuid)
