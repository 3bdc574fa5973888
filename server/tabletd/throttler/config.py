"""The stored settings of the throttler, and what `UpdateThrottlerConfig` does to them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.throttler.metrics import Metric, checked_metric, measured_metric
from tabletd.throttler.rules import checked_name

CUSTOM_QUERY_CHARS_MAX: Final = 2000
_READS: Final = re.compile(r"\s*(?:SELECT|SHOW)\s", re.IGNORECASE)
_WRITES: Final = re.compile(r";|\bINTO\b|\bFOR\s+UPDATE\b|\bLOCK\s+IN\b", re.IGNORECASE)


def _no_lists() -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType({})


def _no_thresholds() -> Mapping[str, float]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ThrottlerConfig:
    """What is kept in `_vt`.

    Attributes:
        enabled: whether metrics hold anybody back; rules for apps do in any case.
        threshold: of the metric that is checked by default; 0: the daemon's own setting.
        custom_query: gives the metric `custom`, which is then the one checked by default.
        metric_thresholds: by metric; they win.
        app_checked_metrics: metrics that are checked for an app, each in the form of
            `metrics.CheckedMetric`.
    """

    enabled: bool = True
    threshold: float = 0.0
    custom_query: str = ""
    metric_thresholds: Mapping[str, float] = field(default_factory=_no_thresholds)
    app_checked_metrics: Mapping[str, tuple[str, ...]] = field(default_factory=_no_lists)

    @property
    def default_metric(self) -> Metric:
        """What is checked for an app that has no metrics of its own."""
        return Metric.CUSTOM if self.custom_query else Metric.LAG

    @property
    def lag_thresholds_of_apps(self) -> frozenset[float]:
        """What the lag is held against for some apps alone, seconds."""
        checked = (
            checked_metric(text) for texts in self.app_checked_metrics.values() for text in texts
        )
        return frozenset(
            one.threshold for one in checked if one.metric is Metric.LAG and one.threshold
        )


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """A request to change them; its parts are those of Vitess's `UpdateThrottlerConfig`.

    Attributes:
        enable: let metrics hold apps back.
        disable: no longer.
        threshold: see `metric_name` and `custom_query_set`.
        custom_query: checked instead of the lag.
        custom_query_set: set query and threshold, also to nothing; else only a threshold above 0
            is taken.
        check_as_check_self: answer for the own tablet only.
        metric_name: whose threshold it is; above 0 sets it, else it is removed.
        app_name: whose metrics `app_checked_metrics` are.
        app_checked_metrics: the metrics that are checked for the app; none: no longer its own.
    """

    enable: bool = False
    disable: bool = False
    threshold: float = 0.0
    custom_query: str = ""
    custom_query_set: bool = False
    check_as_check_self: bool = False
    metric_name: str = ""
    app_name: str = ""
    app_checked_metrics: tuple[str, ...] = ()


def changed(config: ThrottlerConfig, change: ConfigChange) -> ThrottlerConfig:
    """Return the settings after a change.

    Raises:
        TabletdError: INVALID_REQUEST for a change that contradicts itself, names a metric that does
            not exist, or asks for one that is not measured here: what is kept is obeyed.
    """
    _refuse_nonsense(change)
    if change.metric_name:
        limits = {**config.metric_thresholds, measured_metric(change.metric_name): change.threshold}
        kept_limits = {str(name): limit for name, limit in limits.items() if limit > 0}
        config = replace(config, metric_thresholds=MappingProxyType(kept_limits))
    elif change.custom_query_set:
        query = checked_query(change.custom_query)
        config = replace(config, custom_query=query, threshold=change.threshold)
    elif change.threshold > 0:
        config = replace(config, threshold=change.threshold)
    if change.app_name:
        app = checked_name(change.app_name)
        metrics = {**config.app_checked_metrics, app: _checked(change)}
        kept = {app: names for app, names in metrics.items() if names}
        config = replace(config, app_checked_metrics=MappingProxyType(kept))
    if change.enable or change.disable:
        config = replace(config, enabled=change.enable)
    return config


def checked_query(query: str) -> str:
    """Return a query that may be asked of each server again and again.

    Raises:
        TabletdError: INVALID_REQUEST: it is not one SELECT or SHOW that only reads.
    """
    text = query.strip()
    if text and (
        not _READS.match(text) or _WRITES.search(text) or len(text) > CUSTOM_QUERY_CHARS_MAX
    ):
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"the custom query is not one SELECT or SHOW that only reads: {text[:80]!r}",
            hint="for example: show global status like 'threads_connected'",
        )
    return text


def _refuse_nonsense(change: ConfigChange) -> None:
    if change.enable and change.disable:
        raise TabletdError(Reason.INVALID_REQUEST, "--enable and --disable are mutually exclusive")
    if not math.isfinite(change.threshold):
        raise TabletdError(Reason.INVALID_REQUEST, f"the threshold {change.threshold} is no number")
    if change.threshold < 0:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"the threshold is {change.threshold:g}; it cannot be negative",
            hint="0 takes it away"
            if change.metric_name or change.custom_query_set
            else "give seconds of lag, such as 5",
        )
    if change.custom_query.strip() and not change.custom_query_set:
        raise TabletdError(Reason.INVALID_REQUEST, "a custom query is given, but not to be set")
    if change.check_as_check_self:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            "a primary always answers for its shard",
            hint="CheckThrottler with the scope self tells a tablet's own state",
        )
    if change.app_checked_metrics and not change.app_name:
        raise TabletdError(
            Reason.INVALID_REQUEST, "metrics are given, but no app to check them for"
        )


def _checked(change: ConfigChange) -> tuple[str, ...]:
    metrics = [checked_metric(text) for text in change.app_checked_metrics]
    if len({(one.scope, one.metric) for one in metrics}) < len(metrics):
        names = ", ".join(change.app_checked_metrics)
        raise TabletdError(Reason.INVALID_REQUEST, f"a metric is named twice: {names}")
    return change.app_checked_metrics
