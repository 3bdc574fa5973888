"""Whether a tablet serves, and why not: pure rules (Vitess v9, thresholds of lag)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tabletd.heartbeat.lag import Lag, LagState
from tabletd.tablet.identity import RUNNING_QUERIES, TabletType
from tabletd.tablet.settings import TabletSettings

# A replica that was too late serves again below this share of the threshold, not right at it.
_WELL_AGAIN: Final = 0.9


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
    def is_late(self) -> bool:
        """Whether nothing but its lag keeps it from serving."""
        return self.type in RUNNING_QUERIES and not self.serving and not self.health_error

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
    before: Health = UNINITIALIZED,
) -> Health:
    """Return the health of a tablet.

    What is held against the threshold is the lag that a replica has at least: what it might have
    besides ends nobody's service.

    Args:
        tablet_type: its present type.
        lag: of a tablet that is no primary; not looked at otherwise.
        settings: the thresholds.
        now_monotonic: the present moment, on the clock of `lag`.
        server_error: why the MySQL server cannot serve this role; empty: it can.
        primary_term_start_seconds: Unix time; for a primary.
        before: as it was assessed last; one that was too late must get better by a tenth.
    """
    if tablet_type is TabletType.PRIMARY:
        return Health(tablet_type, not server_error, 0, server_error, primary_term_start_seconds)
    error = server_error or lag_error(lag, settings, now_monotonic)
    seconds_max = settings.unhealthy_threshold_seconds * (_WELL_AGAIN if before.is_late else 1)
    is_fresh_enough = (_certain_seconds(lag) or 0) <= seconds_max
    serving = tablet_type in RUNNING_QUERIES and not error and is_fresh_enough
    return Health(tablet_type, serving, lag.whole_seconds, error)


def _certain_seconds(lag: Lag) -> float | None:
    """Return the lag that counts: at least so much, or the figure where nothing bounds it."""
    if lag.state is LagState.IDLE:
        return 0.0
    if lag.state is LagState.STALE or lag.lower_ns is None:
        return lag.lag_seconds
    return lag.lower_seconds


def lag_error(lag: Lag, settings: TabletSettings, now_monotonic: float) -> str:
    """Return why the lag makes a tablet unhealthy, whatever its figure; empty when it does not."""
    if lag.state in {LagState.MEASURED, LagState.IDLE, LagState.OFF}:
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
