"""Who is there, and who is the primary of each shard: from a list, and from what tablets say.

The list is static (`Layout`). Roles are never written down: each listed tablet is asked over
StreamHealth, so that a primary that moved is found again as soon as it says so.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from tabletd.access.peers import PLAIN, Peers
from tabletd.clock import Clock
from tabletd.errors import Reason, TabletdError
from tabletd.topology.health_stream import SILENT_INTERVALS, HealthStream
from tabletd.topology.layout import Layout, TabletPlace, alias_text
from tabletd_pb import query_pb2, topodata_pb2


@dataclass(frozen=True, slots=True)
class TabletHealth:
    """What a tablet said last of itself.

    Attributes:
        tablet_type: its role; UNKNOWN before it was heard and while it is silent.
        serving: whether it answers queries.
        error: why it is not to be relied on: silent, another tablet than the list says, unhealthy.
        lag_seconds: whole seconds behind its primary.
        primary_term_start_seconds: when it became primary, Unix time; 0 on others.
    """

    tablet_type: topodata_pb2.TabletType.ValueType
    serving: bool
    error: str
    lag_seconds: int = 0
    primary_term_start_seconds: int = 0


class Topology(Protocol):
    """What is known of the cluster. A list in etcd would be another implementation of this."""

    @property
    def layout(self) -> Layout:
        """The cells, keyspaces, shards and tablets of now."""
        ...

    def health(self, tablet: TabletPlace) -> TabletHealth:
        """Return what a tablet said last of itself."""
        ...

    def primary(self, keyspace: str, shard: str) -> TabletPlace | None:
        """Return the primary of a shard, as far as it is known now."""
        ...

    async def wait_for_primary(self, keyspace: str, shard: str) -> TabletPlace:
        """Return the primary of a shard, waiting a moment for one to be known.

        Raises:
            TabletdError: TOPOLOGY_NOT_FOUND; NO_PRIMARY, saying what each tablet is instead.
        """
        ...


class StaticTopology:
    """The tablets of a list, watched.

    Args:
        layout: the list; `replace` takes another one.
        clock: tells the age of what was heard.
        health_check_interval_seconds: longest time between two messages of a healthy tablet.
        patience_seconds: how long `wait_for_primary` waits.
        peers: opens connections to them.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        clock: Clock,
        health_check_interval_seconds: float = 20.0,
        patience_seconds: float = 3.0,
        peers: Peers = PLAIN,
    ) -> None:
        self._layout = layout
        self._clock = clock
        self._silent_after_seconds = SILENT_INTERVALS * health_check_interval_seconds
        self._patience_seconds = patience_seconds
        self._peers = peers
        self._streams: dict[TabletPlace, HealthStream] = {}
        self._changed = asyncio.Event()
        self._replaced = asyncio.Event()

    @property
    def layout(self) -> Layout:
        return self._layout

    def replace(self, layout: Layout) -> None:
        """Take another list; who is on both stays watched."""
        self._layout = layout
        self._replaced.set()

    async def run(self) -> None:
        """Watch every tablet of the list; never returns."""
        async with asyncio.TaskGroup() as tasks:
            watches: dict[TabletPlace, asyncio.Task[None]] = {}
            while True:
                self._replaced.clear()
                wanted = set(self._layout.tablets)
                for gone in watches.keys() - wanted:
                    watches.pop(gone).cancel()
                    del self._streams[gone]
                for new in wanted - watches.keys():
                    stream = self._streams[new] = self._stream(new)
                    watches[new] = tasks.create_task(stream.run(), name=f"watch {new.alias}")
                await self._replaced.wait()

    def health(self, tablet: TabletPlace) -> TabletHealth:
        stream = self._streams.get(tablet)
        if stream is None or stream.last is None:
            why = "is not watched yet" if stream is None else stream.silence
            return TabletHealth(topodata_pb2.UNKNOWN, serving=False, error=why)
        last = stream.last
        error = stream.silence or _mistaken(tablet, last)
        if error:
            return TabletHealth(topodata_pb2.UNKNOWN, serving=False, error=error)
        return TabletHealth(
            last.target.tablet_type,
            serving=last.serving,
            error=last.realtime_stats.health_error,
            lag_seconds=last.realtime_stats.replication_lag_seconds,
            primary_term_start_seconds=last.primary_term_start_timestamp,
        )

    def primary(self, keyspace: str, shard: str) -> TabletPlace | None:
        found = [
            (health.primary_term_start_seconds, tablet.alias, tablet)
            for tablet in self._layout.shard_tablets(keyspace, shard)
            if (health := self.health(tablet)).tablet_type == topodata_pb2.PRIMARY
        ]
        # Of two, the one that took over later is right and the other does not know yet.
        return max(found)[-1] if found else None

    async def wait_for_primary(self, keyspace: str, shard: str) -> TabletPlace:
        if (found := self.primary(keyspace, shard)) is not None:
            return found
        for tablet in self._layout.shard_tablets(keyspace, shard):
            if tablet in self._streams:
                self._streams[tablet].try_now()
        try:
            async with asyncio.timeout(self._patience_seconds):
                while (found := self.primary(keyspace, shard)) is None:
                    self._changed.clear()
                    await self._changed.wait()
                return found
        except TimeoutError:
            raise self._no_primary(keyspace, shard) from None

    def _stream(self, tablet: TabletPlace) -> HealthStream:
        return HealthStream(
            tablet.grpc_address,
            name=f"tablet {tablet.alias} at {tablet.grpc_address}",
            silent_after_seconds=self._silent_after_seconds,
            clock=self._clock,
            peers=self._peers,
            on_change=self._changed.set,
        )

    def _found(self, tablet: TabletPlace) -> str:
        health = self.health(tablet)
        return health.error or f"is {topodata_pb2.TabletType.Name(health.tablet_type)}"

    def _no_primary(self, keyspace: str, shard: str) -> TabletdError:
        found = "; ".join(
            f"{tablet.alias} {self._found(tablet)}"
            for tablet in self._layout.shard_tablets(keyspace, shard)
        )
        return TabletdError(
            Reason.NO_PRIMARY,
            f"no primary of {keyspace}/{shard} is known: {found}",
            hint="start its daemon, or make one of them the primary",
            keyspace=keyspace,
            shard=shard,
        )


def _mistaken(tablet: TabletPlace, last: query_pb2.StreamHealthResponse) -> str:
    alias = alias_text(last.tablet_alias.cell, last.tablet_alias.uid)
    found = (alias, last.target.keyspace, last.target.shard)
    if found == (tablet.alias, tablet.keyspace, tablet.shard):
        return ""
    return f"is not at {tablet.grpc_address}, but {alias} of {found[1]}/{found[2]} is"
