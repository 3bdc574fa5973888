"""What is left of migrations, found by the daemons themselves and shown over gRPC."""

from __future__ import annotations

import asyncio

import pytest

import tabletd_client
from tests.support.daemons import EACH_TOOL, KEYSPACE, Case, connected, live_table


@pytest.mark.parametrize("case", EACH_TOOL, indirect=True)
async def test_a_daemon_sweeps_by_itself_and_shows_what_is_of_a_run_by_hand(case: Case) -> None:
    tablets = case.tablets
    server = tablets.servers.primary
    async with live_table(tablets, "orders", 100) as table:
        await table.settle()
        async with connected(tablets.primary) as client:
            uuid = await client.submit("orders", "ALTER TABLE orders ADD KEY (note)", case.strategy)
            await client.wait(uuid, until={"complete"})
        await tablets.leaves_no_trace(uuid)

        left = f"_{uuid}_20261123100000_new"
        await asyncio.to_thread(
            server.script,
            f"CREATE TABLE {KEYSPACE}.{left} (id INT PRIMARY KEY)",
            f"CREATE TABLE {KEYSPACE}._orders_gho (id INT PRIMARY KEY)",
        )
        tablets.tables.add("_orders_gho")
        await tablets.leaves_no_trace(uuid)
        message = await asyncio.to_thread(
            server.scalar,
            "SELECT message FROM _vt.schema_migrations WHERE migration_uuid = %s",
            (uuid,),
        )
        assert f"swept: table {KEYSPACE}.{left}" in message

        async with tabletd_client.connect(tablets.primary.grpc) as library:
            found = {one.alias: one for one in await library.leftovers(KEYSPACE, fix=True)}
        mine = found[tablets.primary.alias]
        assert (mine.error, mine.removed) == ("", ())
        assert [one.name for one in mine.left] == ["_orders_gho"]
