"""Watches the health of other tablets of the shard over StreamHealth."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import grpc

from tabletd.clock import Clock
from tabletd_pb import query_pb2, queryservice_pb2_grpc, topodata_pb2

_SILENT_INTERVALS: Final = 2
_RECONNECT_SECONDS_MIN: Final = 0.25
_RECONNECT_SECONDS_MAX: Final = 5.0
# An operator who gives a tablet one of these types takes it out of the shard's daily work.
_SET_ASIDE: Final = frozenset(
    {
        topodata_pb2.SPARE,
        topodata_pb2.EXPERIMENTAL,
        topodata_pb2.BACKUP,
        topodata_pb2.RESTORE,
        topodata_pb2.DRAINED,
    }
)

_logger = logging.getLogger(__name__)


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
    """

    address: str
    lag_seconds: float | None
    error: str
    tablet_type: str
    alias: str
    is_counted: bool
    age_seconds: float | None


def open_channel(address: str) -> grpc.aio.Channel:
    """Open a plain channel that notices a dead peer within seconds."""
    return grpc.aio.insecure_channel(
        address,
        options=(
            ("grpc.keepalive_time_ms", 15_000),
            ("grpc.keepalive_timeout_ms", 5_000),
            ("grpc.keepalive_permit_without_calls", 1),
            # Another tablet behind the same address must be a new connection.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_reconnect_backoff_ms", 5_000),
        ),
    )


class ReplicaWatcher:
    """Keeps the latest health of each configured tablet in memory.

    Args:
        settings: who is watched.
        clock: tells the age of what was heard.
        channel: opens a connection to an address.
    """

    def __init__(
        self,
        settings: WatcherSettings,
        *,
        clock: Clock,
        channel: Callable[[str], grpc.aio.Channel] = open_channel,
    ) -> None:
        silent_after_seconds = _SILENT_INTERVALS * settings.health_check_interval_seconds
        self._watches = [
            _Watch(address, settings, silent_after_seconds, clock, channel)
            for address in dict.fromkeys(settings.addresses)
        ]

    async def run(self) -> None:
        """Watch all of them; never returns unless nobody is to be watched."""
        async with asyncio.TaskGroup() as tasks:
            for watch in self._watches:
                tasks.create_task(watch.run(), name=f"watch {watch.address}")

    def lags(self) -> Mapping[str, ReplicaLag]:
        """Return what is known of each tablet, by address."""
        return {watch.address: watch.lag() for watch in self._watches}


class _Watch:
    """One tablet: a stream that is opened again and again."""

    def __init__(
        self,
        address: str,
        settings: WatcherSettings,
        silent_after_seconds: float,
        clock: Clock,
        channel: Callable[[str], grpc.aio.Channel],
    ) -> None:
        self.address = address
        self._settings = settings
        self._silent_after_seconds = silent_after_seconds
        self._clock = clock
        self._channel = channel
        self._last: query_pb2.StreamHealthResponse | None = None
        self._heard_monotonic: float | None = None
        self._lost = "not connected yet"
        self._failures = 0

    async def run(self) -> None:
        while True:
            try:
                await self._listen()
            except grpc.aio.AioRpcError as error:
                self._lose(f"{error.code().name}: {error.details()}")
            except TimeoutError:
                self._lose(f"it said nothing for {self._silent_after_seconds:g} s")
            else:
                self._lose("it ended the stream")
            await asyncio.sleep(self._pause_seconds())

    async def _listen(self) -> None:
        async with self._channel(self.address) as channel:
            stub = queryservice_pb2_grpc.QueryStub(channel)
            call = stub.StreamHealth(query_pb2.StreamHealthRequest())
            while True:
                async with asyncio.timeout(self._silent_after_seconds):
                    message = await call.read()
                if not isinstance(message, query_pb2.StreamHealthResponse):
                    return
                self._hear(message)

    def _hear(self, message: query_pb2.StreamHealthResponse) -> None:
        if self._lost:
            _logger.info("replica %s is heard", self.address)
        self._last = message
        self._heard_monotonic = self._clock.monotonic_seconds()
        self._lost = ""
        self._failures = 0

    def _lose(self, why: str) -> None:
        if not self._failures:
            _logger.warning("replica %s is silent: %s", self.address, why)
        self._lost = why
        self._failures += 1

    def _pause_seconds(self) -> float:
        grown = _RECONNECT_SECONDS_MIN * 2.0 ** min(self._failures - 1, 10)
        return min(_RECONNECT_SECONDS_MAX, grown) * random.uniform(0.8, 1.2)

    def lag(self) -> ReplicaLag:
        last, heard = self._last, self._heard_monotonic
        if last is None or heard is None:
            return ReplicaLag(
                self.address, None, f"is silent: {self._lost}", "UNKNOWN", "", True, None
            )
        age_seconds = self._clock.monotonic_seconds() - heard
        error = self._error(last, age_seconds)
        tablet_type = last.target.tablet_type
        # A primary that fell silent may have come back as a replica that lags.
        is_primary = tablet_type == topodata_pb2.PRIMARY and not error
        return ReplicaLag(
            self.address,
            float(last.realtime_stats.replication_lag_seconds),
            error,
            topodata_pb2.TabletType.Name(tablet_type),
            f"{last.tablet_alias.cell}-{last.tablet_alias.uid:010d}",
            not is_primary and tablet_type not in _SET_ASIDE,
            age_seconds,
        )

    def _error(self, last: query_pb2.StreamHealthResponse, age_seconds: float) -> str:
        if self._lost:
            return f"is silent: {self._lost}"
        if age_seconds > self._silent_after_seconds:
            return f"is silent: it said nothing for {age_seconds:.0f} s"
        target, wanted = last.target, self._settings
        if (target.keyspace, target.shard) != (wanted.keyspace, wanted.shard):
            return (
                f"belongs to {target.keyspace}/{target.shard}, "
                f"not to {wanted.keyspace}/{wanted.shard}"
            )
        return last.realtime_stats.health_error
