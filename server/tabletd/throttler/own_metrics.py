"""The metrics of the server beside us and of this machine, read by one tick for all checks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

from tabletd.clock import Clock
from tabletd.errors import TabletdError
from tabletd.loops import pause
from tabletd.mysql.pool import Pool
from tabletd.mysql.variables import as_text
from tabletd.throttler.metrics import Metric, Reading

TICK_SECONDS: Final = 1.0
TICK_SECONDS_DORMANT: Final = 5.0
_QUERY_SECONDS_MAX: Final = 1.0
# Older than this, a figure says nothing of now.
_FRESH_SECONDS: Final = 15.0
_THREADS_SQL: Final = "SHOW GLOBAL STATUS LIKE 'Threads_running'"
_HISTORY_SQL: Final = (
    "SELECT `COUNT` FROM information_schema.INNODB_METRICS WHERE `NAME` = 'trx_rseg_history_len'"
)


class OwnLag(Protocol):
    """The lag of this tablet."""

    @property
    def lower_seconds(self) -> float | None:
        """The lower bound, seconds; None: nothing bounds it."""
        ...

    @property
    def lag_seconds(self) -> float | None:
        """The figure, seconds; None: not known."""
        ...

    @property
    def delay_ns(self) -> int:
        """What an operator lets this replica be behind, nanoseconds."""
        ...

    @property
    def error(self) -> str:
        """Why it is not known or not to be trusted."""
        ...

    @property
    def cause(self) -> str:
        """What a person should know of it besides."""
        ...

    @property
    def state(self) -> str:
        """`stopped` while replication is; `stale` while what has happened since is not known."""
        ...


class OwnMetrics:
    """Reads them, and keeps the last of each.

    Args:
        pool: sessions that give Python values; one is enough.
        lag: the lag of this tablet, in memory.
        custom_query: gives the metric `custom`; empty: there is none.
        is_dormant: whether nobody asks, so that it may read less often.
        clock: tells the age of what was read.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        lag: Callable[[], OwnLag],
        custom_query: Callable[[], str],
        is_dormant: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self._pool = pool
        self._lag = lag
        self._custom_query = custom_query
        self._is_dormant = is_dormant
        self._clock = clock
        self._read: dict[Metric, tuple[float, Reading]] = {}
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        """Somebody asks: read at once, if it has rested."""
        self._wanted.set()

    def readings(self) -> Mapping[Metric, Reading]:
        """Return what is known now; a metric that is not measured is missing."""
        since = self._clock.monotonic_seconds() - _FRESH_SECONDS
        found = {metric: reading for metric, (at, reading) in self._read.items() if at >= since}
        found[Metric.LAG] = self._own_lag()
        return MappingProxyType(found)

    async def run(self) -> None:
        """Read again and again; never returns."""
        while True:
            self._wanted.clear()
            await self.read()
            if not self._is_dormant():
                await asyncio.sleep(TICK_SECONDS)
                continue
            await pause(TICK_SECONDS_DORMANT, self._wanted)

    async def read(self) -> None:
        """Read all of them once; what cannot be read says why."""
        self._keep(Metric.LOADAVG, Reading(os.getloadavg()[0] / (os.cpu_count() or 1)))
        queries = server_queries(self._custom_query())
        if Metric.CUSTOM not in queries:
            self._read.pop(Metric.CUSTOM, None)
        for metric, sql in queries.items():
            self._keep(metric, await read_number(self._pool, sql))

    def _keep(self, metric: Metric, reading: Reading) -> None:
        self._read[metric] = (self._clock.monotonic_seconds(), reading)

    def _own_lag(self) -> Reading:
        lag = self._lag()
        if str(lag.state) == "stale":
            return Reading(lag.lag_seconds, lag.error or lag.cause or "the lag is stale")
        seconds = lag.lag_seconds if lag.lower_seconds is None else lag.lower_seconds
        if seconds is None:
            return Reading(None, lag.error)
        wanted_seconds = lag.delay_ns / 1e9
        return Reading(
            max(0.0, seconds - wanted_seconds), lag.error, is_down=str(lag.state) == "stopped"
        )


def server_queries(custom_query: str) -> dict[Metric, str]:
    """Return what a server is asked for its metrics.

    Args:
        custom_query: gives the metric `custom`; empty: there is none.
    """
    queries = {Metric.THREADS_RUNNING: _THREADS_SQL, Metric.HISTORY_LIST_LENGTH: _HISTORY_SQL}
    return {**queries, Metric.CUSTOM: custom_query} if custom_query else queries


async def read_number(pool: Pool, sql: str) -> Reading:
    """Ask a server for a number, for a second at most; a failure is told in the reading."""
    try:
        result = await pool.execute(sql, timeout_seconds=_QUERY_SECONDS_MAX)
    except TabletdError as error:
        return Reading(None, f"it cannot be read: {error}")
    return _number_of(result.rows)


def _number_of(rows: list[tuple[Any, ...]]) -> Reading:
    """Return the number in the answer to a SELECT (its one cell) or a SHOW (name and number)."""
    if not rows:
        return Reading(None, "the query gives no row")
    cell = rows[0][-1]
    try:
        return Reading(float(as_text(cell)))
    except ValueError:
        return Reading(None, f"the query gives {as_text(cell)[:40]!r}, which is no number")
