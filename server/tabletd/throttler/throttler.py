"""The answer behind `/throttler/check`, CheckThrottler and GetThrottlerStatus.

Two things hold an app back: a rule that somebody has set for it, and metrics, above all the lag of
the replicas. Both are in memory: nothing is asked of anybody for a check.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from tabletd.clock import Clock
from tabletd.mysql.result import ResultSet
from tabletd.telemetry.vars import Registry
from tabletd.throttler.app_rules import AppRules
from tabletd.throttler.board import Board, BoardKeeper, ReplicaReadings
from tabletd.throttler.check_result import CheckResult, MetricResult, ResponseCode
from tabletd.throttler.measuring import Measured, Outcome, threshold
from tabletd.throttler.metrics import CheckedMetric, Metric, Reading, Scope
from tabletd.throttler.pacing import PACED_APPS, Pacer, share
from tabletd.throttler.recent import OPERATORS_APP, RecentApp, RecentChecks
from tabletd.throttler.refusals import Cause, Refusals
from tabletd.throttler.rules import AppRule, name_parts
from tabletd.throttler.tables import throttler_status_table

# An app that asks with low priority steps back this long after anyone was throttled (Vitess v9).
_LOW_PRIORITY_SECONDS: Final = 1.0
# Source: tablet throttler of Vitess.
DORMANT_SECONDS: Final = 60.0
_RECENT_SECONDS: Final = 10.0
_ASKED_SECONDS: Final = 1.0
# An app counts as slowed down for so long after the last check that was refused for it.
_SLOWED_SECONDS: Final = 10.0


@dataclass(slots=True)
class ThrottlerSettings:
    """The daemon's own; each may be set anew at any time.

    Attributes:
        threshold_seconds: lag above this is too much, where no threshold is stored.
        unknown_seconds: how long a replica of which nothing is known holds migrations back.
        paces: let migrations go the slower, the nearer the lag is to its threshold.
        look_seconds: how long what was read from memory is good for the next check.
    """

    threshold_seconds: float = 5.0
    unknown_seconds: float = 300.0
    paces: bool = True
    look_seconds: float = 0.1


@dataclass(frozen=True, slots=True)
class ThrottlerStatus:
    """The state of the throttler.

    Attributes:
        is_leader: it answers for the shard: its tablet is the primary.
        is_open: it knows its role.
        is_enabled: metrics hold apps back.
        is_dormant: nobody but operators has asked for a minute.
        is_recently_checked: somebody has, within ten seconds.
        default_metric: what is checked for an app that has no metrics of its own.
        default_threshold: its threshold.
        custom_query: gives the metric `custom`; empty: none.
        metrics: those that are known, by scope and name (`shard/lag`).
        thresholds: by metric.
        healthy_monotonic: when each metric was last below its threshold, by metric.
        now_monotonic: this moment, on the same clock.
        now_ns: and by the wall.
        rules: in force, by app.
        app_checked_metrics: what is checked for an app, by app.
        recent_apps: the last checks, by app.
    """

    is_leader: bool
    is_open: bool
    is_enabled: bool
    is_dormant: bool
    is_recently_checked: bool
    default_metric: Metric
    default_threshold: float
    custom_query: str
    metrics: Mapping[str, MetricResult]
    thresholds: Mapping[str, float]
    healthy_monotonic: Mapping[str, float]
    now_monotonic: float
    now_ns: int
    rules: Mapping[str, AppRule]
    app_checked_metrics: Mapping[str, tuple[str, ...]]
    recent_apps: Mapping[str, RecentApp]


class Throttler:
    """Holds an app against the rules, then metrics against thresholds.

    A primary compares the worst lag of its replicas, another tablet its own.

    Args:
        own: this tablet's metrics; one that is missing is not measured.
        replicas: the shard's other tablets, by address.
        rules: rules for apps, and the stored settings.
        clock: for the memory of recent checks and refusals.
        registry: gets the `Throttler*` instruments.
        settings: see there.

    Attributes:
        on_asked: called when anybody but an operator asks, at most once a second.
    """

    def __init__(
        self,
        *,
        own: Callable[[], Mapping[Metric, Reading]],
        replicas: Callable[[], Mapping[str, ReplicaReadings]],
        rules: AppRules,
        clock: Clock,
        registry: Registry,
        settings: ThrottlerSettings | None = None,
    ) -> None:
        self.settings = settings or ThrottlerSettings()
        self.on_asked: Callable[[], None] = _nobody
        self._own = own
        self._replicas = replicas
        self._rules = rules
        self._clock = clock
        self._recent = RecentChecks(clock)
        self._pacer = Pacer()
        self._keeper = BoardKeeper(self.settings.unknown_seconds)
        self._measured = Measured(
            MappingProxyType({}), rules.config, threshold_seconds=0.0, is_primary=False
        )
        self._looked_monotonic = float("-inf")
        self._told_monotonic = float("-inf")
        self._healthy: dict[str, float] = {}
        self._is_open = False
        self._is_primary = False
        self._refused_monotonic = float("-inf")
        self._checks = registry.counter("ThrottlerChecks", "checks of the throttler")
        self._refusals = registry.counter(
            "ThrottlerChecksRefused", "checks that were refused, paced ones included"
        )
        self._refusals_by_cause = Refusals(registry)
        self._paced = registry.counter(
            "ThrottlerChecksPaced", "checks refused below the threshold, to slow a tool down"
        )
        self._heartbeat_requests = registry.counter(
            "ThrottlerHeartbeatRequests", "times that checks asked for heartbeats"
        )
        self._add_gauges(registry)

    def _add_gauges(self, registry: Registry) -> None:
        def worst_lag() -> float:
            measured = self._measured_now()
            entry = measured.board.get((measured.default_scope, Metric.LAG))
            return entry.worst if entry is not None else 0.0

        registry.gauge(
            "ThrottlerLagSeconds", "worst lag that checks are held against, seconds", worst_lag
        )
        registry.gauge(
            "ThrottlerShare",
            "share of a migration's checks that pass at this lag, 0 to 1",
            lambda: share(worst_lag(), self._threshold(Metric.LAG)),
        )
        registry.gauge(
            "ThrottlerUnknownReplicas",
            "replicas of which nothing is known",
            lambda: self._keeper.unknown_replicas,
        )

    @property
    def is_primary(self) -> bool:
        """Whether it answers for the replicas."""
        return self._is_primary

    @property
    def is_recently_checked(self) -> bool:
        """Whether anybody but an operator has asked within ten seconds."""
        return self._recent.is_within(_RECENT_SECONDS)

    @property
    def is_dormant(self) -> bool:
        """Whether nobody but operators has asked for a minute."""
        return not self._recent.is_within(DORMANT_SECONDS)

    async def make_primary(self) -> None:
        """Answer for the replicas."""
        self._is_open = self._is_primary = True
        self._looked_monotonic = float("-inf")

    async def make_non_primary(self) -> None:
        """Answer for this tablet alone."""
        self._is_open, self._is_primary = True, False
        self._looked_monotonic = float("-inf")

    async def close(self) -> None:
        """Answer for this tablet alone."""
        self._is_open = self._is_primary = False
        self._looked_monotonic = float("-inf")

    def check(
        self,
        app: str,
        *,
        low_priority: bool = False,
        scope: Scope | None = None,
        ok_if_not_exists: bool = False,
        asks_for_heartbeats: bool = True,
    ) -> CheckResult:
        """Say whether an app may go on.

        Args:
            app: its name, parts joined by colons (`online-ddl:gh-ost:<uuid>`); empty: an operator.
            low_priority: it gives way while others are throttled.
            scope: whose metrics count; None: each metric's own, for the lag the shard's on a
                primary and else the tablet's own.
            ok_if_not_exists: a metric that is not measured is no reason to refuse.
            asks_for_heartbeats: this check counts as somebody who needs to know the lag.
        """
        app = app or OPERATORS_APP
        result = self._check_rules(app)
        if result is None:
            result = self._check_metrics(app, low_priority, scope)
        if result.code is ResponseCode.UNKNOWN_METRIC and ok_if_not_exists:
            result = replace(result, code=ResponseCode.OK, cause=None)
        self._note(app, result, asks_for_heartbeats)
        return result

    def _note(self, app: str, result: CheckResult, asks_for_heartbeats: bool) -> None:
        message = "" if result.is_ok else result.message
        self._recent.note(app, result.code, message, is_slowed=result.cause is Cause.SLOWED)
        self._checks.add()
        if not result.is_ok:
            self._refusals.add()
        if result.cause is not None:
            self._refusals_by_cause.add(result.cause, app)
        if not asks_for_heartbeats or app == OPERATORS_APP:
            return
        now = self._clock.monotonic_seconds()
        if now - self._told_monotonic >= _ASKED_SECONDS:
            self._told_monotonic = now
            self._heartbeat_requests.add()
            self.on_asked()

    def user_throttle_ratio(self, migration_uuid: str) -> float:
        """Return how much of a migration people hold back; see `AppRules`."""
        return self._rules.user_throttle_ratio(migration_uuid)

    def last_refusal(self, app: str) -> str:
        """Return why an app's last check was refused; empty when it was not, or none is known."""
        recent = self._recent.apps().get(app)
        return recent.message if recent is not None and recent.code is not ResponseCode.OK else ""

    def slowed_down(self, app: str) -> str:
        """Return why some of an app's checks were refused of late; empty when none was."""
        recent = self._recent.apps().get(app)
        if recent is None:
            return ""
        age_seconds = self._clock.monotonic_seconds() - recent.slowed_monotonic
        return recent.slowed if age_seconds <= _SLOWED_SECONDS else ""

    def _measured_now(self) -> Measured:
        """Return what is known of the shard, read anew from memory when it is too old."""
        now, settings, config = self._clock.monotonic_seconds(), self.settings, self._rules.config
        limit = settings.threshold_seconds
        is_fresh = now - self._looked_monotonic < settings.look_seconds
        if is_fresh and self._measured.is_of(config, limit):
            return self._measured
        board = self._measured.board if is_fresh else self._look(now)
        measured = Measured(board, config, threshold_seconds=limit, is_primary=self._is_primary)
        self._measured = measured
        if not is_fresh:
            for metric in Metric:
                if measured.measure(CheckedMetric(metric), None).code is ResponseCode.OK:
                    self._healthy[metric.value] = now
        return measured

    def _look(self, now: float) -> Board:
        self._looked_monotonic = now
        self._keeper.unknown_seconds = self.settings.unknown_seconds
        return self._keeper.look(
            now,
            own=self._own(),
            replicas=self._replicas() if self._is_primary else None,
            lag_thresholds=self._rules.config.lag_thresholds_of_apps
            | {self._threshold(Metric.LAG)},
        )

    def status(self) -> ThrottlerStatus:
        """Return the state of this moment."""
        config, measured = self._rules.config, self._measured_now()
        metrics = {
            f"{scope}/{metric}": measured.measure(CheckedMetric(metric, scope), None)
            for scope, metric in measured.board
        }
        return ThrottlerStatus(
            is_leader=self._is_primary,
            is_open=self._is_open,
            is_enabled=config.enabled,
            is_dormant=self.is_dormant,
            is_recently_checked=self.is_recently_checked,
            default_metric=config.default_metric,
            default_threshold=self._threshold(config.default_metric),
            custom_query=config.custom_query,
            metrics={
                name: metric
                for name, metric in metrics.items()
                if metric.metric is Metric.LAG or metric.code is not ResponseCode.UNKNOWN_METRIC
            },
            thresholds={metric.value: self._threshold(metric) for metric in Metric},
            healthy_monotonic=dict(self._healthy),
            now_monotonic=self._clock.monotonic_seconds(),
            now_ns=self._clock.wall_ns(),
            rules=self._rules.rules(),
            app_checked_metrics=config.app_checked_metrics,
            recent_apps=self._recent.apps(),
        )

    def show_status(self, shard: str) -> ResultSet:
        """Return the answer to SHOW VITESS_THROTTLER STATUS."""
        config = self._rules.config
        return throttler_status_table(
            shard=shard,
            enabled=config.enabled,
            threshold=self._threshold(config.default_metric),
            query=config.custom_query,
        )

    def _threshold(self, metric: Metric) -> float:
        return threshold(self._rules.config, metric, self.settings.threshold_seconds)

    def _check_rules(self, app: str) -> CheckResult | None:
        """Return what the rules alone decide; None: nothing."""
        verdict = self._rules.judge(app)
        if verdict.denied_by is not None:
            rule = verdict.denied_by
            return self._refused(rule.name, ResponseCode.APP_DENIED, rule.words, Cause.RULE)
        if verdict.is_exempt:
            return CheckResult(app, ResponseCode.OK, 0.0, self._default_threshold)
        if not self._rules.is_loaded:
            message = "the throttle rules have not been read yet"
            return self._refused(app, ResponseCode.INTERNAL_ERROR, message, Cause.UNKNOWN)
        return None

    def _check_metrics(self, app: str, low_priority: bool, scope: Scope | None) -> CheckResult:
        now = self._clock.monotonic_seconds()
        if low_priority and now - self._refused_monotonic <= _LOW_PRIORITY_SECONDS:
            message = "apps of normal priority are throttled"
            return self._refused(app, ResponseCode.APP_DENIED, message, Cause.PRIORITY)
        measured = self._measured_now()
        outcome = measured.outcome(app, scope)
        refusal, cause = outcome.refusal, None
        if refusal is not None:
            cause = _cause(refusal, measured.board)
            if not low_priority and app != OPERATORS_APP:
                self._refused_monotonic = now
        elif self._rules.config.enabled:
            refusal = self._slow_down(app, outcome)
            cause = Cause.SLOWED if refusal is not None else None
        shown = refusal or outcome.worst
        return CheckResult(
            app,
            refusal.code if refusal else ResponseCode.OK,
            shown.value,
            shown.threshold,
            refusal.message if refusal else outcome.notes,
            metrics=outcome.metrics,
            decided_by=refusal,
            cause=cause,
        )

    def _slow_down(self, app: str, outcome: Outcome) -> MetricResult | None:
        """Return why a tool that no metric refuses has to pause; None: it goes on."""
        if outcome.slowest is None or not self.settings.paces:
            return None
        if PACED_APPS.isdisjoint(name_parts(app)):
            return None
        passing, lag = outcome.slowest
        if self._pacer.admits(app, passing):
            return None
        self._paced.add()
        passes = f"one check in {math.ceil(1 / passing)} passes" if passing else "no check passes"
        message = (
            f"Slowed down: {lag.whose}: lag {lag.value:.3g} s of {lag.threshold:g} s, {passes}"
        )
        return replace(lag, code=ResponseCode.THRESHOLD_EXCEEDED, message=message)

    @property
    def _default_threshold(self) -> float:
        return self._threshold(self._rules.config.default_metric)

    def _refused(self, app: str, code: ResponseCode, message: str, cause: Cause) -> CheckResult:
        """Return a refusal for which no metric was looked at."""
        return CheckResult(app, code, 0.0, self._default_threshold, message, cause=cause)


def _cause(refusal: MetricResult, board: Board) -> Cause:
    """Return what a metric refuses for; who is not known or stopped explains a lag as well."""
    is_known = refusal.code is not ResponseCode.UNKNOWN_METRIC
    if not is_known or board[refusal.scope, refusal.metric].blocks:
        return Cause.UNKNOWN
    return Cause.LAG if refusal.metric is Metric.LAG else Cause.METRIC


def _nobody() -> None:
    return
