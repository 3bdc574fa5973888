"""The schedule of ticks, for any moment."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tabletd.heartbeat.ticker import next_tick

moments = st.floats(min_value=0, max_value=1e7)
intervals = st.floats(min_value=0.001, max_value=1)


@given(first=moments, interval_seconds=intervals, passed=st.floats(min_value=0, max_value=1e6))
def test_the_next_tick_lies_ahead_by_at_most_an_interval_and_on_the_schedule(
    first: float, interval_seconds: float, passed: float
) -> None:
    now = first + passed
    due = next_tick(first, interval_seconds, now)
    assert due > now
    assert due - now <= interval_seconds * 1.001 + 1e-6
    ticks = (due - first) / interval_seconds
    assert abs(ticks - round(ticks)) < 1e-4 / interval_seconds


@given(first=moments, interval_seconds=intervals)
def test_before_the_first_tick_it_is_the_first(first: float, interval_seconds: float) -> None:
    assert next_tick(first, interval_seconds, first - 1) == first
