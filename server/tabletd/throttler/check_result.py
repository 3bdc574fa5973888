"""What a check says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from tabletd.throttler.metrics import Metric, Scope
from tabletd.throttler.refusals import Cause


class ResponseCode(IntEnum):
    """The answer; numbers are those of `tabletmanagerdata.CheckThrottlerResponseCode`."""

    OK = 1
    THRESHOLD_EXCEEDED = 2
    APP_DENIED = 3
    UNKNOWN_METRIC = 4
    INTERNAL_ERROR = 5

    @property
    def http_status(self) -> HTTPStatus:
        """The answer as the tools and clients of before v22 read it."""
        return _HTTP[self]


_HTTP: Final[Mapping[ResponseCode, HTTPStatus]] = {
    ResponseCode.OK: HTTPStatus.OK,
    ResponseCode.THRESHOLD_EXCEEDED: HTTPStatus.TOO_MANY_REQUESTS,
    ResponseCode.APP_DENIED: HTTPStatus.EXPECTATION_FAILED,
    ResponseCode.UNKNOWN_METRIC: HTTPStatus.NOT_FOUND,
    ResponseCode.INTERNAL_ERROR: HTTPStatus.INTERNAL_SERVER_ERROR,
}


@dataclass(frozen=True, slots=True)
class MetricResult:
    """A metric, as one scope sees it.

    Attributes:
        metric: which.
        scope: whose it is.
        code: OK, THRESHOLD_EXCEEDED or UNKNOWN_METRIC.
        value: the worst that is known, in its own unit; the lag in seconds.
        threshold: what it is compared with, in the same unit.
        message: why not; empty for OK.
        error: why the value is missing or not to be trusted; empty when it is.
        whose: the tablet that has the worst.
        note: who is left out, and why.
    """

    metric: Metric
    scope: Scope
    code: ResponseCode
    value: float
    threshold: float
    message: str = ""
    error: str = ""
    whose: str = ""
    note: str = ""


def _no_metrics() -> Mapping[str, MetricResult]:
    return MappingProxyType({})


# Not frozen, like the note of it: both are made for every check, and that takes four times as long.
@dataclass(slots=True)
class CheckResult:
    """What a check says.

    Attributes:
        app: who asked, or the part of its name that a rule denies.
        code: the answer.
        value: of the metric that decided, in its own unit; the lag in seconds.
        threshold: what `value` is compared with.
        message: why not; for OK, who was left out, mostly empty.
        metrics: what was looked at, by name.
        decided_by: the metric that denies; None: none does.
        cause: what it was refused for; None: it was not.
    """

    app: str
    code: ResponseCode
    value: float
    threshold: float
    message: str = ""
    metrics: Mapping[str, MetricResult] = field(default_factory=_no_metrics)
    decided_by: MetricResult | None = None
    cause: Cause | None = None

    @property
    def is_ok(self) -> bool:
        """Whether the asker may go on."""
        return self.code is ResponseCode.OK

    @property
    def status_code(self) -> int:
        """The answer as an HTTP status: 200 go on; 404, 417, 429, 500: not now."""
        return int(self.code.http_status)

    @property
    def summary(self) -> str:
        """One line for people; the beginnings are those of Vitess."""
        if self.is_ok:
            return f"{self.app} is granted access"
        if self.code is ResponseCode.APP_DENIED:
            return f"{self.app} is explicitly denied access: {self.message}"
        denied = f"{self.app} is denied access due to"
        metric = self.decided_by
        if metric is None:
            return f"{denied} unexpected error: {self.message}"
        name = f"{metric.scope}/{metric.metric}"
        if metric.code is ResponseCode.UNKNOWN_METRIC:
            return f"{denied} unknown or uncollected metric {name}: {metric.message}"
        if metric.value > metric.threshold:
            limits = f"value {metric.value:g} exceeding threshold {metric.threshold:g}"
            return f"{denied} {name} metric {limits}"
        return f"{denied} {name} metric: {metric.message}"

    def to_json(self) -> dict[str, int | float | str]:
        """Return the fields under the names of Vitess."""
        return {
            "StatusCode": self.status_code,
            "Value": self.value,
            "Threshold": self.threshold,
            "Message": self.message,
        }
