"""What is queued behind each other, what the server does by itself, what no tool may try."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import grpc
import grpc.aio
import pytest

from tabletd.errors import TabletdError
from tabletd.sandbox.vexec_client import VExecClient, new_migration_uuid
from tests.support.daemons import (
    EACH_TOOL,
    Case,
    TabletPair,
    columns,
    connected,
    from_starter,
    live_table,
)


@pytest.mark.parametrize("case", EACH_TOOL, indirect=True)
async def test_migrations_of_one_table_run_one_after_the_other_in_order(
    case: Case, client: VExecClient
) -> None:
    async with live_table(case.tablets, "orders", 500) as table:
        submitted = [
            await client.submit("orders", f"ALTER TABLE orders ADD COLUMN c{n} INT", case.strategy)
            for n in range(3)
        ]
        records = [
            await client.wait(migration_uuid, until={"complete"}) for migration_uuid in submitted
        ]
        for earlier, later in pairwise(records):
            completed, started = earlier["completed_timestamp"], later["started_timestamp"]
            assert completed is not None
            assert started is not None
            # started_timestamp has no fraction.
            assert completed[:19] <= started
        await table.equals_its_book()
        found = await asyncio.to_thread(columns, case.tablets.servers.replica, "orders")
        assert [name for name in found if name in ("c0", "c1", "c2")] == ["c0", "c1", "c2"]
        await case.tablets.leaves_no_trace(submitted[-1])


async def test_the_server_itself_creates_alters_and_drops_a_table(tablets: TabletPair) -> None:
    async with connected(tablets.primary) as client:

        async def run(statement: str, ddl_action: str) -> None:
            migration_uuid = await client.submit(
                "notes", statement, "direct", ddl_action=ddl_action
            )
            await client.wait(migration_uuid, until={"complete"})

        await run("CREATE TABLE notes (id INT PRIMARY KEY)", "create")
        tablets.tables.add("notes")
        await run("ALTER TABLE notes ADD COLUMN text VARCHAR(20)", "alter")
        assert "text" in await asyncio.to_thread(columns, tablets.servers.primary, "notes")
        await run("DROP TABLE notes", "drop")
        tablets.tables.clear()
        await tablets.leaves_no_trace()


async def test_gh_ost_on_mariadb_is_refused_at_its_submission(
    mariadb_tablets: TabletPair,
) -> None:
    tablets = mariadb_tablets
    await from_starter(TabletPair.heal, tablets)
    async with connected(tablets.primary) as client:
        uuid = new_migration_uuid()
        alter = "ALTER TABLE notes ADD COLUMN a INT"
        with pytest.raises(grpc.aio.AioRpcError, match="gh-ost cannot serve MariaDB") as refusal:
            await client.submit("notes", alter, "gh-ost", migration_uuid=uuid)
        assert refusal.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "pt-osc" in (refusal.value.details() or "")
        with pytest.raises(TabletdError, match="no migration"):
            await client.migration(uuid)


async def test_a_migration_of_a_table_that_is_not_there_fails_and_says_so(
    case: Case, client: VExecClient
) -> None:
    migration_uuid = await client.submit(
        "nowhere", "ALTER TABLE nowhere ADD COLUMN a INT", case.strategy
    )
    record = await client.wait(migration_uuid, until={"failed"})
    assert "nowhere" in (record["message"] or "")
    await case.tablets.leaves_no_trace(migration_uuid)
