from __future__ import annotations

from tabletd.executor.scheduler import (
    Candidate,
    FailStale,
    FailTablet,
    Limits,
    Recover,
    Requeue,
    RetryTabletFailure,
    Snapshot,
    Start,
    Stop,
    decide,
)
from tabletd.executor.states import Status

HERE = "zone1-0000000101"
LIMITS = Limits(tablet=HERE, max_concurrent=1, stale_seconds=600)
MANY = Limits(tablet=HERE, max_concurrent=10, stale_seconds=600)


def row(
    number: int,
    status: Status = Status.QUEUED,
    *,
    table: str | None = None,
    run_nonce: str = "",
    tablet: str = HERE,
    quiet_seconds: int = 0,
) -> Candidate:
    return Candidate(
        number,
        f"u{number}",
        status,
        ("db", table or f"t{number}"),
        run_nonce=run_nonce,
        tablet=tablet,
        quiet_seconds=quiet_seconds,
    )


def test_the_oldest_waiting_migration_starts_when_nothing_runs() -> None:
    snapshot = Snapshot(pending=(row(1), row(2, Status.READY)))
    assert decide(snapshot, LIMITS) == [Start("u1", Status.QUEUED)]


def test_no_more_start_than_slots_are_free() -> None:
    running = row(1, Status.RUNNING, run_nonce="n")
    snapshot = Snapshot(
        pending=(running, row(2), row(3), row(4)),
        unsettled=(running,),
        running_here=frozenset({"u1"}),
        busy_here=frozenset({"u1"}),
    )
    assert decide(snapshot, LIMITS) == []
    two = Limits(tablet=HERE, max_concurrent=3, stale_seconds=600)
    assert decide(snapshot, two) == [Start("u2", Status.QUEUED), Start("u3", Status.QUEUED)]


def test_two_migrations_never_run_on_one_table_and_the_waiting_one_blocks_nobody() -> None:
    running = row(1, Status.RUNNING, table="T", run_nonce="n")
    snapshot = Snapshot(
        pending=(running, row(2, table="t"), row(3), row(4, table="t3")),
        unsettled=(running,),
        running_here=frozenset({"u1"}),
        busy_here=frozenset({"u1"}),
    )
    assert decide(snapshot, MANY) == [Start("u3", Status.QUEUED)]


def test_a_retried_migration_waits_for_the_cleaning_up_of_its_own_run() -> None:
    cleaning = row(1, run_nonce="n")
    snapshot = Snapshot(
        pending=(cleaning, row(2)),
        unsettled=(cleaning,),
        running_here=frozenset({"u1"}),
        busy_here=frozenset({"u1"}),
    )
    assert decide(snapshot, MANY) == [Stop("u1"), Start("u2", Status.QUEUED)]
    left = Snapshot(pending=(cleaning,), unsettled=(cleaning,))
    assert decide(left, MANY) == [Recover("u1")]


def test_the_table_of_a_run_that_is_not_cleaned_up_is_held() -> None:
    failed = row(1, Status.FAILED, table="t", run_nonce="n")
    snapshot = Snapshot(
        pending=(row(2, table="t"),), unsettled=(failed,), resting=frozenset({"u1"})
    )
    assert decide(snapshot, MANY) == []


def test_left_runs_are_recovered_before_anything_starts() -> None:
    left = row(1, Status.RUNNING, run_nonce="n")
    snapshot = Snapshot(pending=(left, row(2)), unsettled=(left,), recovered=False)
    assert decide(snapshot, MANY) == [Recover("u1")]


def test_a_claim_without_a_run_goes_back_or_fails_with_its_tablet() -> None:
    mine, other = row(1, Status.RUNNING), row(2, Status.RUNNING, tablet="zone1-0000000100")
    assert decide(Snapshot(pending=(mine, other)), LIMITS) == [
        Requeue("u1"),
        FailTablet("u2", "zone1-0000000100"),
    ]


def test_a_run_that_cannot_be_recovered_is_stale_after_the_time_and_not_before() -> None:
    resting = frozenset({"u1"})
    for quiet_seconds, expected in ((600, []), (601, [FailStale("u1", 601, tablet_failure=False)])):
        left = row(1, Status.RUNNING, run_nonce="n", quiet_seconds=quiet_seconds)
        assert decide(Snapshot(pending=(left,), unsettled=(left,), resting=resting), LIMITS) == (
            expected
        )


def test_a_healthy_run_of_this_process_is_never_stale() -> None:
    running = row(1, Status.RUNNING, run_nonce="n", quiet_seconds=10_000)
    busy = frozenset({"u1"})
    snapshot = Snapshot(pending=(running,), unsettled=(running,), running_here=busy, busy_here=busy)
    assert decide(snapshot, LIMITS) == []


def test_tablet_failures_are_retried() -> None:
    snapshot = Snapshot(tablet_failures=(row(1, Status.FAILED),))
    assert decide(snapshot, LIMITS) == [RetryTabletFailure("u1")]
