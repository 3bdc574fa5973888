"""What is measured: names, units, thresholds and scopes, as Vitess has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Protocol

from tabletd.errors import Reason, TabletdError


class Metric(StrEnum):
    """What a check may look at."""

    LAG = "lag"
    """Seconds that a replica is behind, the lower bound."""
    THREADS_RUNNING = "threads_running"
    """Threads of the server that are at work."""
    CUSTOM = "custom"
    """The number that the stored query gives."""
    LOADAVG = "loadavg"
    """Load of the last minute for each core of the daemon's machine."""
    HISTORY_LIST_LENGTH = "history_list_length"
    """Undo logs that InnoDB has not purged."""


class Scope(StrEnum):
    """Whose metric it is."""

    SELF = "self"
    """This tablet's own."""
    SHARD = "shard"
    """The worst of the shard's tablets, as its primary knows them."""


# Source: tablet throttler of Vitess. The lag's threshold is a setting of the daemon.
DEFAULT_THRESHOLDS: Final[Mapping[Metric, float]] = MappingProxyType(
    {
        Metric.THREADS_RUNNING: 100.0,
        Metric.CUSTOM: 0.0,
        Metric.LOADAVG: 1.0,
        Metric.HISTORY_LIST_LENGTH: 1e9,
    }
)
_NOT_MEASURED: Final = frozenset({"mysqld-loadavg", "mysqld-datadir-used-ratio"})


class MetricReading(Protocol):
    """A metric of one tablet."""

    @property
    def value(self) -> float | None:
        """In its own unit; None: not known."""
        ...

    @property
    def error(self) -> str:
        """Why it is not known or not to be trusted; empty when it is."""
        ...

    @property
    def is_down(self) -> bool:
        """Whether `error` refuses by itself, for as long as it lasts: replication is stopped."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """A metric of one tablet; see `MetricReading`."""

    value: float | None
    error: str = ""
    is_down: bool = False


@dataclass(frozen=True, slots=True)
class CheckedMetric:
    """One entry of the metrics that are checked for an app: `[<scope>/]<metric>[=<threshold>]`.

    Attributes:
        metric: which.
        scope: None: the asker's, else the metric's own.
        threshold: for this app alone; None: the metric's.
    """

    metric: Metric
    scope: Scope | None = None
    threshold: float | None = None


@lru_cache(maxsize=256)
def checked_metric(text: str) -> CheckedMetric:
    """Return what an entry says.

    Raises:
        TabletdError: INVALID_REQUEST: a metric or scope that is not known or not measured here, or
            a threshold that is no number above 0.
    """
    name, equals, limit = text.partition("=")
    scope, slash, metric = name.strip().rpartition("/")
    return CheckedMetric(
        measured_metric(metric),
        checked_scope(scope) if slash else None,
        _threshold(limit) if equals else None,
    )


def measured_metric(name: str) -> Metric:
    """Return the metric of this name.

    Raises:
        TabletdError: INVALID_REQUEST: it does not exist, or is not measured here.
    """
    if name in _NOT_MEASURED:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"the metric {name} is not measured by tabletd",
            hint=f"the metrics are {', '.join(Metric)}",
        )
    try:
        return Metric(name)
    except ValueError:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"unknown metric name: {name[:40]}",
            hint=f"the metrics are {', '.join(Metric)}",
        ) from None


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


def own_scope(metric: Metric) -> Scope:
    """Return the scope of a metric that is asked for without one."""
    return Scope.SHARD if metric is Metric.LAG else Scope.SELF


def _threshold(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"the threshold {text[:40]!r} is no number above 0",
            hint="write for example lag=2 or self/threads_running=50",
        )
    return value
