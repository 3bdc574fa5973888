"""Tablets beside real servers, inside the test's own process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tabletd.clock import SystemClock
from tabletd.errors import TabletdError
from tabletd.heartbeat import HeartbeatSettings, ReplTracker, TrackerMode
from tabletd.tablet import RoleListener, Tablet, TabletAlias, TabletSettings
from tabletd.telemetry.vars import Registry
from tests.support.pools import pool_of
from tests.support.servers import RealServer
from tests.support.waiting import eventually

KEYSPACE, SHARD = "test", "0"
INTERVAL_SECONDS = 0.1
# Quick to follow, and a look may take its time on a busy machine.
SETTINGS = TabletSettings(follow_interval_seconds=0.1)


def heartbeat_settings(
    uid: int = 1111,
    *,
    mode: TrackerMode = TrackerMode.HEARTBEAT,
    interval_seconds: float = INTERVAL_SECONDS,
) -> HeartbeatSettings:
    """Return settings of the tests' shard."""
    return HeartbeatSettings(KEYSPACE, SHARD, uid, mode, interval_seconds)


@dataclass
class Recorder:
    """A part that notes what it is told, and fails while it is told to."""

    name: str
    calls: list[str] = field(default_factory=list[str])
    failure: TabletdError | None = None

    async def make_primary(self) -> None:
        await self._note("primary")

    async def make_non_primary(self) -> None:
        await self._note("non-primary")

    async def close(self) -> None:
        await self._note("close")

    async def _note(self, what: str) -> None:
        self.calls.append(f"{self.name} {what}")
        if self.failure is not None:
            raise self.failure


@dataclass(frozen=True)
class RunningTablet:
    """A tablet at work.

    Attributes:
        tablet: itself.
        tracker: its heartbeat.
        registry: its counters.
    """

    tablet: Tablet
    tracker: ReplTracker
    registry: Registry

    def count(self, name: str) -> int:
        """Return a counter's present value."""
        value = self.registry.export()[name]
        assert isinstance(value, int)
        return value

    async def serves(self) -> None:
        """Wait until it is healthy."""
        await eventually(lambda: self.tablet.is_serving, what="serving")


@asynccontextmanager
async def running_tablet(
    server: RealServer,
    *,
    uid: int = 1111,
    mode: TrackerMode = TrackerMode.HEARTBEAT,
    settings: TabletSettings = SETTINGS,
    listeners: Sequence[RoleListener] = (),
    user: str = "root",
    password: str = "",
) -> AsyncGenerator[RunningTablet]:
    """Run a tablet beside a server while the context lasts."""
    registry, clock = Registry(), SystemClock()
    async with (
        pool_of(server, user=user, password=password, size_max=1) as write_pool,
        pool_of(server, user=user, password=password, size_max=2) as read_pool,
        asyncio.TaskGroup() as tasks,
    ):
        tracker = ReplTracker(
            write_pool=write_pool,
            read_pool=read_pool,
            settings=heartbeat_settings(uid, mode=mode),
            clock=clock,
            registry=registry,
        )
        tablet = Tablet(
            alias=TabletAlias("zone1", uid),
            keyspace=KEYSPACE,
            shard=SHARD,
            database=KEYSPACE,
            pool=read_pool,
            repl_tracker=tracker,
            listeners=listeners,
            settings=settings,
            registry=registry,
            clock=clock,
        )
        running = [tasks.create_task(tracker.run()), tasks.create_task(tablet.run())]
        try:
            yield RunningTablet(tablet, tracker, registry)
        finally:
            await tablet.stop()
            for task in running:
                task.cancel()
