"""The answer behind `/throttler/check`, as gh-ost and the plugin of pt-online-schema-change ask it.

Status codes are those of Vitess: 200 go on, 404 nothing was measured, 417 denied to this app,
429 wait.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

from tabletd.clock import Clock

THRESHOLD_SECONDS_DEFAULT: Final = 5.0
# An app that asks with low priority steps back this long after anyone was throttled (Vitess v9).
_LOW_PRIORITY_SECONDS: Final = 1.0
# For trying out what a throttled migration does (both names exist in Vitess).
_DENIED_APPS: Final = frozenset({"abusing-app", "always-throttled-app"})


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
class CheckResult:
    """What a check says.

    Attributes:
        status_code: 200 go on; 404, 417 or 429: not now.
        value: worst lag known, seconds.
        threshold: seconds that `value` is compared with.
        message: why not; empty for 200.
    """

    status_code: int
    value: float
    threshold: float
    message: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether the asker may go on."""
        return self.status_code == HTTPStatus.OK

    def to_json(self) -> dict[str, int | float | str]:
        """Return the fields under the names of Vitess."""
        return {
            "StatusCode": self.status_code,
            "Value": self.value,
            "Threshold": self.threshold,
            "Message": self.message,
        }


class Throttler:
    """Compares lag with a threshold: on a primary its replicas' worst, elsewhere its own.

    Args:
        own_lag: the lag of this tablet.
        replica_lags: the lags of the other tablets, by address.
        clock: for the memory of recent refusals.
        threshold_seconds: lag above this is too much; may be set anew at any time.
    """

    def __init__(
        self,
        *,
        own_lag: Callable[[], LagReading],
        replica_lags: Callable[[], Mapping[str, ReplicaReading]],
        clock: Clock,
        threshold_seconds: float = THRESHOLD_SECONDS_DEFAULT,
    ) -> None:
        self.threshold_seconds = threshold_seconds
        self._own_lag = own_lag
        self._replica_lags = replica_lags
        self._clock = clock
        self._is_primary = False
        self._refused_monotonic = float("-inf")

    async def make_primary(self) -> None:
        """Answer for the replicas."""
        self._is_primary = True

    async def make_non_primary(self) -> None:
        """Answer for this tablet alone."""
        self._is_primary = False

    async def close(self) -> None:
        """Answer for this tablet alone."""
        self._is_primary = False

    def check(self, app: str, *, low_priority: bool = False) -> CheckResult:
        """Say whether an app may go on.

        Args:
            app: its name, parts joined by colons (`online-ddl:gh-ost:<uuid>`).
            low_priority: it gives way while others are throttled.
        """
        if not _DENIED_APPS.isdisjoint(app.split(":")):
            return self._result(HTTPStatus.EXPECTATION_FAILED, 0.0, f"{app} is denied")
        now = self._clock.monotonic_seconds()
        if low_priority and now - self._refused_monotonic <= _LOW_PRIORITY_SECONDS:
            return self._result(
                HTTPStatus.EXPECTATION_FAILED, 0.0, "apps of normal priority are throttled"
            )
        result = self._check_replicas() if self._is_primary else self._check_own()
        if not result.is_ok and not low_priority:
            self._refused_monotonic = now
        return result

    def _check_own(self) -> CheckResult:
        reading = self._own_lag()
        if reading.lag_seconds is None:
            return self._result(HTTPStatus.NOT_FOUND, 0.0, f"No such metric: {reading.error}")
        if reading.error:
            return self._wait(reading.lag_seconds, f"this tablet: {reading.error}")
        if reading.lag_seconds > self.threshold_seconds:
            return self._wait(
                reading.lag_seconds, f"Threshold exceeded: lag {reading.lag_seconds:.3f} s"
            )
        return self._result(HTTPStatus.OK, reading.lag_seconds)

    def _check_replicas(self) -> CheckResult:
        worst_seconds, refusals = 0.0, list[str]()
        for address, reading in sorted(self._replica_lags().items()):
            if not reading.is_counted:
                continue
            worst_seconds = max(worst_seconds, reading.lag_seconds or 0.0)
            if reading.error or reading.lag_seconds is None:
                refusals.append(f"replica {address}: {reading.error or 'lag not known'}")
            elif reading.lag_seconds > self.threshold_seconds:
                refusals.append(
                    f"Threshold exceeded: replica {address}: lag {reading.lag_seconds:g} s"
                )
        if refusals:
            return self._wait(worst_seconds, "; ".join(refusals))
        return self._result(HTTPStatus.OK, worst_seconds)

    def _wait(self, value: float, message: str) -> CheckResult:
        return self._result(HTTPStatus.TOO_MANY_REQUESTS, value, message)

    def _result(self, status: HTTPStatus, value: float, message: str = "") -> CheckResult:
        return CheckResult(int(status), value, self.threshold_seconds, message)
