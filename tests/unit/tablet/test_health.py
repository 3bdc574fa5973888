"""How lag, role and the server decide whether a tablet serves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tabletd.heartbeat import Lag, LagState
from tabletd.tablet import Health, HealthClass, TabletSettings, TabletType
from tabletd.tablet.health import UNINITIALIZED, assess, health_class

SETTINGS = TabletSettings()
HOUR_NS = 3600 * 1_000_000_000
NOW = 1000.0


def measured(lag_ns: int) -> Lag:
    return Lag(LagState.MEASURED, lag_ns, NOW)


def replica(lag: Lag) -> Health:
    return assess(TabletType.REPLICA, lag, SETTINGS, now_monotonic=NOW)


def test_a_primary_serves_whatever_the_lag_says_and_shows_its_term() -> None:
    lag = Lag(LagState.UNKNOWN, error="no heartbeat")
    health = assess(
        TabletType.PRIMARY, lag, SETTINGS, now_monotonic=NOW, primary_term_start_seconds=77
    )
    assert health == Health(TabletType.PRIMARY, True, 0, "", 77)


def test_a_replica_shows_whole_seconds_of_lag() -> None:
    health = replica(measured(1_900_000_000))
    assert (health.serving, health.lag_seconds, health.health_error) == (True, 1, "")


def test_a_lag_below_zero_is_shown_as_zero() -> None:
    assert replica(measured(-5_000_000_000)).lag_seconds == 0


@pytest.mark.parametrize(("lag_ns", "serving"), [(2 * HOUR_NS, True), (2 * HOUR_NS + 1, False)])
def test_only_a_lag_above_the_threshold_ends_serving_and_without_an_error(
    lag_ns: int, serving: bool
) -> None:
    health = replica(measured(lag_ns))
    assert (health.serving, health.health_error) == (serving, "")


def test_the_lag_that_a_replica_has_at_least_is_held_against_the_threshold() -> None:
    lag = Lag(LagState.MEASURED, 3 * HOUR_NS, NOW, lower_ns=HOUR_NS, upper_ns=4 * HOUR_NS)
    assert replica(lag).serving
    assert not replica(replace(lag, lower_ns=2 * HOUR_NS + 1)).serving


def test_a_replica_that_was_too_late_serves_again_when_it_is_a_tenth_better() -> None:
    health, seen = UNINITIALIZED, list[bool]()
    for share in (1.0, 1.01, 0.95, 0.91, 0.9, 0.95, 1.0):
        lag = measured(int(2 * HOUR_NS * share))
        health = assess(TabletType.REPLICA, lag, SETTINGS, now_monotonic=NOW, before=health)
        seen.append(health.serving)
    assert seen == [True, False, False, False, True, True, True]


def test_a_replica_that_failed_otherwise_serves_again_right_below_the_threshold() -> None:
    failed = Health(TabletType.REPLICA, False, 0, "MySQL is away")
    lag = measured(2 * HOUR_NS)
    assert assess(TabletType.REPLICA, lag, SETTINGS, now_monotonic=NOW, before=failed).serving


def test_an_idle_writer_never_ends_serving() -> None:
    lag = Lag(LagState.IDLE, 3 * HOUR_NS, NOW, NOW, lower_ns=3 * HOUR_NS, cause="idle")
    health = replica(lag)
    assert (health.serving, health.health_error) == (True, "")


def test_beats_that_do_not_come_from_a_silent_writer_end_serving_at_the_threshold_only() -> None:
    lag = Lag(LagState.STALE, HOUR_NS, NOW, NOW, lower_ns=0, upper_ns=2 * HOUR_NS, cause="silent")
    assert replica(lag).serving
    assert not replica(replace(lag, lag_ns=2 * HOUR_NS + 1)).serving


@pytest.mark.parametrize("state", [LagState.UNKNOWN, LagState.STALE])
def test_a_lag_that_is_not_known_ends_serving_with_its_reason(state: LagState) -> None:
    health = replica(Lag(state, 1, error="why"))
    assert (health.serving, health.health_error) == (False, "why")


@pytest.mark.parametrize(("stood_seconds", "serving"), [(0, True), (30, True), (30.1, False)])
def test_stopped_replication_ends_serving_after_the_grace_period(
    stood_seconds: float, serving: bool
) -> None:
    lag = Lag(LagState.STOPPED, 5, NOW, NOW - stood_seconds, "SQL thread stopped")
    health = replica(lag)
    assert health.serving is serving
    assert health.health_error == ("" if serving else "SQL thread stopped")


def test_stopped_replication_whose_lag_was_never_known_does_not_serve_at_all() -> None:
    lag = Lag(LagState.STOPPED, None, None, NOW, "SQL thread stopped")
    assert not replica(lag).serving


def test_where_nobody_measures_nothing_ends_serving() -> None:
    assert replica(Lag(LagState.OFF)).serving


@pytest.mark.parametrize("tablet_type", [TabletType.PRIMARY, TabletType.REPLICA])
def test_a_server_that_is_away_ends_serving_with_its_reason(tablet_type: TabletType) -> None:
    health = assess(
        tablet_type, measured(0), SETTINGS, now_monotonic=NOW, server_error="MySQL is away"
    )
    assert (health.serving, health.health_error) == (False, "MySQL is away")


@pytest.mark.parametrize(
    ("tablet_type", "serving"),
    [
        (TabletType.RDONLY, True),
        (TabletType.SPARE, True),
        (TabletType.EXPERIMENTAL, True),
        (TabletType.DRAINED, True),
        (TabletType.BACKUP, False),
        (TabletType.RESTORE, False),
        (TabletType.UNKNOWN, False),
    ],
)
def test_all_types_but_those_that_copy_data_answer_queries(
    tablet_type: TabletType, serving: bool
) -> None:
    health = assess(tablet_type, measured(0), SETTINGS, now_monotonic=NOW)
    assert health.serving is serving


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        (Health(TabletType.REPLICA, True, 30), HealthClass.HEALTHY),
        (Health(TabletType.REPLICA, True, 31), HealthClass.UNHAPPY),
        (Health(TabletType.REPLICA, False, 0), HealthClass.UNHEALTHY),
    ],
)
def test_the_degraded_threshold_only_colours(health: Health, expected: HealthClass) -> None:
    assert health_class(health, SETTINGS) is expected
