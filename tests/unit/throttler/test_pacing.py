"""The smooth pause: what becomes of a replica's lag and of a copy under it.

A replica applies what it gets in order, at a fixed speed. Beside the application's writes a tool
copies, as fast as it may; half of that would be as much as the replica can take. gh-ost asks ten
times a second and waits a quarter of a second when it is refused; pt-online-schema-change asks
before each chunk of half a second and waits a second. The throttler knows the lower bound of the
lag as it was at its last look.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabletd.throttler.pacing import KNEE, Pacer, share

STEP_SECONDS = 0.02
LOOK_SECONDS = 0.25
APP = "online-ddl:gh-ost:1"


@dataclass(frozen=True)
class Tool:
    """When a tool asks."""

    runs_seconds: float
    rests_seconds: float


GH_OST = Tool(0.1, 0.25)
PT_OSC = Tool(0.5, 1.0)


@dataclass(frozen=True)
class Outcome:
    """What came of a run: in units of the threshold, and of what the replica could take."""

    lag_p95: float
    lag_max: float
    rate: float


def run(
    tool: Tool,
    *,
    is_paced: bool,
    threshold: float,
    heartbeat: float,
    application: float,
    takes: float = 0.5,
    seconds: float = 60.0,
) -> Outcome:
    """Let a tool copy beside an application; the replica applies 1 second of writes per second.

    Args:
        tool: which.
        is_paced: with the smooth pause; else plainly on and off at the threshold.
        threshold: seconds.
        heartbeat: seconds between two beats.
        application: how much of the replica its writes take, 0 to 1.
        takes: how much of the unthrottled copy the replica could take besides.
        seconds: how long.
    """
    speed = (1 - application) / takes
    relay_log: deque[list[float]] = deque()
    pacer, lags = Pacer(), list[float]()
    newest_beat = next_beat = next_look = next_question = known = copied = 0.0
    is_allowed = True
    for step in range(int(seconds / STEP_SECONDS)):
        now = step * STEP_SECONDS
        work = application * STEP_SECONDS
        if now >= next_question:
            is_allowed = known <= threshold and (
                not is_paced or pacer.admits(APP, share(known, threshold))
            )
            next_question = now + (tool.runs_seconds if is_allowed else tool.rests_seconds)
        if is_allowed:
            work += speed * STEP_SECONDS
            copied += speed * STEP_SECONDS
        is_beat = now >= next_beat
        next_beat += heartbeat if is_beat else 0.0
        relay_log.append([now, work, float(is_beat)])
        room = STEP_SECONDS
        while relay_log and room > 0:
            first = relay_log[0]
            done = min(room, first[1])
            first[1] -= done
            room -= done
            if first[1] <= 1e-12:
                relay_log.popleft()
                newest_beat = first[0] if first[2] else newest_beat
        lags.append(now - relay_log[0][0] if relay_log else 0.0)
        if now >= next_look:
            next_look = now + LOOK_SECONDS
            known = max(0.0, now - newest_beat - heartbeat)
    lags.sort()
    worst = lags[int(0.95 * len(lags))] / threshold
    return Outcome(worst, lags[-1] / threshold, copied / ((1 - application) * seconds))


@pytest.mark.parametrize("tool", [GH_OST, PT_OSC], ids=["gh-ost", "pt-osc"])
@pytest.mark.parametrize(
    ("threshold", "heartbeat"), [(2.0, 0.1), (2.0, 0.25), (5.0, 0.1), (5.0, 1.0)]
)
@pytest.mark.parametrize("application", [0.0, 0.3, 0.6])
def test_a_migration_settles_where_on_and_off_swings(
    tool: Tool, threshold: float, heartbeat: float, application: float
) -> None:
    def outcome(*, is_paced: bool) -> Outcome:
        return run(
            tool,
            is_paced=is_paced,
            threshold=threshold,
            heartbeat=heartbeat,
            application=application,
        )

    paced, plain = outcome(is_paced=True), outcome(is_paced=False)
    assert paced.lag_p95 <= 1.2
    assert paced.rate >= 0.8
    assert plain.lag_p95 > max(1.2, paced.lag_p95)


@settings(max_examples=10, deadline=None)
@given(
    threshold=st.floats(2.0, 10.0),
    intervals=st.floats(5.0, 50.0),
    application=st.floats(0.0, 0.9),
    takes=st.floats(0.5, 0.95),
    tool=st.sampled_from([GH_OST, PT_OSC]),
)
def test_it_settles_whatever_the_replica_takes_from_half_of_the_copy_on(
    threshold: float, intervals: float, application: float, takes: float, tool: Tool
) -> None:
    found = run(
        tool,
        is_paced=True,
        threshold=threshold,
        heartbeat=min(1.0, threshold / intervals),
        application=application,
        takes=takes,
    )
    assert found.lag_p95 <= 1.2
    assert found.rate >= 0.8


def test_a_replica_that_keeps_up_slows_nobody_down() -> None:
    found = run(GH_OST, is_paced=True, threshold=5.0, heartbeat=1.0, application=0.3, takes=1.2)
    assert found.rate == pytest.approx(1 / 1.2)
    assert found.lag_max < KNEE


@given(lag=st.floats(0, 1e6), threshold=st.floats(1e-3, 1e6), more=st.floats(0, 1e6))
def test_the_share_falls_with_the_lag_from_all_to_none(
    lag: float, threshold: float, more: float
) -> None:
    assert 0 <= share(lag + more, threshold) <= share(lag, threshold) <= 1
    assert share(0.99 * KNEE * threshold, threshold) == 1
    assert share(threshold, threshold) == 0


@pytest.mark.parametrize(("part", "one_in"), [(0.99, 2), (0.5, 2), (0.4, 3), (0.25, 4), (0.1, 10)])
def test_once_an_app_is_slowed_down_just_one_check_of_so_many_passes(
    part: float, one_in: int
) -> None:
    pacer = Pacer()
    answers = [pacer.admits(APP, part) for _ in range(10 * one_in)]
    assert answers == [number % one_in == 0 for number in range(10 * one_in)]


def test_each_app_is_counted_by_itself() -> None:
    pacer = Pacer()
    answers = [(pacer.admits("a", 0.5), pacer.admits("b", 0.5)) for _ in range(10)]
    assert answers == [(True, True), (False, False)] * 5


def test_a_long_rest_does_not_end_in_a_burst() -> None:
    pacer = Pacer()
    pacer.admits(APP, 0.5)
    assert not any(pacer.admits(APP, 0.0) for _ in range(1000))
    assert [pacer.admits(APP, 0.5) for _ in range(4)] == [True, False, True, False]


def test_a_flood_of_apps_is_not_remembered_for_ever() -> None:
    pacer = Pacer()
    assert [pacer.admits(APP, 0.1) for _ in range(2)] == [True, False]
    for number in range(1000):
        pacer.admits(f"online-ddl:{number}", 0.5)
    assert pacer.admits(APP, 0.1)  # as one that is new
