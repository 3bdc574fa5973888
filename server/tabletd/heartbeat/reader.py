"""The heartbeat as a replica sees it."""

from __future__ import annotations

import logging

from tabletd.clock import Clock
from tabletd.errors import Reason, TabletdError
from tabletd.heartbeat.lag import Lag, LagState, lag_between_ns
from tabletd.heartbeat.settings import HeartbeatSettings
from tabletd.heartbeat.sql import SELECT_TIMESTAMP
from tabletd.heartbeat.ticker import Ticker
from tabletd.loops import ThrottledLogger
from tabletd.mysql.pool import Pool
from tabletd.telemetry.vars import Registry

_INT64_MAX = 2**63 - 1
LAG_CUTOFFS_NS = (0, 10**6, 10**7, 10**8, 10**9, 10**10, 10**11, 10**12)
LAG_CUTOFF_LABELS = ("0", "1ms", "10ms", "100ms", "1s", "10s", "100s", "1000s", ">1000s")
_STALE_ERROR = "no heartbeat received in over 2x the heartbeat interval"
_STALE_INTERVALS = 2
# A beat of an idle pair has arrived by then; read later, its age would pass for lag.
_LOOK_AFTER_SECONDS_MAX = 0.025

_logger = logging.getLogger(__name__)


class Reader:
    """Reads heartbeats while it is open and tells the lag.

    Args:
        pool: connections to the server beside us.
        settings: whose heartbeat, how often.
        clock: the wall clock that heartbeats are compared with, and the schedule's own.
        registry: gets the `Heartbeat*` instruments of reading.
    """

    def __init__(
        self, pool: Pool, settings: HeartbeatSettings, *, clock: Clock, registry: Registry
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._clock = clock
        self._ticker = Ticker(
            settings.interval_seconds,
            self.read,
            clock,
            phase_seconds=min(_LOOK_AFTER_SECONDS_MAX, settings.interval_seconds / 10),
        )
        # The name is the one that operators of Vitess search their logs for.
        self._log = ThrottledLogger("HeartbeatReporter", logger=_logger, clock=clock)
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
        self._lag: Lag | None = None
        self._error = ""

    @property
    def is_open(self) -> bool:
        """Whether heartbeats are being read."""
        return self._ticker.is_started

    async def open(self) -> None:
        """Read once, then at each interval; nothing happens when it is open."""
        if not self._ticker.is_started:
            self._forget()
            await self.read()
            self._ticker.start(at_once=False)

    async def close(self) -> None:
        """Read no more, and forget what was read: an old lag must not look like a new one."""
        await self._ticker.stop()
        self._forget()

    async def run(self) -> None:
        """Read when open; never returns."""
        await self._ticker.run()

    async def read(self) -> None:
        """Read the heartbeat within one interval; a failure is remembered, counted and logged."""
        try:
            written_wall_ns = await self._read_timestamp()
        except TabletdError as error:
            self._error = str(error)
            self._errors.add()
            self._log.error(self._error)
            return
        lag_ns = lag_between_ns(written_wall_ns, self._clock.wall_ns())
        self._lag = Lag(LagState.MEASURED, lag_ns, self._clock.monotonic_seconds())
        self._error = ""
        self._reads.add()
        self._cumulative_lag_ns.add(lag_ns)
        self._current_lag_ns.set(lag_ns)
        self._histogram.add(lag_ns)

    def status(self) -> Lag:
        """Return the lag, and whether it can be trusted.

        A read that fails changes nothing at once: the figure is good until it is two intervals old.
        """
        if self._lag is None:
            return Lag(LagState.UNKNOWN, error=self._error or "no heartbeat was read yet")
        measured = self._lag.measured_monotonic or 0.0
        age_seconds = self._clock.monotonic_seconds() - measured
        if age_seconds <= _STALE_INTERVALS * self._settings.interval_seconds:
            return self._lag
        error = f"{_STALE_ERROR}: {self._error}" if self._error else _STALE_ERROR
        return Lag(LagState.STALE, self._lag.lag_ns, measured, measured, error)

    async def _read_timestamp(self) -> int:
        try:
            found = await self._pool.execute(
                SELECT_TIMESTAMP,
                (self._settings.keyspace_shard,),
                timeout_seconds=self._settings.interval_seconds,
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
        ts: object = found.rows[0][0]
        if not isinstance(ts, int) or ts > _INT64_MAX:
            raise _unusable(f"{ts!r} is no signed number of 64 bits")
        return ts

    def _forget(self) -> None:
        self._lag = None
        self._error = ""
        self._current_lag_ns.set(0)


def _unusable(cause: str) -> TabletdError:
    return TabletdError(
        Reason.MYSQL_ERROR,
        f"Failed to parse heartbeat result: {cause}",
        hint="is the daemon of the primary running, with the same keyspace and shard?",
    )
