"""Trackers beside real servers in the test's own process, each with a clock of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from tabletd.errors import Reason, TabletdError
from tabletd.heartbeat import (
    HeartbeatSettings,
    Lag,
    ReplTracker,
    WriterAnswer,
    WriterDaemon,
    WriterQuestion,
)
from tabletd.mysql.flavor import server_info
from tabletd.mysql.pool import Pool
from tabletd.mysql.replication import replication_status
from tabletd.telemetry.vars import Registry
from tests.support.pools import pool_of
from tests.support.servers import RealServer
from tests.support.waiting import eventually


class SkewedClock:
    """A machine's clocks that are set wrong and run too fast or too slow.

    Args:
        wall_off_seconds: how far the wall clock is ahead.
        drift_ppm: how much faster both clocks run.
    """

    def __init__(self, wall_off_seconds: float = 0.0, drift_ppm: float = 0.0) -> None:
        self.wall_off_seconds = wall_off_seconds
        self._rate = 1 + drift_ppm / 1e6
        self._start = time.monotonic()
        self._wall_start_ns = time.time_ns()

    def wall_ns(self) -> int:
        passed_ns = (time.monotonic() - self._start) * self._rate * 1e9
        return self._wall_start_ns + round(passed_ns + self.wall_off_seconds * 1e9)

    def monotonic_seconds(self) -> float:
        return 5e5 + time.monotonic() * self._rate


@dataclass
class WriterLine:
    """Implements `WriterDaemon`: a tracker in this process, behind a line that can be cut.

    Attributes:
        tracker: the one that writes; None: no primary is known.
        clock: of that one.
        is_cut: nobody answers.
    """

    tracker: ReplTracker | None = None
    clock: SkewedClock | None = None
    is_cut: bool = False

    async def ask(self, question: WriterQuestion, *, timeout_seconds: float) -> WriterAnswer:
        if self.tracker is None or self.clock is None or self.is_cut:
            raise TabletdError(Reason.TIMEOUT, f"no answer within {timeout_seconds:g} s")
        return await self.tracker.answer(question, self.clock.monotonic_seconds())


class RunningTracker:
    """A tracker at work beside a server.

    Attributes:
        tracker: itself.
        clock: its clock.
        registry: its counters.
    """

    def __init__(
        self, tracker: ReplTracker, clock: SkewedClock, registry: Registry, pool: Pool
    ) -> None:
        self.tracker = tracker
        self.clock = clock
        self.registry = registry
        self._pool = pool

    @property
    def lag(self) -> Lag:
        """The lag of this moment."""
        return self.tracker.status()

    async def look_at_server(self) -> None:
        """Do what the tablet does each second: tell the state of replication."""
        async with self._pool.session() as session:
            status = await replication_status(session, await server_info(session))
        self.tracker.note_replication(status)

    async def looks(self, times: int) -> None:
        """Wait until the heartbeat was looked at so often again."""

        def made() -> int:
            return int(str(self.registry.export()["LagLooks"]))

        wanted = made() + times
        await eventually(lambda: made() >= wanted)

    async def reaches(self, **wanted: object) -> Lag:
        """Wait until the lag is so, and return it: the next one may be another already."""

        def found() -> Lag | None:
            lag = self.lag
            fits = all(getattr(lag, name) == value for name, value in wanted.items())
            return lag if fits else None

        lag = await eventually(found, what=f"a lag with {wanted}")
        assert lag is not None
        return lag


@asynccontextmanager
async def running_tracker(
    server: RealServer,
    settings: HeartbeatSettings,
    *,
    clock: SkewedClock | None = None,
    daemon: WriterDaemon | None = None,
) -> AsyncGenerator[RunningTracker]:
    """Run a tracker beside a server while the context lasts; its role is told by the test."""
    own_clock, registry = clock or SkewedClock(), Registry()
    async with (
        pool_of(server, size_max=1) as write_pool,
        pool_of(server, size_max=2) as read_pool,
        asyncio.TaskGroup() as tasks,
    ):
        tracker = ReplTracker(
            write_pool=write_pool,
            read_pool=read_pool,
            settings=replace(settings),
            clock=own_clock,
            registry=registry,
            daemon=daemon,
        )
        running = tasks.create_task(tracker.run())
        try:
            yield RunningTracker(tracker, own_clock, registry, read_pool)
        finally:
            await tracker.close()
            running.cancel()
