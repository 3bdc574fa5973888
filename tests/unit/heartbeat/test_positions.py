"""Lag by positions."""

from __future__ import annotations

import pytest

from tabletd.heartbeat import LagMethod, LagState
from tabletd.heartbeat.positions import Positions
from tabletd.heartbeat.writer_time import Bracket
from tabletd.mysql.position import is_position_covered
from tests.unit.heartbeat.test_judging import MS, SECOND


def told(second: int) -> Bracket:
    return Bracket(second * SECOND, second * SECOND + 2 * MS)


def looked(second: int) -> Bracket:
    return Bracket(second * SECOND + 3 * MS, second * SECOND + 5 * MS)


def test_a_replica_that_has_all_is_late_by_no_more_than_the_question_took() -> None:
    positions = Positions()
    positions.note_position("MariaDB/0-1-5", told(10))
    positions.note_applied("0-1-6", looked(10))
    lag = positions.lag(10 * SECOND + 6 * MS, "")
    assert lag is not None
    assert (lag.state, lag.method) == (LagState.MEASURED, LagMethod.GTID)
    assert (lag.lower_ns, lag.upper_ns) == (0, 5 * MS)
    assert lag.measured_monotonic == pytest.approx(10.005)


def test_what_the_replica_does_not_have_is_as_old_as_the_position_that_held_it() -> None:
    positions = Positions()
    for second, number in ((10, 5), (11, 6), (12, 7)):
        positions.note_position(f"MariaDB/0-1-{number}", told(second))
    positions.note_applied("0-1-5", looked(14))
    lag = positions.lag(14 * SECOND + 6 * MS, "")
    assert lag is not None
    assert (lag.lower_ns, lag.upper_ns) == (3 * SECOND + MS, 4 * SECOND + 5 * MS)
    positions.note_applied("0-1-7", looked(15))
    lag = positions.lag(15 * SECOND + 6 * MS, "")
    assert lag is not None
    assert lag.lower_ns == 0


def test_nothing_is_said_before_the_replica_has_any_position() -> None:
    positions = Positions()
    positions.note_position("MariaDB/0-1-5", told(10))
    positions.note_applied("0-1-4", looked(10))
    assert positions.lag(11 * SECOND, "") is None


def test_a_primary_that_falls_silent_leaves_a_figure_that_is_stale_and_grows() -> None:
    positions = Positions()
    positions.note_position("MySQL56/a:1-5", told(10))
    positions.note_applied("a:1-5", looked(10))
    lag = positions.lag(70 * SECOND + 5 * MS, "it hangs")
    assert lag is not None
    assert (lag.state, lag.error) == (LagState.STALE, "")
    assert (lag.lag_ns or 0) > 60 * SECOND
    assert "it hangs" in lag.cause


def test_of_very_many_positions_the_oldest_say_how_late_a_replica_is() -> None:
    positions = Positions()
    positions.note_position("MariaDB/0-1-1", told(0))
    positions.note_applied("0-1-1", looked(0))
    for second in range(1, 2001):
        positions.note_position(f"MariaDB/0-1-{second + 1}", told(second))
    positions.note_applied("0-1-1", looked(2000))
    lag = positions.lag(2000 * SECOND, "")
    assert lag is not None
    assert lag.lower_ns == 1999 * SECOND + MS


@pytest.mark.parametrize(
    ("gtids", "position", "covered"),
    [
        ("0-1-5", "MariaDB/0-2-5", True),
        ("0-1-5,1-1-2", "MariaDB/0-1-4", True),
        ("0-1-5", "MariaDB/0-1-5,1-1-2", False),
        ("a:1-5", "MySQL56/a:1-5", True),
        ("a:1-5,\nb:1-3", "MySQL56/b:2", True),
        ("a:1-5", "MySQL56/a:1-6", False),
        ("a:1-5", "MySQL56/b:1", False),
        ("a:1-5", "FilePos/binlog.000001:4", False),
    ],
)
def test_a_position_is_covered_by_gtids_that_hold_all_of_it(
    gtids: str, position: str, covered: bool
) -> None:
    assert is_position_covered(gtids, position) is covered
