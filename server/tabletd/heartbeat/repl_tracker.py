"""Which of writer, reader and poller is at work, by role and mode; and the lag they tell."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tabletd.clock import Clock
from tabletd.heartbeat.exchange import WriterAnswer, WriterDaemon, WriterQuestion
from tabletd.heartbeat.lag import NANOSECONDS_PER_SECOND, NO_LAG, Lag, LagState
from tabletd.heartbeat.poller import Poller
from tabletd.heartbeat.reader import Reader
from tabletd.heartbeat.settings import HeartbeatSettings, TrackerMode
from tabletd.heartbeat.writer import Writer
from tabletd.lease import Fence
from tabletd.mysql.flavor import server_info
from tabletd.mysql.pool import Pool
from tabletd.mysql.replication import ReplicationStatus, primary_status
from tabletd.telemetry.vars import Registry

# The tablet looks at the server about once a second and gives up after three.
_POLL_AGE_SECONDS_MAX: Final = 10.0
_POSITION_SECONDS_MAX: Final = 1.0
_HISTORY_INTERVAL_SECONDS: Final = 1.0
_HISTORY_SAMPLES_MAX: Final = 300
_NOT_TRACKED: Final = Lag(
    LagState.OFF, error="lag is not measured: replication_tracker_mode is disable"
)


@dataclass(frozen=True, slots=True)
class LagSample:
    """The lag at one moment of the past.

    Attributes:
        monotonic: the moment, on the monotonic clock.
        lag: as it was told then.
    """

    monotonic: float
    lag: Lag


class ReplTracker:
    """Measures replication lag: a primary writes heartbeats, everyone else reads them.

    Args:
        write_pool: one connection to the server beside us, for the writer alone.
        read_pool: connections to it.
        settings: mode, interval, and whose heartbeat.
        clock: handed on to the parts.
        registry: gets every `Heartbeat*` and `Lag*` instrument.
        fence: tells whether this daemon may act for its server; None: there is no other daemon.
        daemon: the one that writes the heartbeats of our shard; None: it cannot be asked.
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
        daemon: WriterDaemon | None = None,
    ) -> None:
        self.mode = settings.mode
        self._clock = clock
        self._pool = read_pool
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
        self.reader = Reader(read_pool, settings, clock=clock, registry=registry, daemon=daemon)
        self._poller = Poller(clock, age_seconds_max=_POLL_AGE_SECONDS_MAX)
        self._is_primary = False
        self._delay_ns = 0
        self._history: deque[LagSample] = deque(maxlen=_HISTORY_SAMPLES_MAX)
        self._publish(registry)

    async def run(self) -> None:
        """Do the work of the parts that are open; never returns."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.writer.run(), name="heartbeat writer")
            tasks.create_task(self.reader.run(), name="heartbeat reader")
            tasks.create_task(self._remember(), name="lag of the last minutes")

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
        delay_seconds = 0 if status is None else status.sql_delay_seconds
        self._delay_ns = delay_seconds * NANOSECONDS_PER_SECOND
        self._poller.note(status)

    def note_failure(self, error: str) -> None:
        """Take note that the tablet could not look at the server."""
        self._poller.note_failure(error)

    def want_heartbeats(self) -> None:
        """Somebody needs the lag: where heartbeats are written on demand, have them written."""
        if self._is_primary:
            self.writer.want()
        else:
            self.reader.want_heartbeats()

    async def answer(self, question: WriterQuestion, received_monotonic: float) -> WriterAnswer:
        """Tell the reader of another tablet the time here, and which beats were written.

        Args:
            question: what it knows already.
            received_monotonic: when the question came.

        Raises:
            TabletdError: the position is wanted, and the server does not tell it.
        """
        position = ""
        if question.want_position and self._is_primary:
            async with self._pool.session(timeout_seconds=_POSITION_SECONDS_MAX) as session:
                position = (await primary_status(session, await server_info(session))).position
        received_ns = round(received_monotonic * NANOSECONDS_PER_SECOND)
        return self.writer.answer(question, received_ns, position)

    def status(self) -> Lag:
        """Return the lag of this tablet; a primary has none."""
        if self._is_primary:
            return NO_LAG
        if self.mode is TrackerMode.DISABLE:
            return _NOT_TRACKED
        if self.mode is TrackerMode.HEARTBEAT:
            lag = self._poller.if_stopped(self.reader.status())
        else:
            lag = self._poller.status()
        return replace(lag, delay_ns=self._delay_ns) if self._delay_ns else lag

    def history(self) -> Sequence[LagSample]:
        """Return the lag of the last minutes, one sample a second, the oldest first."""
        return tuple(self._history)

    async def _remember(self) -> None:
        while True:
            self._history.append(LagSample(self._clock.monotonic_seconds(), self.status()))
            await asyncio.sleep(_HISTORY_INTERVAL_SECONDS)

    def _publish(self, registry: Registry) -> None:
        def gauge(name: str, help_text: str, read: Callable[[Lag], int | None]) -> None:
            def known() -> int:
                value = read(self.status())
                return -1 if value is None else value

            registry.gauge(name, f"{help_text}, nanoseconds; -1: not known", known)

        gauge("LagFigureNs", "lag of the newest heartbeat, or age of an overdue one", _figure_ns)
        gauge("LagLowerNs", "the lag was at least this", lambda lag: lag.lower_ns)
        gauge("LagUpperNs", "the lag was at most this", lambda lag: lag.upper_ns)
        gauge("LagAgeNs", "how long ago the lag was measured", self._age_ns)
        registry.gauge("LagState", "how far it can be trusted", lambda: self.status().state)
        registry.gauge("LagMethod", "how it was found", lambda: self.status().method)

    def _age_ns(self, lag: Lag) -> int | None:
        return lag.age_ns(self._clock.monotonic_seconds())


def _figure_ns(lag: Lag) -> int | None:
    return None if lag.lag_ns is None else max(0, lag.lag_ns)


def _nobody() -> None:
    return
