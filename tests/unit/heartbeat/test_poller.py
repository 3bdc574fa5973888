"""Lag by the server's own account."""

from __future__ import annotations

from tabletd.heartbeat.lag import LagState
from tabletd.heartbeat.poller import Poller
from tabletd.mysql.replication import ThreadState, stopped_error
from tests.support.clock import FakeClock
from tests.support.replication import replication

SECOND_NS = 1_000_000_000


def poller(clock: FakeClock) -> Poller:
    return Poller(clock, age_seconds_max=10)


def test_before_the_first_status_lag_is_unknown() -> None:
    lag = poller(FakeClock()).status()
    assert (lag.state, lag.lag_ns, lag.error) == (
        LagState.UNKNOWN,
        None,
        "replication is not running",
    )


def test_running_replication_gives_the_servers_own_figure() -> None:
    tracked = poller(FakeClock())
    tracked.note(replication(lag_seconds=1))
    assert (tracked.status().state, tracked.status().lag_ns) == (LagState.MEASURED, SECOND_NS)


def test_lag_grows_while_replication_is_stopped_and_the_servers_text_is_kept() -> None:
    clock = FakeClock()
    tracked = poller(clock)
    tracked.note(replication(lag_seconds=1))
    clock.advance(2)
    tracked.note(
        replication(sql_state=ThreadState.STOPPED, lag_seconds=None, last_sql_error="Error 1062")
    )
    stopped_at = clock.monotonic_seconds()
    clock.advance(1)
    lag = tracked.status()
    assert lag.state is LagState.STOPPED
    assert lag.lag_ns == 4 * SECOND_NS
    assert lag.since_monotonic == stopped_at
    assert "Error 1062" in lag.error


def test_no_figure_of_the_server_is_not_taken_for_zero() -> None:
    clock = FakeClock()
    tracked = poller(clock)
    tracked.note(replication(io_state=ThreadState.CONNECTING, lag_seconds=None))
    assert tracked.status().lag_ns is None
    tracked.note(replication(lag_seconds=3))
    clock.advance(1)
    tracked.note(replication(io_state=ThreadState.CONNECTING, lag_seconds=None))
    assert (tracked.status().state, tracked.status().lag_ns) == (LagState.MEASURED, 4 * SECOND_NS)


def test_stopped_counts_from_the_first_time_it_was_seen() -> None:
    clock = FakeClock()
    tracked = poller(clock)
    first = clock.monotonic_seconds()
    for _ in range(3):
        tracked.note(replication(io_state=ThreadState.STOPPED))
        clock.advance(1)
    assert tracked.status().since_monotonic == first
    tracked.note(replication())
    assert tracked.status().state is LagState.MEASURED


def test_a_failure_to_ask_makes_the_figure_stale_with_the_reason() -> None:
    clock = FakeClock()
    tracked = poller(clock)
    tracked.note(replication(lag_seconds=1))
    clock.advance(1)
    tracked.note_failure("MySQL is away")
    lag = tracked.status()
    assert (lag.state, lag.error) == (LagState.STALE, "MySQL is away")
    assert lag.lag_ns == 2 * SECOND_NS


def test_an_old_status_is_stale_even_when_nobody_says_so() -> None:
    clock = FakeClock()
    tracked = poller(clock)
    tracked.note(replication(lag_seconds=0))
    clock.advance(11)
    assert tracked.status().state is LagState.STALE


def test_a_connecting_thread_counts_as_running() -> None:
    assert not stopped_error(replication(io_state=ThreadState.CONNECTING))


def test_each_stopped_thread_is_named() -> None:
    text = stopped_error(
        replication(
            io_state=ThreadState.STOPPED,
            sql_state=ThreadState.STOPPED,
            last_io_error="cannot log in",
        )
    )
    assert text == (
        "replication is not running: SQL thread stopped: no error given; "
        "IO thread stopped: cannot log in"
    )


def test_a_server_without_a_source_is_stopped() -> None:
    assert "no replication source" in stopped_error(None)
