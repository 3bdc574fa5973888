"""The short form of `make soak`."""

from __future__ import annotations

import asyncio

from tests.soak.footprint import Footprint, read_footprint
from tests.soak.work import one_round
from tests.support.daemons import KEYSPACE, TabletPair, from_starter
from tests.support.waiting import eventually

# Threads of the pool that blocking calls go to come one by one, and so do the connections of pools
# that are not full yet; memory is what Python keeps.
_ALLOWED = Footprint(files=4, threads=4, tasks=2, children=0, connections=12, resident_mb=15.0)


async def test_a_daemon_holds_nothing_more_after_migrations_and_clients(
    mariadb_tablets: TabletPair,
) -> None:
    await from_starter(TabletPair.heal, mariadb_tablets)
    daemon, server = mariadb_tablets.primary, mariadb_tablets.servers.primary.server
    await one_round(daemon, KEYSPACE, "soaked", clients=10)
    before = await asyncio.to_thread(read_footprint, daemon, server)
    for _ in range(2):
        await one_round(daemon, KEYSPACE, "soaked", clients=10)
    growth = ["not looked at"]

    async def is_as_before() -> bool:
        nonlocal growth
        after = await asyncio.to_thread(read_footprint, daemon, server)
        growth = after.growth_since(before, _ALLOWED)
        return not growth

    try:
        await eventually(is_as_before)
    except AssertionError:
        raise AssertionError(f"it holds more: {growth}") from None
