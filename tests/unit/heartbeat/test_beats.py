"""The figure within its bounds."""

from __future__ import annotations

from tabletd.heartbeat.beats import Beats
from tests.unit.heartbeat.test_judging import INTERVAL, MS, SECOND, exchange, known, look


def seen_after(*looks: tuple[int, int]) -> Beats:
    """Return what is known of three beats, the first committed at second one.

    Args:
        looks: when, counted from second one, and which of the beats was seen.
    """
    beats = Beats()
    commits = [SECOND + number * INTERVAL for number in range(3)]
    exchange(beats, SECOND, known(b0=commits[0], b1=commits[1], b2=commits[2]))
    for after_ns, number in looks:
        look(beats, SECOND + after_ns, number, commits[number])
    return beats


def figure_ns(beats: Beats) -> int:
    reading = beats.reading()
    assert reading is not None
    return reading.lag_ns


TIGHT = ((0, 0), (INTERVAL + 4 * MS, 0), (INTERVAL + 6 * MS, 1))


def test_a_beat_is_taken_to_have_come_in_the_middle_of_the_time_in_which_it_came() -> None:
    assert abs(figure_ns(seen_after(*TIGHT)) - 5 * MS) < MS


def test_a_look_that_was_late_changes_no_figure_that_may_still_be_right() -> None:
    late = (2 * INTERVAL + 60 * MS, 2)
    assert abs(figure_ns(seen_after(*TIGHT, late)) - 5 * MS) < MS


def test_a_beat_that_took_longer_or_less_than_the_one_before_changes_the_figure() -> None:
    missed = (2 * INTERVAL + 40 * MS, 1)
    longer = seen_after(*TIGHT, missed, (2 * INTERVAL + 44 * MS, 2))
    assert abs(figure_ns(longer) - 42 * MS) < MS
    less = seen_after(*TIGHT, (2 * INTERVAL + 2 * MS, 2))
    assert abs(figure_ns(less) - MS) < MS


def test_the_newest_commit_is_that_of_the_beat_that_was_told_last_or_seen_after_it() -> None:
    told_more = seen_after((0, 0))
    newest = told_more.newest_commit()
    assert newest is not None
    assert newest.low_ns <= SECOND + 2 * INTERVAL <= newest.high_ns
    look(told_more, SECOND + 3 * INTERVAL + 5 * MS, 3, SECOND + 3 * INTERVAL)
    seen = told_more.newest_commit()
    assert seen is not None
    assert seen.low_ns <= SECOND + 3 * INTERVAL <= seen.high_ns
    assert seen == told_more.seen_commit()


def test_nobody_knows_of_a_commit_before_the_first_beat() -> None:
    assert Beats().newest_commit() is None
