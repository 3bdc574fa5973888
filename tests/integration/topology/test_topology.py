"""Who is the primary of a shard, found by what tablets say of themselves."""

from __future__ import annotations

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.topology import Layout, TabletPlace, health_stream
from tabletd_pb import topodata_pb2
from tests.support.fake_cluster import KEYSPACE, fake_cluster
from tests.support.waiting import eventually


async def test_each_shard_has_the_primary_that_says_so() -> None:
    async with fake_cluster(replicas=1) as cluster:
        low = await cluster.topology.wait_for_primary(KEYSPACE, "-80")
        high = await cluster.topology.wait_for_primary(KEYSPACE, "80-")
        assert (low.alias, high.alias) == ("zone1-0000000100", "zone1-0000000200")


async def test_a_primary_that_moved_is_found_without_a_restart() -> None:
    async with fake_cluster(["0"], replicas=1) as cluster:
        old, new = cluster.daemons.values()
        assert await cluster.topology.wait_for_primary(KEYSPACE, "0") == old.place

        old.become(topodata_pb2.REPLICA)
        new.become(topodata_pb2.PRIMARY, term_start_seconds=1_700_000_100)

        await eventually(lambda: cluster.topology.primary(KEYSPACE, "0") == new.place)


async def test_of_two_primaries_the_later_one_counts() -> None:
    async with fake_cluster(["0"], replicas=1) as cluster:
        old, new = cluster.daemons.values()
        new.become(topodata_pb2.PRIMARY, term_start_seconds=1_700_000_100)
        await eventually(lambda: cluster.topology.primary(KEYSPACE, "0") == new.place)
        assert cluster.topology.health(old.place).tablet_type == topodata_pb2.PRIMARY


async def test_a_shard_without_a_primary_says_what_its_tablets_are() -> None:
    async with fake_cluster(["0"], replicas=1, patience_seconds=0.5) as cluster:
        old, _ = cluster.daemons.values()
        await eventually(lambda: cluster.topology.primary(KEYSPACE, "0") == old.place)
        await old.stop()
        await eventually(lambda: cluster.topology.primary(KEYSPACE, "0") is None)
        with pytest.raises(TabletdError) as caught:
            await cluster.topology.wait_for_primary(KEYSPACE, "0")
        assert caught.value.reason is Reason.NO_PRIMARY
        assert "no primary of shop/0 is known: zone1-0000000100 is silent" in str(caught.value)
        assert "zone1-0000000101 is REPLICA" in str(caught.value)


async def test_a_primary_that_comes_back_is_found_as_soon_as_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health_stream, "_RECONNECT_SECONDS_MIN", 60.0)
    monkeypatch.setattr(health_stream, "_RECONNECT_SECONDS_MAX", 60.0)
    async with fake_cluster(["0"]) as cluster:
        (daemon,) = cluster.daemons.values()
        await cluster.topology.wait_for_primary(KEYSPACE, "0")
        await daemon.stop()
        await eventually(lambda: cluster.topology.primary(KEYSPACE, "0") is None)
        await daemon.start(int(daemon.place.grpc_address.rpartition(":")[2]))
        assert await cluster.topology.wait_for_primary(KEYSPACE, "0") == daemon.place


async def test_a_tablet_that_answers_under_anothers_address_is_not_believed() -> None:
    async with fake_cluster(["0"]) as cluster:
        (daemon,) = cluster.daemons.values()
        wrong = TabletPlace("zone1", 999, KEYSPACE, "0", "127.0.0.1", daemon.place.grpc_port)
        cluster.topology.replace(Layout((wrong,)))
        await eventually(lambda: "zone1-0000000100" in cluster.topology.health(wrong).error)
        assert cluster.topology.primary(KEYSPACE, "0") is None


async def test_another_list_is_taken_while_running() -> None:
    async with fake_cluster() as cluster:
        low = await cluster.topology.wait_for_primary(KEYSPACE, "-80")
        everything = cluster.topology.layout
        cluster.topology.replace(Layout((low,)))
        await eventually(lambda: cluster.topology.layout.shards(KEYSPACE) == ("-80",))
        assert cluster.topology.primary(KEYSPACE, "-80") == low
        cluster.topology.replace(everything)
        found = await cluster.topology.wait_for_primary(KEYSPACE, "80-")
        assert found.alias == "zone1-0000000200"
