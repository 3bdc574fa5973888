"""The arithmetic of the benchmarks: what they say is only as good as this."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.clocks import CLOCKS, ClockPair, drift_ppm, launcher, with_steady_clock
from tests.bench.widths import Bounded, just_after_beats
from tests.faults.faketime import why_no_faketime

INTERVAL_SECONDS = 0.1


def figure(moment: float, *, saw: float, lower_seconds: float = 0.0) -> Bounded:
    """Return the figure of a look that saw the heartbeat of a moment."""
    return Bounded(moment, lower_seconds, moment - saw)


def test_a_look_that_saw_a_new_heartbeat_is_just_after_a_beat_and_no_other_look_is() -> None:
    new = figure(5.103, saw=5.1)
    looks = [figure(5.003, saw=5.0), figure(5.099, saw=5.001), new, figure(5.15, saw=5.099)]
    assert just_after_beats(looks, INTERVAL_SECONDS) == [new]


def test_of_the_first_look_nobody_knows_whether_its_heartbeat_was_new() -> None:
    assert just_after_beats([figure(5.003, saw=5.0)], INTERVAL_SECONDS) == []


def test_bounds_that_move_by_less_than_half_an_interval_tell_of_no_new_heartbeat() -> None:
    looks = [figure(5.0 + number / 100, saw=5.0 + number / 250) for number in range(10)]
    assert just_after_beats(looks, INTERVAL_SECONDS) == []


def test_a_heartbeat_that_comes_after_missed_ones_is_new_once() -> None:
    late = figure(5.51, saw=5.5)
    assert just_after_beats(
        [figure(5.003, saw=5.0), late, figure(5.52, saw=5.5)], INTERVAL_SECONDS
    ) == [late]


def test_the_width_is_what_lies_between_the_bounds() -> None:
    assert figure(5.35, saw=5.0, lower_seconds=0.25).width_seconds == pytest.approx(0.1)


@pytest.mark.parametrize("ppm", [0.0, 200.0, -200.0])
def test_drift_is_what_one_clock_gains_on_the_other(ppm: float) -> None:
    before, after = ClockPair(100.0, 9e8), ClockPair(160.0, 9e8 + 60 * (1 + ppm / 1e6))
    assert drift_ppm(before, after) == pytest.approx(ppm, abs=0.01)


def test_the_clock_that_drifts_is_written_as_fast_as_it_is_said_to_be() -> None:
    for clock in CLOCKS.values():
        rate = float(clock.text.partition("x")[2] or 1)
        assert (rate - 1) * 1e6 == pytest.approx(clock.drift_ppm)


@pytest.mark.skipif(bool(why_no_faketime()), reason=why_no_faketime())
def test_only_a_host_that_drifts_has_another_steady_clock(tmp_path: Path) -> None:
    words = launcher(tmp_path, CLOCKS["reader drifts 200 ppm"])
    assert "DONT_FAKE_MONOTONIC=1" in words
    assert set(words) - set(with_steady_clock(words)) == {"DONT_FAKE_MONOTONIC=1"}
