"""What is said of those who wait: text by text."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tabletd.executor.scheduler import Candidate, Limits, Snapshot, Start, decide
from tabletd.executor.states import Status
from tabletd.executor.waiting import NAMED_MAX, Wait, news, throttled, waits

ONE = Limits(tablet="zone1-0000000101", max_concurrent=1, stale_seconds=600)
EIGHT = replace(ONE, max_concurrent_online_ddl=8)
TWO = replace(ONE, max_concurrent=2, max_concurrent_online_ddl=2)
RUNNING, QUEUED, READY = Status.RUNNING, Status.QUEUED, Status.READY


def row(number: int, status: Status = QUEUED, **facts: Any) -> Candidate:
    table = facts.pop("table", f"t{number}")
    facts = {"strategy": "gh-ost", "tablet": ONE.tablet} | facts
    return Candidate(number, f"u{number}", status, ("db", table), **facts)


def wait_of(number: int, *rows: Candidate, limits: Limits = ONE, **facts: Any) -> Wait:
    """Return what is said of one, after what is to be done was decided."""
    running = frozenset(one.migration_uuid for one in rows if one.status is RUNNING)
    facts = {"running_here": running, "busy_here": running} | facts
    snapshot = Snapshot(pending=rows, **facts)
    actions = decide(snapshot, limits)
    starting = {one.migration_uuid for one in actions if isinstance(one, Start)}
    found = waits(snapshot, limits, starting)
    assert not starting & found.keys()
    return found[f"u{number}"]


def test_a_postponed_launch() -> None:
    assert wait_of(1, row(1, postpone_launch=True)) == Wait(
        "gh-ost: waiting to be launched",
        "Its launch is postponed by its flag --postpone-launch. "
        "ALTER VITESS_MIGRATION 'u1' LAUNCH starts it.",
    )


@pytest.mark.parametrize(
    ("by_flag", "who"),
    [
        (True, "its flag --postpone-completion"),
        (False, "ALTER VITESS_MIGRATION ... POSTPONE COMPLETE"),
    ],
)
def test_an_immediate_operation_whose_completion_is_postponed(by_flag: bool, who: str) -> None:
    one = row(
        1,
        strategy="direct",
        is_immediate_operation=True,
        postpone_completion=True,
        postponed_by_flag=by_flag,
    )
    assert wait_of(1, one) == Wait(
        "direct: waiting to be completed",
        f"It takes effect as soon as it begins, and its completion is postponed by {who}. "
        "ALTER VITESS_MIGRATION 'u1' COMPLETE lets it begin.",
    )


def test_the_one_slot_is_taken() -> None:
    assert wait_of(2, row(1, RUNNING), row(2)) == Wait(
        "gh-ost: waiting for a slot",
        "Migration u1 runs, and max_concurrent_migrations is 1. It starts when that one has ended.",
    )


def test_the_slot_is_taken_by_one_that_begins_just_now() -> None:
    assert wait_of(2, row(1), row(2)).message.startswith("Migration u1 runs, and")


def test_an_immediate_operation_may_be_told_of_the_flag_that_would_help() -> None:
    wait = wait_of(2, row(1, RUNNING), row(2, strategy="pt-osc", is_immediate_operation=True))
    assert wait == Wait(
        "pt-osc: waiting for a slot",
        "Migration u1 runs, and max_concurrent_migrations is 1. It starts when that one has "
        "ended. Submitted with --allow-concurrent it need not wait.",
    )


def test_several_run() -> None:
    rows = [row(number, RUNNING) for number in range(1, 6)]
    limits = replace(ONE, max_concurrent=5)
    assert wait_of(6, *rows, row(6), limits=limits).message == (
        "Migrations u1, u2, u3 and 2 more run, and max_concurrent_migrations is 5. "
        "It starts when one of them has ended."
    )


def test_all_slots_are_taken() -> None:
    rows = [row(number, RUNNING, allow_concurrent=True, was_ready=True) for number in (1, 2)]
    assert wait_of(3, *rows, row(3, allow_concurrent=True), limits=TWO).message == (
        "Migrations u1, u2 run, and max_concurrent_online_ddl is 2. "
        "It starts when one of them has ended."
    )


def test_one_that_may_run_beside_others_waits_for_the_copy() -> None:
    rows = (row(1, RUNNING, allow_concurrent=True), row(2, allow_concurrent=True))
    assert wait_of(2, *rows, limits=EIGHT) == Wait(
        "gh-ost: waiting for a slot",
        "Migration u1 copies rows, and no more than 1 do at one time (max_concurrent_migrations). "
        "It starts when that one is ready to complete.",
    )


def test_another_one_changes_the_table() -> None:
    rows = (row(1, RUNNING, table="orders"), row(2, table="Orders"))
    assert wait_of(2, *rows, limits=TWO) == Wait(
        "gh-ost: waiting for the table",
        "Migration u1 changes the same table, db.Orders. It starts when that one has ended; "
        "ALTER VITESS_MIGRATION 'u1' CANCEL ends it.",
    )


def test_another_one_is_still_cleaned_up_on_the_table() -> None:
    left = row(1, Status.CANCELLED, table="orders", run_nonce="n")
    wait = wait_of(
        2, row(2, table="orders"), limits=TWO, unsettled=(left,), busy_here=frozenset({"u1"})
    )
    assert wait == Wait(
        "gh-ost: waiting for the table",
        "Migration u1, which is cancelled, is still being cleaned up on the same table, "
        "db.orders. It starts by itself.",
    )


def test_what_an_ended_one_left_holds_the_slot() -> None:
    assert wait_of(2, row(2), busy_here=frozenset({"u1"})) == Wait(
        "gh-ost: waiting for a slot",
        "What a migration that has ended left is being cleaned up. It starts by itself.",
    )


def test_its_own_earlier_run_is_cleaned_up() -> None:
    assert wait_of(1, row(1), busy_here=frozenset({"u1"})) == Wait(
        "gh-ost: waiting for its clean-up",
        "What its earlier run left is being cleaned up. It starts by itself.",
    )


def test_its_own_earlier_run_could_not_be_cleaned_up() -> None:
    one = row(1, run_nonce="n")
    wait = wait_of(1, one, unsettled=(one,), resting=frozenset({"u1"}))
    assert wait == Wait(
        "gh-ost: waiting for its clean-up",
        "What its earlier run left could not be cleaned up yet: the daemon's log says why. "
        "It is tried again every few seconds.",
    )


def test_the_server_was_lost() -> None:
    assert wait_of(1, row(1), resting=frozenset({"u1"})) == Wait(
        "gh-ost: waiting for the next attempt",
        "The server was lost during its last attempt. The next one begins within seconds.",
    )


def test_left_runs_are_settled_first() -> None:
    left = row(1, Status.FAILED, run_nonce="n")
    wait = wait_of(2, row(2), unsettled=(left,), recovered=False)
    assert wait == Wait(
        "gh-ost: waiting for recovery",
        "Runs that an earlier daemon left are settled first: u1 (failed). It starts by itself.",
    )


def test_what_failed_with_its_tablet_goes_first() -> None:
    failed = row(1, Status.FAILED)
    assert wait_of(2, row(2), tablet_failures=(failed,)) == Wait(
        "gh-ost: waiting for recovery",
        "What failed together with its tablet goes back into the queue first: u1 (failed). "
        "It starts by itself.",
    )


def test_an_immediate_operation_in_order_waits_for_all_earlier_ones() -> None:
    rows = [row(number, RUNNING, allow_concurrent=True) for number in range(1, 6)]
    last = row(6, in_order_completion=True, is_immediate_operation=True)
    assert wait_of(6, *rows, last, limits=EIGHT) == Wait(
        "gh-ost: waiting for its turn",
        "It takes effect as soon as it begins, and with --in-order-completion that is after all "
        "earlier ones: u1 (running), u2 (running), u3 (running) and 2 more. It starts by itself.",
    )


def test_one_in_order_leaves_room_for_earlier_ones() -> None:
    limits = replace(ONE, max_concurrent=2)
    rows = (row(1, postpone_launch=True, table="t"), row(2, in_order_completion=True, table="t"))
    assert wait_of(2, *rows, limits=limits) == Wait(
        "gh-ost: waiting for its turn",
        "It completes after all earlier ones (--in-order-completion), and those that have not "
        "begun need the slots or the table: u1 (queued). It starts by itself.",
    )


def test_a_run_that_is_ready_waits_for_its_postponed_completion() -> None:
    one = row(1, RUNNING, ready_to_complete=True, postpone_completion=True, postponed_by_flag=True)
    assert wait_of(1, one) == Wait(
        "",
        "Completion waits: it is postponed by its flag --postpone-completion. "
        "ALTER VITESS_MIGRATION 'u1' COMPLETE lets it complete.",
    )


def test_a_run_that_is_ready_waits_for_earlier_ones() -> None:
    one = row(2, RUNNING, ready_to_complete=True, in_order_completion=True)
    assert wait_of(2, row(1, RUNNING), one, limits=TWO) == Wait(
        "",
        "Completion waits: with --in-order-completion it comes after all earlier ones: "
        "u1 (running). It completes by itself.",
    )


def test_a_run_that_waits_no_longer_loses_its_message_but_not_the_engines_own() -> None:
    held = row(1, RUNNING, ready_to_complete=True, message="Completion waits: it is postponed")
    assert wait_of(1, held) == Wait("", "")
    busy = row(1, RUNNING, message="some rows were skipped")
    assert waits(Snapshot(pending=(busy,)), ONE) == {}


def test_only_what_differs_is_written_and_the_same_text_at_once() -> None:
    first = row(1, RUNNING)
    rows = (first, row(2), row(3))
    snapshot = Snapshot(pending=rows, busy_here=frozenset({"u1"}))
    ((wait, uuids),) = news(snapshot, waits(snapshot, ONE)).items()
    assert uuids == ["u2", "u3"]
    told = (first, *(replace(one, stage=wait.stage, message=wait.message) for one in rows[1:]))
    snapshot = replace(snapshot, pending=told)
    assert news(snapshot, waits(snapshot, ONE)) == {}


def test_far_behind_the_text_stays_whoever_runs() -> None:
    rows = [row(number) for number in range(2, NAMED_MAX + 10)]
    last = rows[-1].migration_uuid
    texts = {
        waits(Snapshot(pending=(row(1, RUNNING, table=table), *rows)), ONE)[last]
        for table in ("a", "b")
    }
    assert texts == {
        Wait(
            "gh-ost: waiting for a slot",
            "More than 100 migrations wait before it. It starts by itself.",
        )
    }


def test_ready_is_as_queued() -> None:
    assert wait_of(2, row(1, RUNNING), row(2, READY)).stage == "gh-ost: waiting for a slot"


def test_a_run_that_the_throttler_holds_back() -> None:
    reason = "Threshold exceeded: replica zone1-102: lag 7.5 s"
    assert throttled("u1", reason, by_user=False) == f"Throttled: {reason}. It goes on by itself."


def test_a_run_that_a_user_holds_back() -> None:
    assert throttled("u1", "denied by a rule", by_user=True) == (
        "Throttled: denied by a rule. ALTER VITESS_MIGRATION 'u1' UNTHROTTLE lets it go on."
    )
