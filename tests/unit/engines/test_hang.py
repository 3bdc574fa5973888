"""Where gh-ost is taken to hang, and where it only waits."""

from __future__ import annotations

from tabletd.executor.engines.gh_ost_hang import aborted, standstill

TIMED_OUT = "2026-11-23 11:00:00 ERROR timeout while waiting for events up to lock\n"
ATTEMPT = "2026-11-23 11:00:01 INFO Grabbing voluntary lock: gh-ost.26.lock\n"


def status(applied: int = 20, *, streamer: str = "bin.2:10", state: str = "migrating") -> str:
    return (
        f"Copy: 9/9 100.0%; Applied: {applied}; Backlog: 7/1000; Time: 10s(total), 5s(copy); "
        f"streamer: {streamer}; Lag: 0.01s, HeartbeatLag: 0.01s, State: {state}; ETA: due\n"
    )


def test_before_the_first_attempt_to_cut_over_there_is_no_hang() -> None:
    assert standstill(status(), status()) is None


def test_after_an_attempt_the_same_number_of_changes_is_a_standstill() -> None:
    before = standstill(ATTEMPT + status(), status(streamer="bin.2:20"))
    assert before
    assert standstill(ATTEMPT + status(), status(streamer="bin.2:30")) == before


def test_a_change_that_is_applied_and_another_attempt_are_none() -> None:
    before = standstill(ATTEMPT + status(), status())
    assert standstill(ATTEMPT + status(), status(21)) != before
    assert standstill(ATTEMPT + TIMED_OUT + ATTEMPT, status()) != before


def test_one_that_is_postponed_or_throttled_by_somebody_waits() -> None:
    for state in ("postponing cut-over", "throttled, http=429", "throttled, commanded by user"):
        assert standstill(ATTEMPT, status(state=state)) is None


def test_one_that_is_behind_hangs_only_if_it_reads_nothing_either() -> None:
    state = "throttled, lag=130.000000s"
    before = standstill(ATTEMPT, status(state=state))
    assert before
    assert standstill(ATTEMPT, status(state=state)) == before
    assert standstill(ATTEMPT, status(state=state, streamer="bin.2:11")) != before


def test_one_that_does_not_answer_is_judged_by_its_log() -> None:
    assert standstill(ATTEMPT + status(), "") == standstill(ATTEMPT, status())
    assert standstill(ATTEMPT, "") is None


def test_one_that_has_given_up_says_why() -> None:
    said = "2026-11-23 11:00:02 ERROR migration aborted: warnings detected: Duplicate entry\n"
    found = aborted(TIMED_OUT + said + status())
    assert found is not None
    assert found.failure == "warnings detected: Duplicate entry"
    assert aborted(TIMED_OUT + status()) is None
