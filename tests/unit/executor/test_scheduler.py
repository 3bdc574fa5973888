from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tabletd.executor.controls import Wanted
from tabletd.executor.scheduler import (
    Action,
    Candidate,
    CountOlder,
    FailInOrder,
    FailStale,
    FailTablet,
    Limits,
    MarkReady,
    Recover,
    Requeue,
    RetryTabletFailure,
    Snapshot,
    Start,
    Steer,
    Stop,
    decide,
)
from tabletd.executor.states import Status

HERE = "zone1-0000000101"
LIMITS = Limits(tablet=HERE, max_concurrent=1, stale_seconds=600)
EIGHT = Limits(tablet=HERE, max_concurrent=1, stale_seconds=600, max_concurrent_online_ddl=8)
MANY = Limits(tablet=HERE, max_concurrent=10, stale_seconds=600)


def row(
    number: int, status: Status = Status.QUEUED, *, table: str | None = None, **facts: Any
) -> Candidate:
    facts.setdefault("tablet", HERE)
    return Candidate(number, f"u{number}", status, ("db", table or f"t{number}"), **facts)


def steps(snapshot: Snapshot, limits: Limits) -> list[Action]:
    """Return what is to be done, without what runs are told each time."""
    return [action for action in decide(snapshot, limits) if not isinstance(action, Steer)]


def at_work(*rows: Candidate, **facts: Any) -> Snapshot:
    """Return the facts where all running rows are at work in this process."""
    running = frozenset(row.migration_uuid for row in rows if row.status is Status.RUNNING)
    return Snapshot(
        pending=rows,
        unsettled=tuple(row for row in rows if row.run_nonce),
        running_here=running,
        busy_here=running,
        **facts,
    )


def started(snapshot: Snapshot, limits: Limits) -> list[str]:
    """Return who begins."""
    return [step.migration_uuid for step in decide(snapshot, limits) if isinstance(step, Start)]


def test_the_oldest_waiting_migration_starts_when_nothing_runs() -> None:
    snapshot = Snapshot(pending=(row(1), row(2, Status.READY)))
    assert steps(snapshot, LIMITS) == [Start("u1", Status.QUEUED)]


def test_no_more_start_than_slots_are_free() -> None:
    running = row(1, Status.RUNNING, run_nonce="n")
    snapshot = Snapshot(
        pending=(running, row(2), row(3), row(4)),
        unsettled=(running,),
        running_here=frozenset({"u1"}),
        busy_here=frozenset({"u1"}),
    )
    assert steps(snapshot, LIMITS) == []
    two = Limits(tablet=HERE, max_concurrent=3, stale_seconds=600)
    assert steps(snapshot, two) == [Start("u2", Status.QUEUED), Start("u3", Status.QUEUED)]


def test_two_migrations_never_run_on_one_table_and_the_waiting_one_blocks_nobody() -> None:
    running = row(1, Status.RUNNING, table="T", run_nonce="n")
    snapshot = Snapshot(
        pending=(running, row(2, table="t"), row(3), row(4, table="t3")),
        unsettled=(running,),
        running_here=frozenset({"u1"}),
        busy_here=frozenset({"u1"}),
    )
    assert steps(snapshot, MANY) == [Start("u3", Status.QUEUED)]


def test_a_retried_migration_waits_for_the_cleaning_up_of_its_own_run() -> None:
    cleaning = row(1, run_nonce="n")
    snapshot = Snapshot(
        pending=(cleaning, row(2)),
        unsettled=(cleaning,),
        running_here=frozenset({"u1"}),
        busy_here=frozenset({"u1"}),
    )
    assert steps(snapshot, MANY) == [Stop("u1"), Start("u2", Status.QUEUED)]
    left = Snapshot(pending=(cleaning,), unsettled=(cleaning,))
    assert steps(left, MANY) == [Recover("u1")]


def test_the_table_of_a_run_that_is_not_cleaned_up_is_held() -> None:
    failed = row(1, Status.FAILED, table="t", run_nonce="n")
    snapshot = Snapshot(
        pending=(row(2, table="t"),), unsettled=(failed,), resting=frozenset({"u1"})
    )
    assert steps(snapshot, MANY) == []


def test_left_runs_are_recovered_before_anything_starts() -> None:
    left = row(1, Status.RUNNING, run_nonce="n")
    snapshot = Snapshot(pending=(left, row(2)), unsettled=(left,), recovered=False)
    assert steps(snapshot, MANY) == [Recover("u1")]


def test_a_claim_without_a_run_goes_back_or_fails_with_its_tablet() -> None:
    mine, other = row(1, Status.RUNNING), row(2, Status.RUNNING, tablet="zone1-0000000100")
    assert steps(Snapshot(pending=(mine, other)), LIMITS) == [
        Requeue("u1"),
        FailTablet("u2", "zone1-0000000100"),
    ]


def test_a_run_that_cannot_be_recovered_is_stale_after_the_time_and_not_before() -> None:
    resting = frozenset({"u1"})
    for quiet_seconds, expected in ((600, []), (601, [FailStale("u1", 601, tablet_failure=False)])):
        left = row(1, Status.RUNNING, run_nonce="n", quiet_seconds=quiet_seconds)
        snapshot = Snapshot(pending=(left,), unsettled=(left,), resting=resting, attempted=resting)
        assert steps(snapshot, LIMITS) == expected


def test_a_run_that_was_left_long_ago_is_looked_at_before_it_is_called_stale() -> None:
    left = row(1, Status.RUNNING, run_nonce="n", quiet_seconds=100_000)
    assert steps(Snapshot(pending=(left,), unsettled=(left,)), LIMITS) == [Recover("u1")]


def test_a_left_run_is_told_what_is_wanted_of_it_before_it_goes_on() -> None:
    older = row(1, Status.RUNNING, allow_concurrent=True)
    left = row(
        2,
        Status.RUNNING,
        run_nonce="n",
        postpone_completion=True,
        in_order_completion=True,
        pending_count=1,
    )
    busy = frozenset({"u1"})
    snapshot = Snapshot(pending=(older, left), unsettled=(left,), running_here=busy, busy_here=busy)
    wanted = Wanted(postpone_completion=True, completion_waits_for="the earlier migration u1")
    assert steps(snapshot, MANY) == [Recover("u2", wanted)]


def test_a_healthy_run_of_this_process_is_never_stale() -> None:
    running = row(1, Status.RUNNING, run_nonce="n", quiet_seconds=10_000)
    busy = frozenset({"u1"})
    snapshot = Snapshot(pending=(running,), unsettled=(running,), running_here=busy, busy_here=busy)
    assert steps(snapshot, LIMITS) == []


def test_tablet_failures_are_retried() -> None:
    snapshot = Snapshot(tablet_failures=(row(1, Status.FAILED),))
    assert steps(snapshot, LIMITS) == [RetryTabletFailure("u1")]


def test_a_postponed_launch_waits_and_blocks_nobody() -> None:
    snapshot = Snapshot(pending=(row(1, postpone_launch=True), row(2)))
    assert steps(snapshot, LIMITS) == [Start("u2", Status.QUEUED)]


def test_an_immediate_operation_waits_for_its_completion_in_the_queue_shown_as_ready() -> None:
    waiting = row(1, is_immediate_operation=True, postpone_completion=True)
    assert steps(Snapshot(pending=(waiting, row(2))), LIMITS) == [
        MarkReady("u1"),
        Start("u2", Status.QUEUED),
    ]
    shown = replace(waiting, ready_to_complete=True)
    assert steps(Snapshot(pending=(shown,)), LIMITS) == []
    assert steps(Snapshot(pending=(replace(shown, postpone_launch=True),)), LIMITS) == []


def test_a_migration_with_a_copy_to_make_starts_although_its_completion_is_postponed() -> None:
    assert started(Snapshot(pending=(row(1, postpone_completion=True),)), LIMITS) == ["u1"]


def test_one_that_allows_it_runs_beside_another_which_copies_no_more() -> None:
    concurrent = row(2, allow_concurrent=True)
    copying = row(1, Status.RUNNING, run_nonce="n")
    assert started(at_work(copying, concurrent), EIGHT) == []
    ready = replace(copying, was_ready=True)
    assert started(at_work(ready, concurrent), EIGHT) == ["u2"]
    assert started(at_work(ready, row(2)), EIGHT) == []


def test_an_immediate_one_that_allows_it_runs_beside_a_copy() -> None:
    copying = row(1, Status.RUNNING, run_nonce="n")
    immediate = row(2, is_immediate_operation=True, allow_concurrent=True)
    assert started(at_work(copying, immediate), EIGHT) == ["u2"]
    assert started(at_work(copying, replace(immediate, allow_concurrent=False)), EIGHT) == []


def test_one_that_does_not_allow_it_runs_beside_one_that_does() -> None:
    copying = row(1, Status.RUNNING, run_nonce="n", allow_concurrent=True)
    immediate = row(2, is_immediate_operation=True)
    assert started(at_work(copying, immediate), EIGHT) == ["u2"]


def test_all_in_all_no_more_run_than_are_allowed() -> None:
    limits = replace(LIMITS, max_concurrent_online_ddl=2)
    rows = [row(n, is_immediate_operation=True, allow_concurrent=True) for n in range(1, 5)]
    assert started(Snapshot(pending=tuple(rows)), limits) == ["u1", "u2"]


def test_an_immediate_one_in_order_starts_as_the_first_of_all() -> None:
    second = row(2, is_immediate_operation=True, in_order_completion=True, pending_count=1)
    assert started(Snapshot(pending=(row(1, postpone_launch=True), second)), EIGHT) == []
    assert steps(Snapshot(pending=(second,)), EIGHT) == [
        CountOlder("u2", 0),
        Start("u2", Status.QUEUED),
    ]


def test_one_in_order_copies_beside_older_ones_and_is_told_what_it_waits_for() -> None:
    older = row(1, Status.RUNNING, run_nonce="n", was_ready=True, allow_concurrent=True)
    second = row(2, in_order_completion=True, allow_concurrent=True)
    snapshot = at_work(older, second)
    assert steps(snapshot, EIGHT) == [
        CountOlder("u2", 1),
        Start("u2", Status.QUEUED, "the earlier migration u1"),
    ]
    running = replace(second, status=Status.RUNNING, run_nonce="m", pending_count=1)
    third = replace(running, id=3, migration_uuid="u3", table=("db", "t3"), pending_count=2)
    steered = {
        step.migration_uuid: step.wanted.completion_waits_for
        for step in decide(at_work(older, running, third), EIGHT)
        if isinstance(step, Steer)
    }
    assert steered == {
        "u1": "",
        "u2": "the earlier migration u1",
        "u3": "the earlier migration u1 and 1 more",
    }


@pytest.mark.parametrize(
    ("older", "slots", "expected"),
    [
        ({}, 2, []),  # the slot of those without the flag is u1's
        ({"allow_concurrent": True}, 1, []),
        ({"allow_concurrent": True}, 2, ["u2"]),
        ({"allow_concurrent": True, "table": "t2"}, 8, []),
    ],
)
def test_one_in_order_starts_only_when_each_older_one_keeps_a_slot(
    older: dict[str, Any], slots: int, expected: list[str]
) -> None:
    limits = replace(LIMITS, max_concurrent_online_ddl=slots)
    snapshot = Snapshot(
        pending=(row(1, **older), row(2, in_order_completion=True)), resting=frozenset({"u1"})
    )
    assert started(snapshot, limits) == expected


def test_one_in_order_fails_with_an_older_one_of_its_context() -> None:
    broken = row(1, Status.FAILED, migration_context="c")
    second = row(2, in_order_completion=True, migration_context="c")
    snapshot = Snapshot(pending=(second,), broken=(broken,))
    assert steps(snapshot, EIGHT) == [FailInOrder("u2", "u1", Status.FAILED)]
    for harmless in (
        replace(broken, id=3),
        replace(broken, migration_context="d"),
    ):
        assert started(Snapshot(pending=(second,), broken=(harmless,)), EIGHT) == ["u2"]
    retried = Snapshot(pending=(second,), broken=(broken,), tablet_failures=(broken,))
    assert steps(retried, EIGHT) == [RetryTabletFailure("u1")]
    nameless = replace(second, migration_context="")
    alone = replace(broken, migration_context="")
    assert started(Snapshot(pending=(nameless,), broken=(alone,)), EIGHT) == ["u2"]


def test_a_run_is_told_what_is_wanted_of_it() -> None:
    running = row(
        1,
        Status.RUNNING,
        run_nonce="n",
        postpone_completion=True,
        force_cutover=True,
        cutover_threshold_seconds=7,
    )
    assert decide(at_work(running), LIMITS) == [
        Steer(
            "u1",
            Wanted(postpone_completion=True, force_cutover=True, cutover_threshold_seconds=7),
        )
    ]
