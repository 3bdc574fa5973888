"""Replicas without a daemon: their servers are asked by SQL, by the primary's daemon alone.

Their lag is timed by one clock: the beats that are looked for were written by the daemon that
looks, and it knows when each of them was committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Protocol

from tabletd.clock import Clock
from tabletd.errors import Reason, TabletdError
from tabletd.loops import pause
from tabletd.mysql.flavor import ServerInfo, server_info
from tabletd.mysql.pool import Pool
from tabletd.mysql.replication import replication_status, stopped_error
from tabletd.mysql.session import Session
from tabletd.throttler.metrics import Metric, Reading
from tabletd.throttler.own_metrics import TICK_SECONDS_DORMANT, read_number, server_queries

LAG_TICK_SECONDS: Final = 0.5
METRICS_TICK_SECONDS: Final = 1.0
_ANSWER_SECONDS_MAX: Final = 1.0
_SILENT_SECONDS: Final = 7.5
# Another make's table has fewer columns.
_BEAT_SQL: Final = "SELECT * FROM _vt.heartbeat WHERE keyspaceShard = %s"


class OwnBeat(Protocol):
    """A heartbeat that this daemon has written."""

    @property
    def sequence(self) -> int:
        """Its number in its series."""
        ...

    @property
    def committed_ns(self) -> int:
        """Just after it was committed, on our monotonic clock."""
        ...


# The number of the present series, and its newest beats, the oldest first.
Written = Callable[[], tuple[int, Sequence[OwnBeat]]]


@dataclass(frozen=True, slots=True)
class SqlReadings:
    """What is known of one of them.

    Attributes:
        metrics: by name.
        is_counted: always.
    """

    metrics: Mapping[str, Reading]
    is_counted: bool = True

    def reading(self, metric: str, /) -> Reading | None:
        """Return a metric; None: it is not measured."""
        return self.metrics.get(metric)


class SqlReplicas:
    """Asks all of them at each tick, side by side, each for a second at most.

    Args:
        pools: by address; sessions that give Python values, two each.
        keyspace_shard: whose heartbeat, `commerce:0`.
        written: the beats that this daemon has written.
        custom_query: gives the metric `custom`; empty: there is none.
        is_wanted: whether anybody wants to know: we are the primary.
        is_dormant: whether nobody asks the throttler, so that it may ask less often.
        clock: times our beats.
    """

    def __init__(
        self,
        pools: Mapping[str, Pool],
        *,
        keyspace_shard: str,
        written: Written,
        custom_query: Callable[[], str],
        is_wanted: Callable[[], bool],
        is_dormant: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self._pools = pools
        self._keyspace_shard = keyspace_shard
        self._written = written
        self._custom_query = custom_query
        self._is_wanted = is_wanted
        self._is_dormant = is_dormant
        self._clock = clock
        self._lags: dict[str, tuple[float, Reading]] = {}
        self._metrics: dict[str, tuple[float, Mapping[str, Reading]]] = {}
        self._failures: dict[str, str] = {}
        self._servers: dict[str, tuple[int, ServerInfo]] = {}
        self._resting: list[asyncio.Event] = []

    def wake(self) -> None:
        """Somebody asks the throttler: ask at once, if that has rested."""
        for event in self._resting:
            event.set()

    def readings(self) -> Mapping[str, SqlReadings]:
        """Return what is known of each, by address."""
        return {address: self._reading(address) for address in self._pools}

    async def run(self) -> None:
        """Ask again and again; never returns. A slow query holds up no question for the lag."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._repeat(self.read_lags, LAG_TICK_SECONDS))
            tasks.create_task(self._repeat(self.read_metrics, METRICS_TICK_SECONDS))

    async def _repeat(self, read: Callable[[], Awaitable[None]], tick_seconds: float) -> None:
        wanted = asyncio.Event()
        self._resting.append(wanted)
        while True:
            wanted.clear()
            is_wanted = bool(self._pools) and self._is_wanted()
            if is_wanted:
                await read()
            if is_wanted and not self._is_dormant():
                await asyncio.sleep(tick_seconds)
                continue
            await pause(TICK_SECONDS_DORMANT, wanted)

    async def read_lags(self) -> None:
        """Ask all of them for the lag once; a failure is kept, and the last answer with it."""
        async with asyncio.TaskGroup() as tasks:
            for address, pool in self._pools.items():
                tasks.create_task(self._read_lag(address, pool), name=f"lag of {address}")

    async def read_metrics(self) -> None:
        """Ask all of them for everything else once; what cannot be read says why."""
        async with asyncio.TaskGroup() as tasks:
            for address, pool in self._pools.items():
                tasks.create_task(self._read_metrics(address, pool), name=f"metrics of {address}")

    async def _read_lag(self, address: str, pool: Pool) -> None:
        asked_monotonic = self._clock.monotonic_seconds()
        try:
            async with (
                asyncio.timeout(_ANSWER_SECONDS_MAX),
                pool.session(timeout_seconds=_ANSWER_SECONDS_MAX) as session,
            ):
                beat = await session.execute(_BEAT_SQL, (self._keyspace_shard,))
                delay_seconds, stopped = await self._replication(address, session)
        except TabletdError as error:
            self._failures[address] = str(error)
            return
        except TimeoutError:
            self._failures[address] = f"no answer within {_ANSWER_SECONDS_MAX:g} s"
            return
        self._failures.pop(address, None)
        lag = lag_of(beat.lower_dicts(), *self._written(), asked_monotonic, delay_seconds)
        if stopped:
            lag = Reading(lag.value, stopped, is_down=True)
        self._lags[address] = (asked_monotonic, lag)

    async def _replication(self, address: str, session: Session) -> tuple[int, str]:
        """Return the delay that an operator gave a replica, seconds, and why it is stopped."""
        connection_id, server = self._servers.get(address, (0, None))
        try:
            if server is None or connection_id != session.connection_id:
                server = await server_info(session)
                self._servers[address] = (session.connection_id, server)
            status = await replication_status(session, server)
        except TabletdError as error:
            if error.reason is not Reason.MISSING_GRANT:
                raise
            # Its heartbeats tell by themselves that it stands still.
            return 0, ""
        return status.sql_delay_seconds if status is not None else 0, stopped_error(status)

    async def _read_metrics(self, address: str, pool: Pool) -> None:
        queries = server_queries(self._custom_query())
        found = {metric.value: await read_number(pool, sql) for metric, sql in queries.items()}
        self._metrics[address] = (self._clock.monotonic_seconds(), MappingProxyType(found))

    def _reading(self, address: str) -> SqlReadings:
        now = self._clock.monotonic_seconds()
        nothing: Mapping[str, Reading] = {}
        read_at, metrics = self._metrics.get(address, (float("-inf"), nothing))
        asked_at, lag = self._lags.get(address, (float("-inf"), None))
        if lag is None or now - asked_at > _SILENT_SECONDS:
            error = f"cannot be asked: {self._failures.get(address, 'it was not asked yet')}"
            lag = Reading(lag.value if lag is not None else None, error)
        is_known = now - read_at <= _SILENT_SECONDS
        found = {**(metrics if is_known else nothing), Metric.LAG.value: lag}
        return SqlReadings(MappingProxyType(found))


def lag_of(
    rows: Sequence[Mapping[str, Any]],
    series: int,
    beats: Sequence[OwnBeat],
    asked_monotonic: float,
    delay_seconds: float,
) -> Reading:
    """Return the lower bound of a lag: the age of the oldest own beat that has not arrived.

    Args:
        rows: the heartbeat there, by names of columns in lower case.
        series: that of our beats.
        beats: ours, the oldest first.
        asked_monotonic: when we began to ask, by the clock of our beats, seconds.
        delay_seconds: what an operator lets the replica be behind.
    """
    if not rows:
        return Reading(None, "no heartbeat has arrived yet")
    if not beats:
        return Reading(None, "this daemon has written no heartbeat: nothing to measure by")
    seen = int(rows[0].get("seq") or 0) if rows[0].get("series") == series else 0
    missing = next((beat for beat in beats if beat.sequence > seen), None)
    if missing is None:
        return Reading(0.0)
    age_seconds = asked_monotonic - missing.committed_ns / 1e9
    return Reading(max(0.0, age_seconds - delay_seconds))
