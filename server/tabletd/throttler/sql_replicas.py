"""Replicas without a daemon: their servers are asked by SQL, by the primary's daemon alone.

Their lag is read without anybody else's clock: the beats that are looked for were stamped by the
daemon that looks, and it knows when the next one was due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tabletd.clock import Clock
from tabletd.errors import TabletdError
from tabletd.loops import pause
from tabletd.mysql.pool import Pool
from tabletd.throttler.metrics import Metric, Reading
from tabletd.throttler.own_metrics import THREADS_SQL, TICK_SECONDS_DORMANT, number_of

TICK_SECONDS: Final = 0.5
_ANSWER_SECONDS_MAX: Final = 1.0
_SILENT_SECONDS: Final = 7.5
_TIMESTAMP_SQL: Final = "SELECT ts FROM _vt.heartbeat WHERE keyspaceShard = %s"


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
        """Return a metric; None: it is not asked for."""
        return self.metrics.get(metric)


class SqlReplicas:
    """Asks all of them at each tick, side by side, each for a second at most.

    Args:
        pools: by address; sessions that give Python values, one each is enough.
        keyspace_shard: whose heartbeat, `commerce:0`.
        interval_seconds: between two beats.
        is_wanted: whether anybody wants to know: we are the primary.
        is_dormant: whether nobody asks the throttler, so that it may ask less often.
        clock: the one that stamps our beats.
    """

    def __init__(
        self,
        pools: Mapping[str, Pool],
        *,
        keyspace_shard: str,
        interval_seconds: float,
        is_wanted: Callable[[], bool],
        is_dormant: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self._pools = pools
        self._keyspace_shard = keyspace_shard
        self._interval_seconds = interval_seconds
        self._is_wanted = is_wanted
        self._is_dormant = is_dormant
        self._clock = clock
        self._known: dict[str, tuple[float, SqlReadings]] = {}
        self._failures: dict[str, str] = {}
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        """Somebody asks the throttler: ask at once, if that has rested."""
        self._wanted.set()

    def readings(self) -> Mapping[str, SqlReadings]:
        """Return what is known of each, by address."""
        return {address: self._reading(address) for address in self._pools}

    async def run(self) -> None:
        """Ask again and again; never returns."""
        while True:
            self._wanted.clear()
            is_wanted = bool(self._pools) and self._is_wanted()
            if is_wanted:
                await self.read()
            if is_wanted and not self._is_dormant():
                await asyncio.sleep(TICK_SECONDS)
                continue
            await pause(TICK_SECONDS_DORMANT, self._wanted)

    async def read(self) -> None:
        """Ask all of them once; a failure is kept, and the last answer with it."""
        async with asyncio.TaskGroup() as tasks:
            for address, pool in self._pools.items():
                tasks.create_task(self._read_one(address, pool), name=f"metrics of {address}")

    async def _read_one(self, address: str, pool: Pool) -> None:
        asked_ns, asked_monotonic = self._clock.wall_ns(), self._clock.monotonic_seconds()
        try:
            async with pool.session(timeout_seconds=_ANSWER_SECONDS_MAX) as session:
                beat = await session.execute(_TIMESTAMP_SQL, (self._keyspace_shard,))
                threads = await session.execute(THREADS_SQL)
        except TabletdError as error:
            self._failures[address] = str(error)
            return
        self._failures.pop(address, None)
        metrics = {
            Metric.LAG.value: lag_of(beat.rows, asked_ns, self._interval_seconds),
            Metric.THREADS_RUNNING.value: number_of(threads.rows),
        }
        self._known[address] = (asked_monotonic, SqlReadings(MappingProxyType(metrics)))

    def _reading(self, address: str) -> SqlReadings:
        at, known = self._known.get(address, (float("-inf"), None))
        if known is not None and self._clock.monotonic_seconds() - at <= _SILENT_SECONDS:
            return known
        last = known.reading(Metric.LAG) if known is not None else None
        error = f"cannot be asked: {self._failures.get(address, 'it was not asked yet')}"
        lag = Reading(last.value if last is not None else None, error)
        return SqlReadings(MappingProxyType({Metric.LAG.value: lag}))


def lag_of(rows: list[tuple[object, ...]], asked_ns: int, interval_seconds: float) -> Reading:
    """Return the lower bound of a lag: how long the beat after the one that is there is overdue.

    Args:
        rows: the `ts` of the newest beat that has arrived, in our clock's nanoseconds.
        asked_ns: when we began to ask, by the same clock.
        interval_seconds: between two beats.
    """
    newest = number_of(rows)
    if newest.value is None:
        return Reading(None, "no heartbeat has arrived yet")
    return Reading(max(0.0, (asked_ns - newest.value) / 1e9 - interval_seconds))
