"""What is said of the lag, by what is known."""

from __future__ import annotations

import pytest

from tabletd.heartbeat import LagMethod, LagState, Writing
from tabletd.heartbeat.beats import Beat, Beats, Look
from tabletd.heartbeat.judging import WriterNews, clock_lag, wall_lag
from tabletd.heartbeat.writer_time import TimeSample

MS = 1_000_000
SECOND = 1000 * MS
INTERVAL = 100 * MS
# The writer's clock shows this much more than ours.
AHEAD = 5000 * SECOND


def exchange(beats: Beats, now: int, told: dict[int, int], series: int = 7) -> bool:
    """Have the writer tell its beats, each committed a millisecond after it was sent."""
    sample = TimeSample(now, now + AHEAD, now + AHEAD, now)
    return beats.note_exchange(
        series, sample, [Beat(n, sent + AHEAD, sent + AHEAD + MS) for n, sent in told.items()]
    )


def look(beats: Beats, now: int, number: int, sent: int, series: int = 7) -> bool:
    return beats.note_look(Look(now, now + MS, series, number, sent + AHEAD))


def known(**beats_sent: int) -> dict[int, int]:
    return {int(name[1:]): sent for name, sent in beats_sent.items()}


def test_without_the_writers_time_nothing_is_said() -> None:
    beats = Beats()
    assert look(beats, SECOND, 1, SECOND - 2 * MS)
    assert clock_lag(beats, WriterNews(), INTERVAL) is None


def test_when_all_beats_have_arrived_the_lag_may_be_anything_up_to_the_age_of_the_newest() -> None:
    beats = Beats()
    exchange(beats, SECOND, known(b1=SECOND))
    look(beats, SECOND + 10 * MS, 1, SECOND)
    lag = clock_lag(beats, WriterNews(SECOND, Writing.REGULARLY), INTERVAL)
    assert lag is not None
    assert (lag.state, lag.method, lag.lower_ns) == (LagState.MEASURED, LagMethod.CLOCK, 0)
    assert lag.upper_ns == pytest.approx(11 * MS, abs=0.1 * MS)
    assert lag.measured_monotonic == pytest.approx(1.011)


def test_a_beat_that_was_written_and_is_not_there_is_the_lag() -> None:
    beats = Beats()
    look(beats, SECOND + 2 * MS, 1, SECOND)
    exchange(beats, 3 * SECOND, known(b1=SECOND, b2=SECOND + INTERVAL, b3=SECOND + 2 * INTERVAL))
    look(beats, 3 * SECOND, 1, SECOND)
    lag = clock_lag(beats, WriterNews(3 * SECOND, Writing.REGULARLY), INTERVAL)
    assert lag is not None
    assert lag.state is LagState.MEASURED
    assert lag.lower_ns == pytest.approx(1899 * MS, abs=3 * MS)
    assert lag.lag_ns == pytest.approx(1900 * MS, abs=3 * MS)
    assert lag.upper_ns == pytest.approx(2001 * MS, abs=3 * MS)


@pytest.mark.parametrize(
    ("writing", "cause"),
    [
        (Writing.NONE, "the primary's daemon writes no heartbeats: nothing to measure by"),
        (
            Writing.REGULARLY,
            "the primary's daemon is late with its heartbeats: nothing to measure by",
        ),
        (Writing.IDLE, "heartbeats are written on demand, and nobody has asked for them"),
    ],
)
def test_a_beat_that_was_not_written_is_no_lag(writing: Writing, cause: str) -> None:
    beats = Beats()
    exchange(beats, SECOND, known(b1=SECOND))
    look(beats, SECOND + 2 * MS, 1, SECOND)
    look(beats, 9 * SECOND, 1, SECOND)
    lag = clock_lag(beats, WriterNews(8 * SECOND, writing), INTERVAL)
    assert lag is not None
    assert (lag.state, lag.lower_ns, lag.error, lag.cause) == (LagState.IDLE, 0, "", cause)
    assert lag.lag_ns is not None
    assert lag.lag_ns <= 3 * MS
    assert lag.since_monotonic == pytest.approx(1.1, abs=0.01)


def test_a_beat_of_which_nobody_knows_whether_it_was_written_leaves_the_lag_open() -> None:
    beats = Beats()
    exchange(beats, SECOND, known(b1=SECOND))
    look(beats, SECOND + 2 * MS, 1, SECOND)
    look(beats, 9 * SECOND, 1, SECOND)
    lag = clock_lag(beats, WriterNews(SECOND, Writing.REGULARLY, "it hangs"), INTERVAL)
    assert lag is not None
    assert (lag.state, lag.lower_ns, lag.error) == (LagState.STALE, 0, "")
    assert "cannot be asked" in lag.cause
    assert "it hangs" in lag.cause
    assert lag.lag_ns == pytest.approx(7900 * MS, abs=10 * MS)
    assert lag.upper_ns == pytest.approx(8001 * MS, abs=10 * MS)


def test_a_beat_that_is_a_little_late_changes_nothing() -> None:
    beats = Beats()
    exchange(beats, SECOND, known(b1=SECOND))
    look(beats, SECOND + 2 * MS, 1, SECOND)
    look(beats, SECOND + INTERVAL + 900 * MS, 1, SECOND)
    lag = clock_lag(beats, WriterNews(SECOND, Writing.REGULARLY), INTERVAL)
    assert lag is not None
    assert lag.state is LagState.MEASURED


def test_a_replica_that_still_has_the_beats_of_the_former_primary_misses_those_of_the_new() -> None:
    beats = Beats()
    exchange(beats, SECOND, known(b5=SECOND))
    look(beats, SECOND + 2 * MS, 5, SECOND)
    exchange(beats, 3 * SECOND, known(b1=2 * SECOND, b2=2 * SECOND + INTERVAL), series=8)
    look(beats, 3 * SECOND, 5, SECOND)
    lag = clock_lag(beats, WriterNews(3 * SECOND, Writing.REGULARLY), INTERVAL)
    assert lag is not None
    assert lag.lower_ns == pytest.approx(999 * MS, abs=3 * MS)
    look(beats, 3 * SECOND + 10 * MS, 2, 2 * SECOND + INTERVAL, series=8)
    lag = clock_lag(beats, WriterNews(3 * SECOND, Writing.REGULARLY), INTERVAL)
    assert lag is not None
    assert lag.lower_ns == 0


def test_a_row_that_went_back_says_nothing_of_when_its_beat_arrived() -> None:
    beats = Beats()
    exchange(beats, 2 * SECOND, known(b1=SECOND, b2=SECOND + INTERVAL))
    look(beats, 2 * SECOND, 2, SECOND + INTERVAL)
    look(beats, 2 * SECOND + 5 * MS, 1, SECOND)
    beat_lag = beats.beat_lag()
    assert beat_lag is not None
    assert beat_lag.low_ns == 0


def test_a_clock_that_jumped_voids_what_was_known() -> None:
    beats = Beats()
    exchange(beats, SECOND, known(b1=SECOND))
    look(beats, SECOND + 2 * MS, 1, SECOND)
    jumped = 2 * SECOND + AHEAD + 60 * SECOND
    assert not beats.note_exchange(7, TimeSample(2 * SECOND, jumped, jumped, 2 * SECOND), [])
    assert beats.reading() is None
    assert beats.clock_error_ns(2 * SECOND) == 0


def test_the_oldest_of_very_many_beats_are_forgotten() -> None:
    beats = Beats()
    exchange(beats, SECOND, {n: n * MS for n in range(1, 5001)})
    look(beats, SECOND, 100, 100 * MS)
    missing = beats.next_commit()
    assert missing is not None
    assert missing.low_ns == pytest.approx((5000 - 4096 + 1) * MS, abs=5 * MS)
    assert beats.newest_sequence == 5000


def test_wall_clocks_are_said_to_be_what_a_figure_rests_on() -> None:
    lag = wall_lag(-40 * SECOND, 9.0, INTERVAL, "no primary is known")
    assert (lag.method, lag.lag_ns, lag.lower_ns, lag.upper_ns) == (
        LagMethod.WALL,
        -40 * SECOND,
        0,
        0,
    )
    assert lag.cause == "by the wall clocks of two hosts: no primary is known"
    late = wall_lag(3 * SECOND, 9.0, INTERVAL, "")
    assert (late.lower_ns, late.upper_ns) == (2900 * MS, 3 * SECOND)
    assert late.cause == "by the wall clocks of two hosts"
