"""A board held against thresholds: worked out once for all checks, until one of them changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tabletd.throttler.board import RELEASE, Board, Entry
from tabletd.throttler.check_result import MetricResult, ResponseCode
from tabletd.throttler.config import ThrottlerConfig
from tabletd.throttler.metrics import (
    DEFAULT_THRESHOLDS,
    CheckedMetric,
    Metric,
    Scope,
    checked_metric,
    own_scope,
)
from tabletd.throttler.pacing import share
from tabletd.throttler.recent import OPERATORS_APP
from tabletd.throttler.rules import ALL_APPS, name_parts


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the metrics that are checked for an app say.

    Attributes:
        metrics: what was looked at, by name.
        refusal: the first that refuses; None: none does, or metrics refuse nobody here.
        worst: the one with the largest value.
        notes: who is left out, and why.
        slowest: the share of its checks that a migration passes at the worst lag, and that lag;
            None: the lag is not checked.
    """

    metrics: Mapping[str, MetricResult]
    refusal: MetricResult | None
    worst: MetricResult
    notes: str
    slowest: tuple[float, MetricResult] | None


class Measured:
    """What is known at a moment, as checks see it.

    Args:
        board: what is known.
        config: the stored settings.
        threshold_seconds: lag above this is too much, where no threshold is stored.
        is_primary: whether the lag of the shard counts where no scope is named.
    """

    def __init__(
        self,
        board: Board,
        config: ThrottlerConfig,
        *,
        threshold_seconds: float,
        is_primary: bool,
    ) -> None:
        self.board = board
        self.default_scope = Scope.SHARD if is_primary else Scope.SELF
        self._config = config
        self._threshold_seconds = threshold_seconds
        self._default_names = (config.default_metric.value,)
        self._outcomes: dict[tuple[tuple[str, ...], Scope | None], Outcome] = {}

    def is_of(self, config: ThrottlerConfig, threshold_seconds: float) -> bool:
        """Tell whether it was worked out by these settings."""
        return config is self._config and threshold_seconds == self._threshold_seconds

    def outcome(self, app: str, scope: Scope | None) -> Outcome:
        """Return what the metrics of an app say.

        Args:
            app: its name, parts joined by colons.
            scope: whose metrics count; None: each metric's own.
        """
        key = (self._names(app), scope)
        found = self._outcomes.get(key)
        if found is None:
            found = self._outcomes[key] = self._work_out(*key)
        return found

    def measure(self, one: CheckedMetric, scope: Scope | None) -> MetricResult:
        """Hold one metric against its threshold."""
        metric = one.metric
        limit = one.threshold or threshold(self._config, metric, self._threshold_seconds)
        where = one.scope or scope or own_scope(metric)
        if where is Scope.SHARD and not (one.scope or scope):
            where = self.default_scope
        entry = self.board.get((where, metric))
        if entry is None:
            why = f"No such metric: the {metric} of the shard is known to its primary"
            return MetricResult(metric, where, ResponseCode.UNKNOWN_METRIC, 0.0, limit, why, why)
        if entry.unknown:
            code = ResponseCode.UNKNOWN_METRIC
            return MetricResult(metric, where, code, 0.0, limit, entry.unknown, entry.unknown)
        exceeded = _exceeded(one, entry, limit)
        refusals = [*exceeded, *entry.blocks]
        if exceeded and entry.worst <= limit and not entry.blocks:
            # What another daemon sees refused below the threshold is to it a fact, as a stopped
            # thread is; this is a lag like any other.
            limit *= RELEASE
        return MetricResult(
            metric=metric,
            scope=where,
            code=ResponseCode.THRESHOLD_EXCEEDED if refusals else ResponseCode.OK,
            value=entry.worst,
            threshold=limit,
            message="; ".join(refusals),
            error=entry.error,
            whose=entry.values[0][1] if entry.values else "",
            note="; ".join(entry.notes),
        )

    def _names(self, app: str) -> tuple[str, ...]:
        """Return what is checked: what a part of the name has, what all have, or the default."""
        if app == OPERATORS_APP:
            return tuple(metric.value for metric in Metric if self._is_measured(metric))
        assigned = self._config.app_checked_metrics
        if not assigned:
            return self._default_names
        names = [metric for part in name_parts(app) for metric in assigned.get(part, ())]
        return tuple(names) or assigned.get(ALL_APPS) or self._default_names

    def _is_measured(self, metric: Metric) -> bool:
        """Tell whether there is such a metric now; the lag is always one."""
        return metric is Metric.LAG or not self.board[Scope.SELF, metric].unknown

    def _work_out(self, names: tuple[str, ...], scope: Scope | None) -> Outcome:
        metrics = {
            text.partition("=")[0]: self.measure(checked_metric(text), scope) for text in names
        }
        found = list(metrics.values())
        refusal = None
        if self._config.enabled:
            refusal = next((one for one in found if one.code is not ResponseCode.OK), None)
        shares = [
            (share(one.value, one.threshold), one) for one in found if one.metric is Metric.LAG
        ]
        return Outcome(
            metrics=MappingProxyType(metrics),
            refusal=refusal,
            worst=max(found, key=lambda one: one.value),
            notes="; ".join(one.note for one in found if one.note),
            slowest=min(shares, key=lambda one: one[0]) if shares else None,
        )


def threshold(config: ThrottlerConfig, metric: Metric, lag_seconds: float) -> float:
    """Return a metric's threshold.

    Args:
        config: the stored settings.
        metric: which.
        lag_seconds: the lag's, where none is stored.
    """
    named = config.metric_thresholds.get(metric.value, 0.0)
    if named:
        return named
    if metric is config.default_metric and config.threshold:
        return config.threshold
    return DEFAULT_THRESHOLDS.get(metric, lag_seconds)


def _exceeded(one: CheckedMetric, entry: Entry, limit: float) -> list[str]:
    """Return who is over the threshold, or was and has not come down far enough."""
    unit = " s" if one.metric is Metric.LAG else ""
    found = [
        f"{'' if number else 'Threshold exceeded: '}{whose}: {one.metric} {value:.6g}{unit}"
        for number, (value, whose) in enumerate(v for v in entry.values if v[0] > limit)
    ]
    if found or limit not in entry.held:
        return found
    value, whose = entry.values[0]
    return [
        f"Threshold exceeded a moment ago: {whose}: lag {value:.6g} s, "
        f"which must come down to {RELEASE * limit:g} s"
    ]
