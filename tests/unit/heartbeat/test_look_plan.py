"""When the reader looks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tabletd.heartbeat.beats import Beats
from tabletd.heartbeat.look_plan import next_look_ns
from tests.unit.heartbeat.test_judging import INTERVAL, MS, SECOND, exchange, known, look


def arrived(after_ns: int) -> Beats:
    """Return what is known when a beat of second one came after a time."""
    beats = Beats()
    exchange(beats, SECOND, known(b0=SECOND - INTERVAL, b1=SECOND))
    look(beats, SECOND + after_ns - 2 * MS, 0, SECOND - INTERVAL)
    look(beats, SECOND + after_ns - MS, 1, SECOND)
    return beats


def test_nothing_is_planned_without_the_writers_time() -> None:
    beats = Beats()
    assert next_look_ns(beats, INTERVAL, SECOND) is None
    look(beats, SECOND, 1, SECOND)
    assert next_look_ns(beats, INTERVAL, SECOND) is None


def test_the_next_look_is_about_when_the_next_beat_should_have_arrived() -> None:
    beats = arrived(8 * MS)
    due = next_look_ns(beats, INTERVAL, SECOND + 8 * MS)
    assert due is not None
    assert abs(due - (SECOND + INTERVAL + 6 * MS)) < 2 * MS


def test_looks_that_miss_a_beat_follow_each_other_ever_slower() -> None:
    beats = arrived(8 * MS)
    now, steps = SECOND + INTERVAL + 9 * MS, list[int]()
    for _ in range(12):
        due = next_look_ns(beats, INTERVAL, now)
        assert due is not None
        steps.append(due - now)
        now = due
    assert steps == sorted(steps)
    assert steps[0] < 4 * MS
    assert steps[-1] == INTERVAL // 10


def test_a_replica_that_lags_by_several_intervals_is_looked_at_as_tightly() -> None:
    now = SECOND + 4 * INTERVAL
    due = next_look_ns(arrived(4 * INTERVAL), INTERVAL, now)
    assert due is not None
    assert due - now <= INTERVAL // 5


def test_a_beat_that_is_overdue_for_long_is_looked_for_at_each_interval() -> None:
    beats = arrived(8 * MS)
    now = SECOND + 60 * SECOND
    assert next_look_ns(beats, INTERVAL, now) == now + INTERVAL


def test_a_beat_that_is_known_to_be_written_is_looked_for_often_however_late_it_is() -> None:
    beats = arrived(8 * MS)
    exchange(beats, 30 * SECOND, known(b2=SECOND + INTERVAL))
    now = 31 * SECOND
    assert next_look_ns(beats, INTERVAL, now) == now + INTERVAL // 10


@given(after_ms=st.integers(2, 5000), later_ms=st.integers(0, 10_000))
def test_a_look_is_always_in_the_future_and_within_an_interval_and_the_lag(
    after_ms: int, later_ms: int
) -> None:
    now = SECOND + (after_ms + later_ms) * MS
    due = next_look_ns(arrived(after_ms * MS), INTERVAL, now)
    assert due is not None
    assert now + MS <= due <= now + 2 * INTERVAL + after_ms * MS
