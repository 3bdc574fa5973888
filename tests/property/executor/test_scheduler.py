from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tabletd.executor.scheduler import Candidate, Limits, Snapshot, Start, decide
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
)
ROWS = st.lists(CANDIDATES, max_size=9, unique_by=lambda row: row.migration_uuid)
UUIDS = st.frozensets(st.sampled_from([f"u{n}" for n in range(9)]), max_size=4)


@given(rows=ROWS, running=UUIDS, recovering=UUIDS, resting=UUIDS, max_concurrent=st.integers(1, 3))
def test_what_starts_has_a_slot_a_table_and_no_run_of_its_own(
    rows: list[Candidate],
    running: frozenset[str],
    recovering: frozenset[str],
    resting: frozenset[str],
    max_concurrent: int,
) -> None:
    ordered = tuple(sorted(rows, key=lambda row: row.id))
    snapshot = Snapshot(
        pending=tuple(row for row in ordered if row.status in PENDING),
        unsettled=tuple(row for row in ordered if row.run_nonce),
        running_here=running,
        busy_here=running | recovering,
        resting=resting,
    )
    limits = Limits(tablet="here", max_concurrent=max_concurrent, stale_seconds=600)
    actions = decide(snapshot, limits)
    by_uuid = {row.migration_uuid: row for row in rows}
    started = [by_uuid[action.migration_uuid] for action in actions if isinstance(action, Start)]
    at_work = {row.migration_uuid for row in rows if row.status is Status.RUNNING}
    at_work |= snapshot.busy_here
    assert len(started) <= max(0, max_concurrent - len(at_work))
    for row in started:
        assert row.status in (Status.QUEUED, Status.READY)
        assert not row.run_nonce
        assert row.migration_uuid not in snapshot.busy_here | resting
    held = [row for row in rows if row.run_nonce or row.migration_uuid in at_work]
    tables = [row.table[1].casefold() for row in started]
    assert len(tables) == len(set(tables))
    pending_held = {row.table[1].casefold() for row in held if row.status in PENDING}
    assert not set(tables) & pending_held
    assert len({action.migration_uuid for action in actions}) == len(actions)
