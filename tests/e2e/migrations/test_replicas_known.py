"""Who a daemon says is there, when it has a setting `replicas` and no topology file."""

from __future__ import annotations

import tabletd_client
from tests.support.daemons import TabletPair, from_starter
from tests.support.waiting import eventually


async def test_the_lag_of_the_replicas_is_shown_without_a_topology_file(
    mariadb_tablets: TabletPair,
) -> None:
    await from_starter(TabletPair.heal, mariadb_tablets)
    async with tabletd_client.connect(mariadb_tablets.primary.grpc) as client:

        async def known() -> bool:
            found = {lag.alias: (lag.type, lag.serving) for lag in await client.lag("shop")}
            return found == {
                "zone1-0000000100": ("primary", True),
                "zone1-0000000101": ("replica", True),
            }

        await eventually(known, what="both are known and serve")
        replica = (await client.tablets("shop"))[1]
        assert replica.grpc_address == mariadb_tablets.replica.grpc
