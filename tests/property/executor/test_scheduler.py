from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tabletd.executor.scheduler import (
    Candidate,
    CountOlder,
    Limits,
    MarkReady,
    Snapshot,
    Start,
    Steer,
    decide,
)
from tabletd.executor.states import PENDING, Status

CANDIDATES = st.builds(
    Candidate,
    id=st.integers(1, 9),
    migration_uuid=st.sampled_from([f"u{n}" for n in range(9)]),
    status=st.sampled_from(Status),
    table=st.tuples(st.just("db"), st.sampled_from(["a", "A", "b", "c"])),
    run_nonce=st.sampled_from(["", "", "n"]),
    tablet=st.sampled_from(["here", "there"]),
    quiet_seconds=st.integers(0, 1000),
    migration_context=st.sampled_from(["", "c"]),
    postpone_launch=st.booleans(),
    postpone_completion=st.booleans(),
    allow_concurrent=st.booleans(),
    in_order_completion=st.booleans(),
    is_immediate_operation=st.booleans(),
    was_ready=st.booleans(),
)
ROWS = st.lists(CANDIDATES, max_size=9, unique_by=lambda row: row.migration_uuid)
UUIDS = st.frozensets(st.sampled_from([f"u{n}" for n in range(9)]), max_size=4)


@given(
    rows=ROWS,
    running=UUIDS,
    recovering=UUIDS,
    resting=UUIDS,
    max_concurrent=st.integers(1, 3),
    more=st.integers(0, 3),
)
def test_what_starts_has_a_slot_a_table_and_no_run_of_its_own(
    rows: list[Candidate],
    running: frozenset[str],
    recovering: frozenset[str],
    resting: frozenset[str],
    max_concurrent: int,
    more: int,
) -> None:
    ordered = tuple(sorted(rows, key=lambda row: row.id))
    snapshot = Snapshot(
        pending=tuple(row for row in ordered if row.status in PENDING),
        unsettled=tuple(row for row in ordered if row.run_nonce),
        running_here=running,
        busy_here=running | recovering,
        resting=resting,
    )
    limits = Limits(
        tablet="here",
        max_concurrent=max_concurrent,
        stale_seconds=600,
        max_concurrent_online_ddl=max_concurrent + more,
    )
    actions = decide(snapshot, limits)
    by_uuid = {row.migration_uuid: row for row in rows}
    started = [by_uuid[action.migration_uuid] for action in actions if isinstance(action, Start)]
    at_work = {row.migration_uuid for row in rows if row.status is Status.RUNNING}
    at_work |= snapshot.busy_here
    assert len(started) <= max(0, max_concurrent + more - len(at_work))
    alone = [row for row in started if not row.allow_concurrent]
    assert len(alone) <= max_concurrent
    for row in started:
        assert not row.postpone_launch
        assert not (row.postpone_completion and row.is_immediate_operation)
        assert row.status in (Status.QUEUED, Status.READY)
        assert not row.run_nonce
        assert row.migration_uuid not in snapshot.busy_here | resting
    held = [row for row in rows if row.run_nonce or row.migration_uuid in at_work]
    tables = [row.table[1].casefold() for row in started]
    assert len(tables) == len(set(tables))
    pending_held = {row.table[1].casefold() for row in held if row.status in PENDING}
    assert not set(tables) & pending_held
    done = [action for action in actions if not isinstance(action, CountOlder | MarkReady | Steer)]
    assert len({action.migration_uuid for action in done}) == len(done)


@given(rows=ROWS, slots=st.integers(1, 4))
def test_what_completes_in_order_never_takes_the_last_slot_of_an_older_one(
    rows: list[Candidate], slots: int
) -> None:
    ordered = tuple(
        replace(row, status=Status.QUEUED, run_nonce="", is_immediate_operation=False)
        for row in sorted(rows, key=lambda row: row.id)
    )
    limits = Limits(
        tablet="here", max_concurrent=slots, stale_seconds=600, max_concurrent_online_ddl=slots
    )
    actions = decide(Snapshot(pending=ordered), limits)
    started = {action.migration_uuid for action in actions if isinstance(action, Start)}
    for row in ordered:
        if row.in_order_completion and row.migration_uuid in started:
            older = [other for other in ordered if other.id < row.id]
            assert len(older) < slots
            left = [other for other in older if other.migration_uuid not in started]
            assert all(other.table_key != row.table_key for other in left)
