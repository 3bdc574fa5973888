"""When gh-ost has caught up with a moment, by what it says of itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tabletd.executor.engines.gh_ost_settling import CatchingUp
from tabletd.executor.engines.gh_ost_status import cut_over_attempts

_STATUS = (
    "Copy: 9/9 100.0%; Applied: {applied}; Backlog: {backlog}/1000; Time: 3s(total), 2s(copy); "
    "streamer: {read}; Lag: 0.01s, HeartbeatLag: {lag:.2f}s, State: postponing cut-over; ETA: due"
)


def said(backlog: int, applied: int = 0, read: str = "binlog.000002:900", lag: float = 0.02) -> str:
    return _STATUS.format(backlog=backlog, applied=applied, read=read, lag=lag)


def is_through(*statuses: str, elapsed_seconds: float = 0.0) -> bool:
    catching_up = CatchingUp((2, 500))
    for status in statuses:
        catching_up.hear(status, elapsed_seconds)
    return catching_up.is_through


def test_an_empty_backlog_counts_once_it_was_empty_again_and_again() -> None:
    assert not is_through(said(0))
    assert not is_through(said(0), said(0))
    assert is_through(said(0), said(0), said(0))


def test_what_was_said_before_the_position_was_read_does_not_count() -> None:
    early = said(0, read="binlog.000001:999")
    assert not is_through(early, early, early, early)
    assert not is_through(early, early, said(0), said(0))
    assert is_through(early, said(0), said(0), said(0))


def test_a_backlog_that_fills_between_its_batches_is_through_after_two_of_them() -> None:
    filling = [said(backlog) for backlog in (3, 5, 7, 9, 1, 3, 5)]
    assert not is_through(*filling)
    assert is_through(*filling, said(9), said(2))


def test_a_backlog_that_is_never_empty_is_through_when_more_is_applied_than_there_was() -> None:
    assert not is_through(said(20, 100), said(20, 110), said(20, 120))
    assert is_through(said(20, 100), said(20, 110), said(20, 123), said(20, 124))


def test_a_gh_ost_that_is_stuck_or_silent_is_never_through() -> None:
    assert not is_through(*[said(backlog, 5) for backlog in range(3, 100)])
    assert not is_through("", "", "")


def test_without_a_position_a_heartbeat_written_since_tells_what_was_read() -> None:
    by_gtid = said(0, read="de1b26d5-e72d-11f1-ba27-02fc00000001:1-55", lag=0.5)
    assert not is_through(by_gtid, by_gtid, by_gtid, elapsed_seconds=0.4)
    assert is_through(by_gtid, by_gtid, by_gtid, elapsed_seconds=0.7)


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=40),
    st.lists(st.integers(0, 12), min_size=1, max_size=40),
)
def test_it_is_never_through_before_what_was_ahead_has_left_the_queue(
    arriving: list[int], leaving: list[int]
) -> None:
    backlog, ahead, catching_up = 7, 7, CatchingUp((2, 500))
    catching_up.hear(said(backlog), 0.0)
    for more, fewer in zip(arriving, leaving, strict=False):
        taken = min(fewer, backlog)
        ahead -= taken
        backlog += more - taken
        catching_up.hear(said(backlog), 0.0)
        assert not catching_up.is_through or ahead <= 0


def test_attempts_to_cut_over_are_counted_from_the_log() -> None:
    log = (
        "2026-11-23 11:15:27 INFO Grabbing voluntary lock: gh-ost.26.lock\n"
        "2026-11-23 11:15:27 INFO Locking `a`.`t`, `a`.`_t_del`\n"
        "2026-11-23 11:15:30 ERROR Error 1205: Lock wait timeout exceeded\n"
        "2026-11-23 11:15:31 INFO Grabbing voluntary lock: gh-ost.27.lock\n"
    )
    assert cut_over_attempts(log) == 2
    assert cut_over_attempts("2026-11-23 11:15:31 INFO Locking `a`.`t`\n") == 1
    assert cut_over_attempts("") == 0
