"""The heartbeat as a replica sees it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from tabletd.clock import Clock
from tabletd.errors import Reason, TabletdError
from tabletd.heartbeat.beats import Beats, Look
from tabletd.heartbeat.exchange import Suspensions, WriterDaemon, Writing, steady_ns
from tabletd.heartbeat.judging import clock_lag, wall_lag
from tabletd.heartbeat.lag import NANOSECONDS_PER_SECOND, Lag, LagState, lag_between_ns
from tabletd.heartbeat.look_plan import next_look_ns
from tabletd.heartbeat.settings import HeartbeatSettings
from tabletd.heartbeat.sql import SELECT_BEAT
from tabletd.heartbeat.ticker import Ticker
from tabletd.heartbeat.writer_link import WriterLink
from tabletd.loops import ThrottledLogger
from tabletd.mysql.flavor import server_info
from tabletd.mysql.pool import Pool
from tabletd.mysql.replication import gtid_executed
from tabletd.telemetry.vars import Registry

_INT64_MAX = 2**63 - 1
LAG_CUTOFFS_NS = (0, 10**6, 10**7, 10**8, 10**9, 10**10, 10**11, 10**12)
LAG_CUTOFF_LABELS = ("0", "1ms", "10ms", "100ms", "1s", "10s", "100s", "1000s", ">1000s")
_STALE_ERROR = "no heartbeat received in over 2x the heartbeat interval"
_STALE_INTERVALS = 2
# Without the writer's time: a beat of an idle pair has arrived by then.
_LOOK_AFTER_SECONDS_MAX = 0.025
# A daemon that is started again begins another series: until it was asked the old figure holds.
_OUTLIVES_SECONDS_MAX: Final = 5.0
_APPLIED_SECONDS_MAX: Final = 1.0
# A beat that is later than this has its writer's daemon asked.
_LATE_NS: Final = 10_000_000

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Row:
    """The heartbeat's row; all but `ts` is 0 where another make's daemon wrote it."""

    ts: int
    series: int
    sequence: int
    sent_ns: int

    @property
    def beat(self) -> tuple[int, int]:
        return self.series, self.sequence


@dataclass(slots=True)
class _Found:
    """What was found since the reader was opened."""

    row: _Row | None = None
    is_ours: bool = False
    others_beat: tuple[int, int] | None = None
    held: Lag | None = None
    wall_lag_ns: int = 0
    looked_monotonic: float = 0.0
    counted_monotonic: float = float("-inf")
    error: str = ""


class Reader:
    """Reads heartbeats while it is open and tells the lag.

    Args:
        pool: connections to the server beside us.
        settings: whose heartbeat, how often.
        clock: the monotonic clock that all is timed on, and the wall clock that heartbeats are
            compared with where their writer's time is not known.
        registry: gets the `Heartbeat*` instruments of reading.
        daemon: who writes the heartbeats; None: it cannot be asked.
        suspensions: tells when this machine stood still.
    """

    def __init__(
        self,
        pool: Pool,
        settings: HeartbeatSettings,
        *,
        clock: Clock,
        registry: Registry,
        daemon: WriterDaemon | None = None,
        suspensions: Suspensions | None = None,
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._clock = clock
        self._interval_ns = round(settings.interval_seconds * NANOSECONDS_PER_SECOND)
        self._ticker = Ticker(
            settings.interval_seconds,
            self.read,
            clock,
            phase_seconds=min(_LOOK_AFTER_SECONDS_MAX, settings.interval_seconds / 10),
            due_after=self._next_look,
        )
        self._beats = Beats()
        self._link = WriterLink(
            daemon,
            self._beats,
            read_applied=self._read_applied,
            interval_seconds=settings.interval_seconds,
            clock=clock,
            registry=registry,
        )
        self._suspensions = suspensions or Suspensions()
        # The name is the one that operators of Vitess search their logs for.
        self._log = ThrottledLogger("HeartbeatReporter", logger=_logger, clock=clock)
        self._looks = registry.counter("LagLooks", "looks at the heartbeat, found or not")
        self._reads = registry.counter("HeartbeatReads", "heartbeats read")
        self._errors = registry.counter("HeartbeatReadErrors", "reads of heartbeats that failed")
        self._cumulative_lag_ns = registry.counter(
            "HeartbeatCumulativeLagNs", "sum of the lags of all heartbeats read, nanoseconds"
        )
        self._current_lag_ns = registry.gauge(
            "HeartbeatCurrentLagNs", "lag of the last heartbeat read, nanoseconds"
        )
        self._histogram = registry.histogram(
            "HeartbeatLagNsHistogram",
            "lags of the heartbeats read, nanoseconds",
            LAG_CUTOFFS_NS,
            LAG_CUTOFF_LABELS,
        )
        self._found = _Found()

    @property
    def is_open(self) -> bool:
        """Whether heartbeats are being read."""
        return self._ticker.is_started

    async def open(self) -> None:
        """Read once, then at each interval; nothing happens when it is open."""
        if not self._ticker.is_started:
            self._forget()
            self._link.open()
            await self.read()
            self._ticker.start(at_once=False)

    async def close(self) -> None:
        """Read no more, and forget what was read: an old lag must not look like a new one."""
        self._link.close()
        await self._ticker.stop()
        self._forget()

    async def run(self) -> None:
        """Read when open; never returns."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._ticker.run(), name="looks at the heartbeat")
            tasks.create_task(self._link.run(), name="questions to the writer's daemon")

    def want_heartbeats(self) -> None:
        """Somebody needs the lag: have heartbeats written, where that is done on demand."""
        self._link.want_heartbeats()

    async def read(self) -> None:
        """Look once, within a second; a failure is remembered, counted and logged."""
        self._looks.add()
        if self._suspensions.noticed():
            self._link.forget()
            self._found = _Found()
        asked_ns = steady_ns(self._clock)
        try:
            row = await self._read_row()
        except TabletdError as error:
            self._found.error = str(error)
            self._errors.add()
            self._log.error(self._found.error)
            return
        self._found.error = ""
        wall_ns = self._clock.wall_ns()
        self._measure(row, asked_ns, steady_ns(self._clock))
        self._count(row, lag_between_ns(row.ts, wall_ns))
        self._found.row = row

    def status(self) -> Lag:
        """Return the lag, and whether it can be trusted.

        A read that fails changes nothing at once: the figure is good until it is two intervals old.
        """
        if (by_position := self._link.position_lag()) is not None:
            return by_position
        lag = self._measured()
        if lag is None:
            return Lag(LagState.UNKNOWN, error=self._found.error or "no heartbeat was read yet")
        measured = self._found.looked_monotonic
        age_seconds = self._clock.monotonic_seconds() - measured
        if age_seconds <= _STALE_INTERVALS * self._settings.interval_seconds:
            return lag
        error = f"{_STALE_ERROR}: {self._found.error}" if self._found.error else _STALE_ERROR
        return replace(lag, state=LagState.STALE, since_monotonic=measured, error=error)

    def _measure(self, row: _Row, asked_ns: int, answered_ns: int) -> None:
        """Take what was seen; ask the writer's daemon where that leaves a question open."""
        self._found.looked_monotonic = answered_ns / NANOSECONDS_PER_SECOND
        before = self._found.row
        if before is not None and before.beat == row.beat and before.ts != row.ts:
            # Another make's daemon wrote, and left the columns that it does not know as they were.
            self._found.others_beat = row.beat
        self._found.is_ours = row.series != 0 and row.beat != self._found.others_beat
        if not self._found.is_ours:
            return
        self._beats.note_look(Look(asked_ns, answered_ns, row.series, row.sequence, row.sent_ns))
        held = clock_lag(self._beats, self._link.news, self._writers_interval_ns)
        self._found.held = held or self._found.held
        is_new = before is None or before.beat != row.beat
        is_idle = self._link.news.writing is Writing.IDLE
        if (held is None and (is_new or not is_idle)) or self._is_late(answered_ns):
            self._link.ask_soon()

    @property
    def _writers_interval_ns(self) -> int:
        return self._link.news.interval_ns or self._interval_ns

    def _is_late(self, now_ns: int) -> bool:
        """Return whether a beat is due of which nobody has said whether it was written."""
        newest, news = self._beats.newest_commit(), self._link.news
        if newest is None:
            return False
        due_ns = newest.low_ns + self._writers_interval_ns
        none_is_written = (
            news.writing is Writing.IDLE
            and news.asked_ns is not None
            and news.asked_ns > due_ns + self._writers_interval_ns
        )
        usual = self._beats.beat_lag()
        # One that always takes longer is asked about at once: until it is told, the lag is open.
        patience_ns = _LATE_NS if usual is None or usual.middle_ns < _LATE_NS else 0
        return now_ns > due_ns + patience_ns and not none_is_written

    def _count(self, row: _Row, lag_ns: int) -> None:
        """Count a heartbeat when it is seen first, and one that stays each interval."""
        self._found.wall_lag_ns = lag_ns
        self._current_lag_ns.set(lag_ns)
        passed_seconds = self._found.looked_monotonic - self._found.counted_monotonic
        if row == self._found.row and passed_seconds < self._settings.interval_seconds:
            return
        self._found.counted_monotonic = self._found.looked_monotonic
        self._reads.add()
        self._cumulative_lag_ns.add(lag_ns)
        self._histogram.add(lag_ns)

    def _measured(self) -> Lag | None:
        if self._found.row is None:
            return None
        if self._found.is_ours:
            lag = clock_lag(self._beats, self._link.news, self._writers_interval_ns)
            if lag is not None:
                return lag
            held = self._found.held
            if held is not None and held.measured_monotonic is not None:
                outlived_seconds = self._found.looked_monotonic - held.measured_monotonic
                if outlived_seconds <= _OUTLIVES_SECONDS_MAX:
                    return held
        return wall_lag(
            self._found.wall_lag_ns,
            self._found.looked_monotonic,
            self._interval_ns,
            self._link.news.error,
        )

    def _next_look(self, now: float) -> float | None:
        if self._found.error or not self._found.is_ours:
            return None
        now_ns = round(now * NANOSECONDS_PER_SECOND)
        due_ns = next_look_ns(self._beats, self._writers_interval_ns, now_ns)
        if due_ns is None:
            return None
        return min(due_ns / NANOSECONDS_PER_SECOND, now + self._settings.interval_seconds)

    async def _read_applied(self) -> str:
        async with self._pool.session(timeout_seconds=_APPLIED_SECONDS_MAX) as session:
            return await gtid_executed(session, await server_info(session))

    async def _read_row(self) -> _Row:
        try:
            found = await self._pool.execute(
                SELECT_BEAT,
                (self._settings.keyspace_shard,),
                timeout_seconds=self._settings.statement_seconds_max,
            )
        except TabletdError as error:
            raise TabletdError(
                error.reason, f"Failed to read most recent heartbeat: {error}"
            ) from error
        if len(found.rows) != 1:
            raise _unusable(
                "failed to read heartbeat: writer query did not result in 1 row. "
                f"Got {len(found.rows)}"
            )
        return _row_of(found.dicts()[0])

    def _forget(self) -> None:
        self._found = _Found()
        self._current_lag_ns.set(0)


def _row_of(cells: Mapping[str, Any]) -> _Row:
    ts: object = cells.get("ts")
    if not isinstance(ts, int) or ts > _INT64_MAX:
        raise _unusable(f"{ts!r} is no signed number of 64 bits")
    numbers = [cells.get(name) or 0 for name in ("series", "seq", "sentNs")]
    return _Row(ts, *(number if isinstance(number, int) else 0 for number in numbers))


def _unusable(cause: str) -> TabletdError:
    return TabletdError(
        Reason.MYSQL_ERROR,
        f"Failed to parse heartbeat result: {cause}",
        hint="is the daemon of the primary running, with the same keyspace and shard?",
    )
