"""Rules of the throttler on every tablet of a shard, while replication brings nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.servicers.throttling import Throttling
from tabletd.throttler import ConfigChange
from tabletd.topology import Layout, StaticTopology, TabletPlace
from tabletd.vtctld.rule_sync import RuleSync
from tabletd.vtctld.tablets import TabletClients, own_tablet
from tabletd_pb import throttling_pb2 as pb
from tests.support.clock import FakeClock
from tests.support.fakes_throttler import FakeShard
from tests.support.waiting import eventually

UUID = "7a1b2c3d_0000_11ee_8000_0242ac120002"


class Tablet(Throttling):
    """A tablet with tables of its own; it may be away."""

    def __init__(self, uid: int, clock: FakeClock, shard: str = "0") -> None:
        self.place = TabletPlace("zone1", uid, "shop", shard, f"10.0.0.{uid}", 16100)
        self.surroundings = FakeShard(clock=clock)
        self.rules = self.surroundings.rules()
        self.is_away = False
        self.given = 0
        super().__init__(app_rules=self.rules, keyspace="shop", shard=shard)

    async def GetConfig(self, request: pb.GetConfigRequest, context: Any) -> pb.GetConfigResponse:
        self._refuse_when_away()
        return await super().GetConfig(request, context)

    async def TakeConfig(
        self, request: pb.TakeConfigRequest, context: Any
    ) -> pb.TakeConfigResponse:
        self._refuse_when_away()
        self.given += 1
        return await super().TakeConfig(request, context)

    def _refuse_when_away(self) -> None:
        if self.is_away:
            raise TabletdError(Reason.MYSQL_UNAVAILABLE, "connection refused")

    def ratio(self) -> float:
        """How much of the migration this tablet holds back."""
        return self.rules.user_throttle_ratio(UUID)


class Topology(StaticTopology):
    """Knows who the primary is."""

    def __init__(self, tablets: list[Tablet]) -> None:
        super().__init__(Layout(tuple(one.place for one in tablets)), clock=FakeClock())
        self.leader: TabletPlace | None = tablets[0].place

    def primary(self, keyspace: str, shard: str) -> TabletPlace | None:
        return self.leader


@dataclass
class Cluster:
    """A primary, two replicas, and a tablet of another shard."""

    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.tablets = [Tablet(uid, self.clock) for uid in (1, 2, 3)]
        self.tablets.append(Tablet(4, self.clock, shard="80-"))
        self.primary, self.replica, self.other, self.elsewhere = self.tablets
        self.topology = Topology(self.tablets)
        self.clients = TabletClients(
            {one.place.alias: own_tablet(None, one, None) for one in self.tablets}
        )

    async def begin(self) -> Cluster:
        """Let all read their tables, and the first be the primary."""
        for tablet in self.tablets:
            await tablet.rules.refresh()
        await self.primary.rules.make_primary()
        return self

    def sync(self, tablet: Tablet) -> RuleSync:
        """What runs beside a tablet."""
        return RuleSync(
            topology=self.topology,
            clients=self.clients,
            own=tablet.place,
            is_primary=lambda: tablet is self.primary,
        )


async def test_a_primary_tells_the_other_tablets_of_its_shard_and_nobody_else() -> None:
    cluster = await Cluster().begin()
    await cluster.primary.rules.throttle(UUID, ratio=0.5, expire_seconds=60)
    await cluster.primary.rules.update(
        ConfigChange(
            custom_query="select 7",
            custom_query_set=True,
            threshold=3.0,
            app_name="batch",
            app_checked_metrics=("lag=2",),
        )
    )
    assert await cluster.sync(cluster.primary).step()
    assert [one.ratio() for one in cluster.tablets] == [0.5, 0.5, 0.5, 0.0]
    told = cluster.replica.rules.config
    assert (told.custom_query, told.threshold) == ("select 7", 3.0)
    assert dict(told.app_checked_metrics) == {"batch": ("lag=2",)}
    # It ends there when it ends here, whatever the clocks say.
    cluster.clock.advance(61)
    assert cluster.replica.ratio() == 0.0


async def test_a_change_is_told_at_once_and_a_tablet_that_was_away_catches_up() -> None:
    cluster = await Cluster().begin()
    cluster.other.is_away = True
    sync = cluster.sync(cluster.primary)
    cluster.primary.rules.on_change = sync.wake
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(sync.run())
        await cluster.primary.rules.throttle(UUID)
        await eventually(lambda: cluster.replica.ratio() == 1.0, what="the replica knows")
        assert cluster.other.ratio() == 0.0
        cluster.other.is_away = False
        await eventually(lambda: cluster.other.ratio() == 1.0, what="the other one knows too")
        await cluster.primary.rules.unthrottle(UUID)
        await eventually(
            lambda: cluster.replica.ratio() == cluster.other.ratio() == 0.0, what="it is over"
        )
        task.cancel()


async def test_a_tablet_asks_the_primary_by_itself() -> None:
    cluster = await Cluster().begin()
    await cluster.primary.rules.throttle(UUID)
    sync = cluster.sync(cluster.replica)
    cluster.topology.leader = None
    assert not await sync.step()
    cluster.topology.leader = cluster.primary.place
    cluster.primary.is_away = True
    assert not await sync.step()
    cluster.primary.is_away = False
    assert await sync.step()
    assert [one.ratio() for one in cluster.tablets] == [1.0, 1.0, 0.0, 0.0]


async def test_what_was_told_goes_before_tables_that_are_older_and_not_before_newer_ones() -> None:
    cluster = await Cluster().begin()
    await cluster.primary.rules.throttle(UUID)
    await cluster.sync(cluster.primary).step()
    await cluster.replica.rules.refresh()
    assert cluster.replica.ratio() == 1.0
    tables = cluster.replica.surroundings.store
    tables.version = cluster.primary.surroundings.store.version + 1
    await cluster.replica.rules.refresh()
    assert cluster.replica.ratio() == 0.0


async def test_who_has_the_same_is_given_nothing() -> None:
    cluster = await Cluster().begin()
    await cluster.primary.rules.throttle(UUID)
    sync = cluster.sync(cluster.primary)
    await sync.step()
    given = cluster.replica.given
    assert given == 1
    await sync.step()
    assert cluster.replica.given == given


async def test_who_is_told_nothing_any_more_goes_by_its_tables_again() -> None:
    cluster = await Cluster().begin()
    await cluster.primary.rules.throttle(UUID)
    await cluster.sync(cluster.primary).step()
    cluster.clock.advance(61)
    await cluster.replica.rules.refresh()
    assert cluster.replica.ratio() == 0.0


async def test_a_former_primary_does_not_undo_what_the_new_one_has_told() -> None:
    cluster = await Cluster().begin()
    await cluster.sync(cluster.primary).step()
    former = cluster.primary.rules.snapshot()
    await cluster.primary.rules.throttle(UUID)
    await cluster.sync(cluster.primary).step()
    assert not cluster.replica.rules.take(former)
    assert cluster.replica.ratio() == 1.0
    cluster.clock.advance(61)
    assert cluster.replica.rules.take(former)


async def test_a_primary_takes_nothing() -> None:
    cluster = await Cluster().begin()
    await cluster.primary.rules.throttle(UUID)
    assert not cluster.primary.rules.take(cluster.replica.rules.snapshot())
    assert cluster.primary.ratio() == 1.0


async def test_a_new_primary_writes_what_the_former_one_told_it() -> None:
    cluster = await Cluster().begin()
    stale = cluster.replica.surroundings.store
    await stale.put_rule("gone", ratio=1.0, expire_seconds=600, is_exempt=False)
    stale.version = 0
    await cluster.primary.rules.throttle(UUID, ratio=0.25)
    await cluster.primary.rules.update(ConfigChange(threshold=3.0))
    await cluster.sync(cluster.primary).step()
    await cluster.replica.rules.make_primary()
    await cluster.replica.rules.refresh()
    assert set(stale.ends_ns) == {UUID}
    assert stale.config.threshold == 3.0
    assert stale.version >= cluster.primary.surroundings.store.version
    assert cluster.replica.ratio() == 0.25


async def test_rules_of_another_shard_are_refused() -> None:
    cluster = await Cluster().begin()
    stored = await cluster.primary.GetConfig(pb.GetConfigRequest(), None)
    with pytest.raises(TabletdError) as refusal:
        await cluster.elsewhere.TakeConfig(pb.TakeConfigRequest(stored=stored), None)
    assert refusal.value.reason is Reason.WRONG_TARGET


async def test_a_tablet_alone_in_its_shard_has_nobody_to_tell_or_to_ask() -> None:
    cluster = await Cluster().begin()
    sync = cluster.sync(cluster.elsewhere)
    assert await sync.step()
