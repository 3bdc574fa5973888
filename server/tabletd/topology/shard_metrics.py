"""The metrics of the shard's other tablets, asked of their daemons, which answer from memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from tabletd.clock import Clock
from tabletd.errors import Reason, TabletdError
from tabletd.loops import pause
from tabletd.topology.replica_watcher import SET_ASIDE, ReplicaWatcher
from tabletd.topology.topology import Topology
from tabletd_pb import tabletmanagerdata_pb2 as tm
from tabletd_pb import topodata_pb2

TICK_SECONDS: Final = 0.25
TICK_SECONDS_DORMANT: Final = 5.0
_ANSWER_SECONDS_MAX: Final = 1.0
# More than one tick of a dormant throttler: its first question must not find everybody silent.
_SILENT_SECONDS: Final = 7.5
_LAG: Final = "lag"

# Asks the daemon at an address for its own metrics, within so many seconds.
Ask = Callable[[str, float], Awaitable[tm.CheckThrottlerResponse]]


@dataclass(frozen=True, slots=True)
class TabletMetric:
    """One metric of another tablet.

    Attributes:
        value: in its own unit; None: not known.
        error: why it is not known or not to be trusted.
        is_down: the error refuses by itself: replication is stopped.
    """

    value: float | None
    error: str = ""
    is_down: bool = False


@dataclass(frozen=True, slots=True)
class TabletMetrics:
    """What is known of another tablet.

    Attributes:
        is_counted: whether migrations wait for it: no primary, not set aside by an operator.
        metrics: by name.
    """

    is_counted: bool
    metrics: Mapping[str, TabletMetric]

    def reading(self, metric: str, /) -> TabletMetric | None:
        """Return a metric; None: this tablet does not tell it."""
        return self.metrics.get(metric)


@dataclass(slots=True)
class _Told:
    """What a tablet said last, and what became of the last question."""

    metrics: Mapping[str, TabletMetric] = field(
        default_factory=lambda: MappingProxyType(dict[str, TabletMetric]())
    )
    heard_monotonic: float | None = None
    failure: str = "it was not asked yet"


@dataclass(frozen=True, slots=True)
class _Health:
    """What a tablet's stream of health says, as far as the throttler is concerned."""

    is_counted: bool
    lag_seconds: float | None
    error: str
    is_own_word: bool


class ShardMetrics:
    """Asks all of them at each tick, side by side, each for a second at most.

    Args:
        watcher: the tablets of the setting `replicas`; when there are none, those of the topology
            count.
        topology: knows the tablets of the shard.
        keyspace: ours.
        shard: ours.
        own_alias: who is not asked: we know.
        is_wanted: whether anybody wants to know: we are the primary.
        is_dormant: whether nobody asks the throttler, so that it may ask less often.
        clock: tells the age of what was heard.

    Attributes:
        ask: how a tablet is asked; to be set before `run`.
    """

    def __init__(
        self,
        *,
        watcher: ReplicaWatcher,
        topology: Topology,
        keyspace: str,
        shard: str,
        own_alias: str,
        is_wanted: Callable[[], bool],
        is_dormant: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self.ask: Ask = _nobody
        self._watcher = watcher
        self._topology = topology
        self._keyspace = keyspace
        self._shard = shard
        self._own_alias = own_alias
        self._is_wanted = is_wanted
        self._is_dormant = is_dormant
        self._clock = clock
        self._told: dict[str, _Told] = {}
        self._asked: set[str] = set()
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        """Somebody asks the throttler: ask the tablets at once, if that has rested."""
        self._wanted.set()

    def readings(self) -> Mapping[str, TabletMetrics]:
        """Return what is known of each tablet, by address."""
        return {
            address: TabletMetrics(health.is_counted, self._metrics(address, health))
            for address, health in self._healths().items()
        }

    async def run(self) -> None:
        """Ask again and again; never returns."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._wanted.clear()
                if self._is_wanted():
                    self._tick(tasks)
                else:
                    self._told.clear()
                await self._pause()

    async def _pause(self) -> None:
        if self._is_wanted() and not self._is_dormant():
            await asyncio.sleep(TICK_SECONDS)
            return
        await pause(TICK_SECONDS_DORMANT, self._wanted)

    def _tick(self, tasks: asyncio.TaskGroup) -> None:
        wanted = {address for address, health in self._healths().items() if health.is_counted}
        self._told = {name: told for name, told in self._told.items() if name in wanted}
        for address in wanted - self._asked:
            self._asked.add(address)
            tasks.create_task(self._learn(address), name=f"metrics of {address}")

    async def _learn(self, address: str) -> None:
        told = self._told.setdefault(address, _Told())
        try:
            async with asyncio.timeout(2 * _ANSWER_SECONDS_MAX):
                answer = await self.ask(address, _ANSWER_SECONDS_MAX)
        except TabletdError as error:
            told.failure = str(error)
        except TimeoutError:
            told.failure = f"no answer within {_ANSWER_SECONDS_MAX:g} s"
        else:
            told.metrics = metrics_of(answer)
            told.heard_monotonic = self._clock.monotonic_seconds()
            told.failure = ""
        finally:
            self._asked.discard(address)

    def _metrics(self, address: str, health: _Health) -> Mapping[str, TabletMetric]:
        told = self._told.get(address)
        if health.error and not health.is_own_word:
            return {_LAG: TabletMetric(health.lag_seconds, health.error)}
        if told is not None and told.heard_monotonic is not None:
            age_seconds = self._clock.monotonic_seconds() - told.heard_monotonic
            if age_seconds <= _SILENT_SECONDS:
                return told.metrics
            last = told.metrics.get(_LAG)
            error = f"is silent for {age_seconds:.0f} s: {told.failure or 'it was not asked'}"
            return {_LAG: TabletMetric(last.value if last is not None else None, error)}
        # Not asked yet; the stream of health knows whole seconds.
        return {_LAG: TabletMetric(health.lag_seconds, health.error, health.is_own_word)}

    def _healths(self) -> Mapping[str, _Health]:
        if watched := self._watcher.lags():
            return {
                address: _Health(lag.is_counted, lag.lag_seconds, lag.error, lag.is_own_word)
                for address, lag in watched.items()
            }
        found: dict[str, _Health] = {}
        layout = self._topology.layout
        for tablet in layout.neighbours(self._keyspace, self._shard, self._own_alias):
            health = self._topology.health(tablet)
            is_unknown = health.tablet_type == topodata_pb2.UNKNOWN
            is_out = health.tablet_type == topodata_pb2.PRIMARY or health.tablet_type in SET_ASIDE
            lag = None if is_unknown else float(health.lag_seconds)
            own_word = bool(health.error) and not is_unknown
            found[tablet.grpc_address] = _Health(not is_out, lag, health.error, own_word)
        return found


async def _nobody(address: str, seconds_max: float) -> tm.CheckThrottlerResponse:
    raise TabletdError(Reason.NOT_SERVING, f"{address} cannot be asked yet")


def metrics_of(answer: tm.CheckThrottlerResponse) -> Mapping[str, TabletMetric]:
    """Return the metrics that a tablet's throttler tells of the tablet itself."""
    return {name: _metric(metric) for name, metric in answer.metrics.items()}


def _metric(metric: tm.CheckThrottlerResponse.Metric) -> TabletMetric:
    if metric.response_code not in {tm.OK, tm.THRESHOLD_EXCEEDED}:
        return TabletMetric(None, metric.error or metric.message or "not known")
    if metric.error:
        return TabletMetric(metric.value, metric.error)
    # Its own threshold is not ours; but what it refuses below it, it refuses as a fact.
    is_down = metric.response_code != tm.OK and metric.value <= metric.threshold
    return TabletMetric(metric.value, metric.message if is_down else "", is_down)
