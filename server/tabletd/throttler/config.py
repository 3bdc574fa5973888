"""The stored settings of the throttler, and what `UpdateThrottlerConfig` does to them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.throttler.rules import checked_name

LAG_METRIC: Final = "lag"
# Every metric that Vitess names; we measure the first.
_KNOWN_METRICS: Final = (
    LAG_METRIC,
    "threads_running",
    "custom",
    "loadavg",
    "history_list_length",
    "mysqld-loadavg",
    "mysqld-datadir-used-ratio",
)


class Scope(StrEnum):
    """Whose metric it is."""

    SELF = "self"
    """This tablet's own."""
    SHARD = "shard"
    """The worst of the shard's replicas, as its primary knows them."""


def _nothing() -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ThrottlerConfig:
    """What is kept in `_vt`.

    Attributes:
        enabled: whether lag holds anybody back; rules for apps do in any case.
        threshold: seconds of lag; 0: the daemon's own setting.
        lag_threshold: the same, set for the metric by its name, which wins; 0: not set.
        app_checked_metrics: metrics that are checked for an app, each as `lag` or `<scope>/lag`.
    """

    enabled: bool = True
    threshold: float = 0.0
    lag_threshold: float = 0.0
    app_checked_metrics: Mapping[str, tuple[str, ...]] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """A request to change them; its parts are those of Vitess's `UpdateThrottlerConfig`.

    Attributes:
        enable: let lag hold apps back.
        disable: no longer.
        threshold: see `metric_name` and `custom_query_set`.
        custom_query: instead of the lag.
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
        refuse_other_metric(change.metric_name)
        config = replace(config, lag_threshold=change.threshold)
    elif change.custom_query_set or change.threshold > 0:
        config = replace(config, threshold=change.threshold)
    if change.app_name:
        app = checked_name(change.app_name)
        metrics = {**config.app_checked_metrics, app: _checked(change)}
        kept = {app: names for app, names in metrics.items() if names}
        config = replace(config, app_checked_metrics=MappingProxyType(kept))
    if change.enable or change.disable:
        config = replace(config, enabled=change.enable)
    return config


def split_metric(name: str) -> tuple[Scope | None, str]:
    """Return scope and metric of `lag`, `self/lag` or `shard/lag`.

    Raises:
        TabletdError: INVALID_REQUEST for another scope.
    """
    scope, slash, metric = name.rpartition("/")
    if not slash:
        return None, metric
    return checked_scope(scope), metric


def is_measured(name: object) -> bool:
    """Return whether this is the lag, with or without a scope."""
    return name in {LAG_METRIC, *(f"{scope}/{LAG_METRIC}" for scope in Scope)}


def checked_scope(name: str) -> Scope:
    """Return the scope of this name.

    Raises:
        TabletdError: INVALID_REQUEST: there is none.
    """
    try:
        return Scope(name)
    except ValueError:
        raise TabletdError(
            Reason.INVALID_REQUEST, f"unknown scope {name[:40]!r}", hint="use self or shard"
        ) from None


def refuse_other_metric(name: str) -> None:
    """Refuse any metric but the lag.

    Raises:
        TabletdError: INVALID_REQUEST, the metric does not exist or is not measured here.
    """
    if name == LAG_METRIC:
        return
    if name not in _KNOWN_METRICS:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"unknown metric name: {name[:40]}",
            hint=f"the metric that is measured is {LAG_METRIC}",
        )
    raise _not_measured(f"the metric {name}")


def _refuse_nonsense(change: ConfigChange) -> None:
    if change.enable and change.disable:
        raise TabletdError(Reason.INVALID_REQUEST, "--enable and --disable are mutually exclusive")
    if not math.isfinite(change.threshold):
        raise TabletdError(Reason.INVALID_REQUEST, f"the threshold {change.threshold} is no number")
    if change.threshold < 0:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"the threshold is {change.threshold:g} s of lag; it cannot be negative",
            hint="0 takes it away"
            if change.metric_name or change.custom_query_set
            else "give seconds of lag, such as 5",
        )
    if change.custom_query.strip():
        raise _not_measured("a custom query")
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
    metrics = [split_metric(name) for name in change.app_checked_metrics]
    for _, metric in metrics:
        refuse_other_metric(metric)
    if len(set(metrics)) < len(metrics):
        names = ", ".join(change.app_checked_metrics)
        raise TabletdError(Reason.INVALID_REQUEST, f"a metric is named twice: {names}")
    return change.app_checked_metrics


def _not_measured(what: str) -> TabletdError:
    return TabletdError(
        Reason.INVALID_REQUEST,
        f"{what} is not measured by tabletd",
        hint=f"it throttles by the metric {LAG_METRIC} and by rules for apps",
    )
