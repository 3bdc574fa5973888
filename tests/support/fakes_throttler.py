"""What a throttler is told: lags that tests set, rules kept in this process."""

from __future__ import annotations

from dataclasses import dataclass, field

from tabletd.errors import TabletdError
from tabletd.heartbeat import Lag, LagState
from tabletd.telemetry.vars import Registry
from tabletd.throttler import (
    AppRules,
    Metric,
    Reading,
    RuleStore,
    Throttler,
    ThrottlerConfig,
    ThrottlerSettings,
)
from tabletd.throttler.store import Stored, StoredRule
from tests.support.clock import FakeClock

_NANOSECONDS_PER_SECOND = 1_000_000_000


@dataclass(frozen=True)
class Replica:
    """The lag of another tablet."""

    lag_seconds: float | None
    error: str = ""
    is_counted: bool = True
    is_down: bool = False
    threads_running: float | None = None

    def reading(self, metric: str, /) -> Reading | None:
        if metric == Metric.LAG:
            return Reading(self.lag_seconds, self.error, self.is_down)
        if metric == Metric.THREADS_RUNNING and self.threads_running is not None:
            return Reading(self.threads_running)
        return None


class MemoryRuleStore(RuleStore):
    """Keeps rows in memory; its server's clock is ahead of the daemon's by `ahead_seconds`."""

    def __init__(self, clock: FakeClock, *, ahead_seconds: float = 0.0) -> None:
        self.config = ThrottlerConfig()
        self.version = 0
        self.ends_ns: dict[str, tuple[float, bool, int]] = {}
        self.error: TabletdError | None = None
        self._clock = clock
        self._ahead_ns = int(ahead_seconds * _NANOSECONDS_PER_SECOND)

    async def load(self) -> Stored:
        if self.error is not None:
            raise self.error
        now_ns = await self.now_ns()
        rules = [
            StoredRule(name, ratio, is_exempt, end_ns, (end_ns - now_ns) / _NANOSECONDS_PER_SECOND)
            for name, (ratio, is_exempt, end_ns) in self.ends_ns.items()
        ]
        return Stored(tuple(rules), self.config, self.version)

    async def put_rule(
        self, name: str, *, ratio: float, expire_seconds: float, is_exempt: bool
    ) -> None:
        self.version += 1
        end_ns = await self.now_ns() + int(expire_seconds * _NANOSECONDS_PER_SECOND)
        self.ends_ns[name] = (ratio, is_exempt, end_ns)

    async def delete_rule(self, name: str) -> bool:
        self.version += 1
        return self.ends_ns.pop(name, None) is not None

    async def delete_expired(self) -> None:
        now_ns = await self.now_ns()
        self.ends_ns = {name: row for name, row in self.ends_ns.items() if row[2] > now_ns}

    async def put_config(self, config: ThrottlerConfig) -> None:
        self.version += 1
        self.config = config

    async def raise_version(self, version: int) -> None:
        self.version = max(self.version, version)

    async def now_ns(self) -> int:
        return self._clock.wall_ns() + self._ahead_ns


@dataclass
class FakeShard:
    """A throttler's surroundings; `draw` is what chance says to a rule with a ratio."""

    own: Lag = field(default_factory=lambda: Lag(LagState.MEASURED, 0))
    replicas: dict[str, Replica] = field(default_factory=dict[str, Replica])
    clock: FakeClock = field(default_factory=FakeClock)
    draw: float = 0.5
    metrics: dict[Metric, Reading] = field(default_factory=dict[Metric, Reading])
    settings: ThrottlerSettings = field(
        default_factory=lambda: ThrottlerSettings(paces=False, look_seconds=0.0)
    )
    registry: Registry = field(default_factory=Registry)

    def __post_init__(self) -> None:
        self.store = MemoryRuleStore(self.clock)

    def rules(self) -> AppRules:
        """Return rules that have not been read yet."""
        return AppRules(self.store, clock=self.clock, random=lambda: self.draw)

    def throttler(self, rules: AppRules) -> Throttler:
        """Return a throttler that does not know its role yet."""
        self.registry = Registry()
        return Throttler(
            own=lambda: {Metric.LAG: self._own_lag(), **self.metrics},
            replicas=lambda: self.replicas,
            rules=rules,
            clock=self.clock,
            registry=self.registry,
            settings=self.settings,
        )

    def _own_lag(self) -> Reading:
        lag, is_down = self.own, self.own.state is LagState.STOPPED
        return Reading(lag.lag_seconds, lag.error, is_down)

    async def replica(self) -> tuple[AppRules, Throttler]:
        """Return rules and throttler of a replica."""
        rules = self.rules()
        throttler = self.throttler(rules)
        await rules.make_non_primary()
        await throttler.make_non_primary()
        await rules.refresh()
        return rules, throttler

    async def primary(self) -> tuple[AppRules, Throttler]:
        """Return rules and throttler of a primary."""
        rules, throttler = await self.replica()
        await rules.make_primary()
        await throttler.make_primary()
        return rules, throttler
