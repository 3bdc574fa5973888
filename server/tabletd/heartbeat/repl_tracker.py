"""Which of writer, reader and poller is at work, by role and mode; and the lag they tell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from tabletd.clock import Clock
from tabletd.heartbeat.lag import NO_LAG, Lag, LagState
from tabletd.heartbeat.poller import Poller
from tabletd.heartbeat.reader import Reader
from tabletd.heartbeat.settings import HeartbeatSettings, TrackerMode
from tabletd.heartbeat.writer import Writer
from tabletd.lease import Fence
from tabletd.mysql.pool import Pool
from tabletd.mysql.replication import ReplicationStatus
from tabletd.telemetry.vars import Registry

# The tablet looks at the server about once a second and gives up after three.
_POLL_AGE_SECONDS_MAX: Final = 10.0
_NOT_TRACKED: Final = Lag(
    LagState.OFF, error="lag is not measured: replication_tracker_mode is disable"
)


class ReplTracker:
    """Measures replication lag: a primary writes heartbeats, everyone else reads them.

    Args:
        write_pool: one connection to the server beside us, for the writer alone.
        read_pool: connections to it.
        settings: mode, interval, and whose heartbeat.
        clock: handed on to the parts.
        registry: gets every `Heartbeat*` instrument.
        fence: tells whether this daemon may act for its server; None: there is no other daemon.
    """

    def __init__(
        self,
        *,
        write_pool: Pool,
        read_pool: Pool,
        settings: HeartbeatSettings,
        clock: Clock,
        registry: Registry,
        fence: Fence | None = None,
    ) -> None:
        self.mode = settings.mode
        # Set by the tablet, which looks at the server when a beat meets a changed one.
        self.on_not_writable: Callable[[], None] = _nobody
        self.writer = Writer(
            write_pool,
            settings,
            clock=clock,
            registry=registry,
            on_not_writable=self._find_not_writable,
            fence=fence,
        )
        self.reader = Reader(read_pool, settings, clock=clock, registry=registry)
        self._poller = Poller(clock, age_seconds_max=_POLL_AGE_SECONDS_MAX)
        self._is_primary = False

    async def run(self) -> None:
        """Do the work of the parts that are open; never returns."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.writer.run(), name="heartbeat writer")
            tasks.create_task(self.reader.run(), name="heartbeat reader")

    async def make_primary(self) -> None:
        """Stop reading and begin to write."""
        if not self._is_primary:
            self._poller.forget()
        self._is_primary = True
        await self.reader.close()
        if self.mode is TrackerMode.HEARTBEAT:
            self.writer.open()

    async def make_non_primary(self) -> None:
        """Stop writing and begin to read."""
        if self._is_primary:
            self._poller.forget()
        self._is_primary = False
        await self.writer.close()
        if self.mode is TrackerMode.HEARTBEAT:
            await self.reader.open()

    async def close(self) -> None:
        """Neither read nor write."""
        await self.writer.close()
        await self.reader.close()

    def _find_not_writable(self) -> None:
        self.on_not_writable()

    def note_replication(self, status: ReplicationStatus | None) -> None:
        """Take what the tablet found in its regular look at the server; None: no replica."""
        self._poller.note(status)

    def note_failure(self, error: str) -> None:
        """Take note that the tablet could not look at the server."""
        self._poller.note_failure(error)

    def status(self) -> Lag:
        """Return the lag of this tablet; a primary has none."""
        if self._is_primary:
            return NO_LAG
        if self.mode is TrackerMode.HEARTBEAT:
            return self._poller.if_stopped(self.reader.status())
        if self.mode is TrackerMode.POLLING:
            return self._poller.status()
        return _NOT_TRACKED


def _nobody() -> None:
    return
