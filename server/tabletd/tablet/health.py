"""Whether a tablet serves, and why not: pure rules (Vitess v9, thresholds of lag)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tabletd.heartbeat.lag import Lag, LagState
from tabletd.tablet.identity import RUNNING_QUERIES, TabletType
from tabletd.tablet.settings import TabletSettings


@dataclass(frozen=True, slots=True)
class Health:
    """The state of a tablet as it is told to others.

    Attributes:
        type: what the tablet is.
        serving: whether it serves.
        lag_seconds: whole seconds of lag, never negative; the last known figure when `health_error`
            is set, so look at that first.
        health_error: why it is not healthy; empty: it is, or only its lag is above the threshold.
        primary_term_start_seconds: when it became primary, Unix time; 0: it is none.
    """

    type: TabletType
    serving: bool
    lag_seconds: int = 0
    health_error: str = ""
    primary_term_start_seconds: int = 0

    @property
    def state_name(self) -> str:
        """`SERVING` or `NOT_SERVING`."""
        return "SERVING" if self.serving else "NOT_SERVING"


UNINITIALIZED = Health(TabletType.UNKNOWN, False, health_error="tabletserver uninitialized")


class HealthClass(StrEnum):
    """How a status page colours a tablet."""

    HEALTHY = "healthy"
    UNHAPPY = "unhappy"
    UNHEALTHY = "unhealthy"


def assess(
    tablet_type: TabletType,
    lag: Lag,
    settings: TabletSettings,
    *,
    now_monotonic: float,
    server_error: str = "",
    primary_term_start_seconds: int = 0,
) -> Health:
    """Return the health of a tablet.

    Args:
        tablet_type: its present type.
        lag: of a tablet that is no primary; not looked at otherwise.
        settings: the thresholds.
        now_monotonic: the present moment, on the clock of `lag`.
        server_error: why the MySQL server cannot serve this role; empty: it can.
        primary_term_start_seconds: Unix time; for a primary.
    """
    if tablet_type is TabletType.PRIMARY:
        return Health(tablet_type, not server_error, 0, server_error, primary_term_start_seconds)
    error = server_error or lag_error(lag, settings, now_monotonic)
    is_fresh_enough = (lag.lag_seconds or 0) <= settings.unhealthy_threshold_seconds
    serving = tablet_type in RUNNING_QUERIES and not error and is_fresh_enough
    return Health(tablet_type, serving, lag.whole_seconds, error)


def lag_error(lag: Lag, settings: TabletSettings, now_monotonic: float) -> str:
    """Return why the lag makes a tablet unhealthy, whatever its figure; empty when it does not."""
    if lag.state in {LagState.MEASURED, LagState.OFF}:
        return ""
    if lag.state is LagState.STOPPED and lag.lag_ns is not None:
        stood_seconds = now_monotonic - (lag.since_monotonic or now_monotonic)
        return lag.error if stood_seconds > settings.replication_stopped_grace_seconds else ""
    return lag.error


def health_class(health: Health, settings: TabletSettings) -> HealthClass:
    """Return the colour of a tablet on a status page; lag between the thresholds is unhappy."""
    if not health.serving:
        return HealthClass.UNHEALTHY
    if health.lag_seconds > settings.degraded_threshold_seconds:
        return HealthClass.UNHAPPY
    return HealthClass.HEALTHY
