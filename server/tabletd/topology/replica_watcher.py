"""Watches the health of other tablets of the shard over StreamHealth."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tabletd.access.peers import PLAIN, Peers
from tabletd.clock import Clock
from tabletd.topology.health_stream import SILENT_INTERVALS, HealthStream
from tabletd.topology.layout import alias_text
from tabletd_pb import query_pb2, topodata_pb2

# An operator who gives a tablet one of these types takes it out of the shard's daily work.
SET_ASIDE: Final = frozenset(
    {
        topodata_pb2.SPARE,
        topodata_pb2.EXPERIMENTAL,
        topodata_pb2.BACKUP,
        topodata_pb2.RESTORE,
        topodata_pb2.DRAINED,
    }
)


@dataclass(frozen=True, slots=True)
class WatcherSettings:
    """Who is watched.

    Attributes:
        addresses: `host:port` of the tablets' gRPC ports.
        keyspace: what they must belong to.
        shard: what they must belong to.
        health_check_interval_seconds: longest time between two messages of a healthy tablet; one
            that says nothing for twice as long is silent.
    """

    addresses: tuple[str, ...]
    keyspace: str
    shard: str
    health_check_interval_seconds: float = 20.0


@dataclass(frozen=True, slots=True)
class ReplicaLag:
    """What is known of one tablet.

    Attributes:
        address: where it is watched.
        lag_seconds: whole seconds as it said last; None: it never did.
        error: why that cannot be relied on: it is silent, unhealthy, or the wrong tablet.
        tablet_type: as it said last, by Vitess's name; UNKNOWN before.
        alias: its name, empty before it was heard.
        is_counted: whether migrations wait for it: no primary, not set aside by an operator.
        age_seconds: since its last message; None: there was none.
        is_own_word: whether `error` is what the tablet says of itself, so that it is heard.
    """

    address: str
    lag_seconds: float | None
    error: str
    tablet_type: str
    alias: str
    is_counted: bool
    age_seconds: float | None
    is_own_word: bool = False


class ReplicaWatcher:
    """Keeps the latest health of each configured tablet in memory.

    Args:
        settings: who is watched.
        clock: tells the age of what was heard.
        peers: opens connections to them.

    Attributes:
        on_named: called when a tablet says which one it is, for the first time or another than
            before.
    """

    def __init__(
        self,
        settings: WatcherSettings,
        *,
        clock: Clock,
        peers: Peers = PLAIN,
    ) -> None:
        self.on_named: Callable[[], None] = lambda: None
        self._watches = [
            _Watch(address, settings, clock, peers, self._note_names)
            for address in dict.fromkeys(settings.addresses)
        ]
        self._noted = self.names()

    async def run(self) -> None:
        """Watch all of them; never returns unless nobody is to be watched."""
        async with asyncio.TaskGroup() as tasks:
            for watch in self._watches:
                tasks.create_task(watch.stream.run(), name=f"watch {watch.address}")

    def lags(self) -> Mapping[str, ReplicaLag]:
        """Return what is known of each tablet, by address."""
        return {watch.address: watch.lag() for watch in self._watches}

    def names(self) -> Mapping[str, str]:
        """Return the alias of each tablet by address, empty before it was heard."""
        return {watch.address: watch.alias for watch in self._watches}

    def _note_names(self) -> None:
        names = self.names()
        if names != self._noted:
            self._noted = names
            self.on_named()


class _Watch:
    """One tablet, and whether it is what it should be."""

    def __init__(
        self,
        address: str,
        settings: WatcherSettings,
        clock: Clock,
        peers: Peers,
        on_change: Callable[[], None],
    ) -> None:
        self.address = address
        self._settings = settings
        self.stream = HealthStream(
            address,
            name=f"replica {address}",
            silent_after_seconds=SILENT_INTERVALS * settings.health_check_interval_seconds,
            clock=clock,
            peers=peers,
            on_change=on_change,
        )

    @property
    def alias(self) -> str:
        last = self.stream.last
        return "" if last is None else alias_text(last.tablet_alias.cell, last.tablet_alias.uid)

    def lag(self) -> ReplicaLag:
        last, silence = self.stream.last, self.stream.silence
        if last is None:
            return ReplicaLag(self.address, None, silence, "UNKNOWN", "", True, None)
        mistake = silence or self._mistake(last)
        error = mistake or last.realtime_stats.health_error
        tablet_type = last.target.tablet_type
        # A primary that fell silent may have come back as a replica that lags.
        is_primary = tablet_type == topodata_pb2.PRIMARY and not error
        return ReplicaLag(
            self.address,
            float(last.realtime_stats.replication_lag_seconds),
            error,
            topodata_pb2.TabletType.Name(tablet_type),
            self.alias,
            not is_primary and tablet_type not in SET_ASIDE,
            self.stream.age_seconds,
            is_own_word=bool(error) and not mistake,
        )

    def _mistake(self, last: query_pb2.StreamHealthResponse) -> str:
        target, wanted = last.target, self._settings
        if (target.keyspace, target.shard) != (wanted.keyspace, wanted.shard):
            return (
                f"belongs to {target.keyspace}/{target.shard}, "
                f"not to {wanted.keyspace}/{wanted.shard}"
            )
        return ""
