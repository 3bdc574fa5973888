"""The answer behind `/throttler/check`, CheckThrottler and GetThrottlerStatus.

Two things hold an app back: a rule that somebody has set for it, and the lag of the replicas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Protocol

from tabletd.clock import Clock
from tabletd.mysql.result import ResultSet
from tabletd.throttler.app_rules import AppRules
from tabletd.throttler.check_result import CheckResult, MetricResult, ResponseCode
from tabletd.throttler.config import LAG_METRIC, Scope, split_metric
from tabletd.throttler.recent import OPERATORS_APP, RecentApp, RecentChecks
from tabletd.throttler.rules import ALL_APPS, AppRule, name_parts
from tabletd.throttler.tables import throttler_status_table

THRESHOLD_SECONDS_DEFAULT: Final = 5.0
# An app that asks with low priority steps back this long after anyone was throttled (Vitess v9).
_LOW_PRIORITY_SECONDS: Final = 1.0
# Source: tablet throttler of Vitess.
_DORMANT_SECONDS: Final = 60.0
_RECENT_SECONDS: Final = 10.0


class LagReading(Protocol):
    """A replication lag and why it is missing."""

    @property
    def lag_seconds(self) -> float | None:
        """Seconds; None: not known."""
        ...

    @property
    def error(self) -> str:
        """Why it is not known or not to be trusted."""
        ...


class ReplicaReading(LagReading, Protocol):
    """The lag of another tablet of the shard."""

    @property
    def is_counted(self) -> bool:
        """Whether migrations wait for this tablet; not for one that an operator has set aside."""
        ...


@dataclass(frozen=True, slots=True)
class ThrottlerStatus:
    """The state of the throttler.

    Attributes:
        is_leader: it answers for the shard: its tablet is the primary.
        is_open: it knows its role.
        is_enabled: lag holds apps back.
        is_dormant: nobody but operators has asked for a minute.
        is_recently_checked: somebody has, within ten seconds.
        threshold_seconds: lag above this is too much.
        metrics: the lag now, by scope.
        rules: in force, by app.
        app_checked_metrics: what is checked for an app, by app.
        recent_apps: the last checks, by app.
    """

    is_leader: bool
    is_open: bool
    is_enabled: bool
    is_dormant: bool
    is_recently_checked: bool
    threshold_seconds: float
    metrics: Mapping[Scope, MetricResult]
    rules: Mapping[str, AppRule]
    app_checked_metrics: Mapping[str, tuple[str, ...]]
    recent_apps: Mapping[str, RecentApp]


class Throttler:
    """Holds an app against the rules, then lag against a threshold.

    A primary compares the worst lag of its replicas, another tablet its own.

    Args:
        own_lag: the lag of this tablet.
        replica_lags: the lags of the other tablets, by address.
        rules: rules for apps, and the stored settings.
        clock: for the memory of recent checks and refusals.
        threshold_seconds: where none is stored; may be set anew at any time.
    """

    def __init__(
        self,
        *,
        own_lag: Callable[[], LagReading],
        replica_lags: Callable[[], Mapping[str, ReplicaReading]],
        rules: AppRules,
        clock: Clock,
        threshold_seconds: float = THRESHOLD_SECONDS_DEFAULT,
    ) -> None:
        self.threshold_seconds = threshold_seconds
        self._own_lag = own_lag
        self._replica_lags = replica_lags
        self._rules = rules
        self._clock = clock
        self._recent = RecentChecks(clock)
        self._is_open = False
        self._is_primary = False
        self._refused_monotonic = float("-inf")

    @property
    def is_recently_checked(self) -> bool:
        """Whether anybody but an operator has asked within ten seconds."""
        return self._recent.is_within(_RECENT_SECONDS)

    async def make_primary(self) -> None:
        """Answer for the replicas."""
        self._is_open = self._is_primary = True

    async def make_non_primary(self) -> None:
        """Answer for this tablet alone."""
        self._is_open, self._is_primary = True, False

    async def close(self) -> None:
        """Answer for this tablet alone."""
        self._is_open = self._is_primary = False

    def check(
        self,
        app: str,
        *,
        low_priority: bool = False,
        scope: Scope | None = None,
        ok_if_not_exists: bool = False,
    ) -> CheckResult:
        """Say whether an app may go on.

        Args:
            app: its name, parts joined by colons (`online-ddl:gh-ost:<uuid>`); empty: an operator.
            low_priority: it gives way while others are throttled.
            scope: whose lag counts; None: the shard's on a primary, else the tablet's own.
            ok_if_not_exists: a lag that is not measured is no reason to refuse.
        """
        app = app or OPERATORS_APP
        result = self._check_rules(app)
        if result is None:
            result = self._check_metrics(app, low_priority, scope)
        if result.code is ResponseCode.UNKNOWN_METRIC and ok_if_not_exists:
            result = replace(result, code=ResponseCode.OK)
        self._recent.note(app, result.code, result.message)
        return result

    def user_throttle_ratio(self, migration_uuid: str) -> float:
        """Return how much of a migration people hold back; see `AppRules`."""
        return self._rules.user_throttle_ratio(migration_uuid)

    def last_refusal(self, app: str) -> str:
        """Return why an app's last check was refused; empty when it was not, or none is known."""
        recent = self._recent.apps().get(app)
        return recent.message if recent is not None and recent.code is not ResponseCode.OK else ""

    def status(self) -> ThrottlerStatus:
        """Return the state of this moment."""
        config = self._rules.config
        scopes = (Scope.SELF, Scope.SHARD) if self._is_primary else (Scope.SELF,)
        return ThrottlerStatus(
            is_leader=self._is_primary,
            is_open=self._is_open,
            is_enabled=config.enabled,
            is_dormant=not self._recent.is_within(_DORMANT_SECONDS),
            is_recently_checked=self.is_recently_checked,
            threshold_seconds=self._threshold(),
            metrics={scope: self._measure(scope) for scope in scopes},
            rules=self._rules.rules(),
            app_checked_metrics=config.app_checked_metrics,
            recent_apps=self._recent.apps(),
        )

    def show_status(self, shard: str) -> ResultSet:
        """Return the answer to SHOW VITESS_THROTTLER STATUS."""
        return throttler_status_table(
            shard=shard, enabled=self._rules.config.enabled, threshold_seconds=self._threshold()
        )

    def _threshold(self) -> float:
        config = self._rules.config
        return config.lag_threshold or config.threshold or self.threshold_seconds

    def _check_rules(self, app: str) -> CheckResult | None:
        """Return what the rules alone decide; None: nothing."""
        verdict = self._rules.judge(app)
        if verdict.denied_by is not None:
            rule = verdict.denied_by
            return self._without_metrics(rule.name, ResponseCode.APP_DENIED, rule.words)
        if verdict.is_exempt:
            return self._without_metrics(app, ResponseCode.OK)
        if not self._rules.is_loaded:
            return self._without_metrics(
                app, ResponseCode.INTERNAL_ERROR, "the throttle rules have not been read yet"
            )
        return None

    def _check_metrics(self, app: str, low_priority: bool, scope: Scope | None) -> CheckResult:
        now = self._clock.monotonic_seconds()
        if low_priority and now - self._refused_monotonic <= _LOW_PRIORITY_SECONDS:
            return self._without_metrics(
                app, ResponseCode.APP_DENIED, "apps of normal priority are throttled"
            )
        metrics = {
            name: self._measure(split_metric(name)[0] or scope or self._default_scope())
            for name in self._metrics_of(app)
        }
        worst = next((m for m in metrics.values() if m.code is not ResponseCode.OK), None)
        if worst is None or not self._rules.config.enabled:
            value = max(metric.value for metric in metrics.values())
            return CheckResult(
                app, ResponseCode.OK, value, self._threshold(), metrics=MappingProxyType(metrics)
            )
        if not low_priority and app != OPERATORS_APP:
            self._refused_monotonic = now
        return CheckResult(
            app,
            worst.code,
            worst.value,
            worst.threshold,
            worst.message,
            metrics=MappingProxyType(metrics),
            decided_by=worst,
        )

    def _metrics_of(self, app: str) -> tuple[str, ...]:
        """Return what is checked: what a part of the name has, what all have, or the lag."""
        assigned = self._rules.config.app_checked_metrics
        if app == OPERATORS_APP:
            return (LAG_METRIC,)
        names = [metric for part in name_parts(app) for metric in assigned.get(part, ())]
        return tuple(dict.fromkeys(names)) or assigned.get(ALL_APPS, ()) or (LAG_METRIC,)

    def _default_scope(self) -> Scope:
        return Scope.SHARD if self._is_primary else Scope.SELF

    def _measure(self, scope: Scope) -> MetricResult:
        if scope is Scope.SELF:
            return self._measure_own()
        if not self._is_primary:
            return self._metric(
                scope,
                ResponseCode.UNKNOWN_METRIC,
                0.0,
                "No such metric: the lag of the shard is known to its primary",
            )
        return self._measure_replicas()

    def _measure_own(self) -> MetricResult:
        reading, scope = self._own_lag(), Scope.SELF
        value, threshold = reading.lag_seconds, self._threshold()
        if value is None:
            why = f"No such metric: {reading.error}"
            return self._metric(scope, ResponseCode.UNKNOWN_METRIC, 0.0, why)
        if reading.error:
            why = f"this tablet: {reading.error}"
            return self._metric(scope, ResponseCode.THRESHOLD_EXCEEDED, value, why)
        if value > threshold:
            why = f"Threshold exceeded: lag {value:.3f} s"
            return self._metric(scope, ResponseCode.THRESHOLD_EXCEEDED, value, why)
        return self._metric(scope, ResponseCode.OK, value)

    def _measure_replicas(self) -> MetricResult:
        worst_seconds, refusals = 0.0, list[str]()
        for address, reading in sorted(self._replica_lags().items()):
            if not reading.is_counted:
                continue
            worst_seconds = max(worst_seconds, reading.lag_seconds or 0.0)
            if reading.error or reading.lag_seconds is None:
                refusals.append(f"replica {address}: {reading.error or 'lag not known'}")
            elif reading.lag_seconds > self._threshold():
                refusals.append(
                    f"Threshold exceeded: replica {address}: lag {reading.lag_seconds:g} s"
                )
        code = ResponseCode.THRESHOLD_EXCEEDED if refusals else ResponseCode.OK
        return self._metric(Scope.SHARD, code, worst_seconds, "; ".join(refusals))

    def _metric(
        self, scope: Scope, code: ResponseCode, value: float, message: str = ""
    ) -> MetricResult:
        return MetricResult(scope, code, value, self._threshold(), message)

    def _without_metrics(self, app: str, code: ResponseCode, message: str = "") -> CheckResult:
        return CheckResult(app, code, 0.0, self._threshold(), message)
