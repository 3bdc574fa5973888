"""Why migrations wait, in plain words: what for, and what would move them.

Pure, from the facts that the scheduler decides on. A text changes only when the reason does, so
that the time of the row's message says since when.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tabletd.executor.scheduler import Candidate, Limits, Snapshot
from tabletd.executor.states import Status

# Begins the message of a run that waits at its end; a message without it is the engine's own.
COMPLETION_WAITS: Final = "Completion waits: "
# Begins the message of a run that the throttler holds back.
THROTTLED: Final = "Throttled: "
# What those wait for that are further behind is not written anew with each one that ends.
NAMED_MAX: Final = 100
_LISTED_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class Wait:
    """What a migration waits for.

    Attributes:
        stage: for the row, the tool's name first; empty: the engine's own stays.
        message: for the row; empty: it does not wait any more.
    """

    stage: str
    message: str


def waits(
    snapshot: Snapshot, limits: Limits, starting: Collection[str] = frozenset()
) -> Mapping[str, Wait]:
    """Return why migrations wait, by UUID.

    Args:
        snapshot: the facts.
        limits: what holds for all.
        starting: those that begin now.
    """
    room = _Taken(snapshot, limits, starting)
    found: dict[str, Wait] = {}
    behind = 0
    for row in snapshot.pending:
        if row.status is Status.RUNNING:
            message = _completion(row, snapshot.pending)
            if message or row.message.startswith(COMPLETION_WAITS):
                found[row.migration_uuid] = Wait("", message)
        elif row.migration_uuid not in starting:
            own = _own_reason(row, snapshot)
            kind, message = own or _reason_of_others(row, snapshot.pending, room)
            if own is None and behind >= NAMED_MAX:
                message = f"More than {NAMED_MAX} migrations wait before it. {_BY_ITSELF}"
            behind += own is None
            found[row.migration_uuid] = Wait(f"{row.strategy or 'direct'}: {kind}", message)
    return found


def news(snapshot: Snapshot, found: Mapping[str, Wait]) -> Mapping[Wait, Sequence[str]]:
    """Return what is not in the rows yet: UUIDs by what is to be written into them."""
    changed: dict[Wait, list[str]] = {}
    for row in snapshot.pending:
        wait = found.get(row.migration_uuid)
        if wait is not None and (wait.stage or row.stage, wait.message) != (row.stage, row.message):
            changed.setdefault(wait, []).append(row.migration_uuid)
    return changed


def throttled(migration_uuid: str, reason: str, *, by_user: bool) -> str:
    """Return the message of a run that is held back at this moment.

    Args:
        migration_uuid: which one.
        reason: the throttler's, or the tool's.
        by_user: whether people hold it back.
    """
    way_out = "It goes on by itself."
    if by_user:
        way_out = f"ALTER VITESS_MIGRATION '{migration_uuid}' UNTHROTTLE lets it go on."
    return f"{THROTTLED}{reason.rstrip('.')}. {way_out}"


_BY_ITSELF: Final = "It starts by itself."
_Reason = tuple[str, str]


class _Taken:
    """What is taken by others: slots, and tables."""

    def __init__(self, snapshot: Snapshot, limits: Limits, starting: Collection[str]) -> None:
        self.max_concurrent = limits.max_concurrent
        self.max_online_ddl = max(limits.max_concurrent, limits.max_concurrent_online_ddl)
        self.running = [
            row
            for row in snapshot.pending
            if row.status is Status.RUNNING or row.migration_uuid in starting
        ]
        self.tables = {row.table_key: row for row in snapshot.unsettled}
        self.tables |= {
            row.table_key: row
            for row in snapshot.pending
            if row.migration_uuid in snapshot.busy_here
        }
        self.tables |= {row.table_key: row for row in self.running}

    @property
    def exclusive(self) -> list[Candidate]:
        return [row for row in self.running if not row.allow_concurrent]

    @property
    def copying(self) -> list[Candidate]:
        return [row for row in self.running if not row.is_immediate_operation and not row.was_ready]


def _own_reason(row: Candidate, snapshot: Snapshot) -> _Reason | None:
    """Return why a migration does not begin, whatever the others do."""
    uuid = row.migration_uuid
    if row.postpone_launch:
        return (
            "waiting to be launched",
            "Its launch is postponed by its flag --postpone-launch. "
            f"ALTER VITESS_MIGRATION '{uuid}' LAUNCH starts it.",
        )
    if row.is_immediate_operation and row.postpone_completion:
        return (
            "waiting to be completed",
            "It takes effect as soon as it begins, and its completion is postponed by "
            f"{_postponed_by(row)}. ALTER VITESS_MIGRATION '{uuid}' COMPLETE lets it begin.",
        )
    if uuid in snapshot.busy_here:
        return (
            "waiting for its clean-up",
            f"What its earlier run left is being cleaned up. {_BY_ITSELF}",
        )
    if uuid in {one.migration_uuid for one in snapshot.unsettled}:
        return (
            "waiting for its clean-up",
            "What its earlier run left could not be cleaned up yet: the daemon's log says why. "
            "It is tried again every few seconds.",
        )
    if uuid in snapshot.resting:
        return (
            "waiting for the next attempt",
            "The server was lost during its last attempt. The next one begins within seconds.",
        )
    return _recovery(snapshot)


def _recovery(snapshot: Snapshot) -> _Reason | None:
    if not snapshot.recovered:
        left = f": {_names(snapshot.unsettled)}" if snapshot.unsettled else ""
        return (
            "waiting for recovery",
            f"Runs that an earlier daemon left are settled first{left}. {_BY_ITSELF}",
        )
    if snapshot.tablet_failures:
        return (
            "waiting for recovery",
            "What failed together with its tablet goes back into the queue first: "
            f"{_names(snapshot.tablet_failures)}. {_BY_ITSELF}",
        )
    return None


def _reason_of_others(row: Candidate, pending: Sequence[Candidate], taken: _Taken) -> _Reason:
    """Return which others a migration waits for."""
    holder = taken.tables.get(row.table_key)
    if holder is not None:
        return "waiting for the table", _table_message(row, holder)
    older = [other for other in pending if other.id < row.id] if row.in_order_completion else []
    if older and row.is_immediate_operation:
        return (
            "waiting for its turn",
            "It takes effect as soon as it begins, and with --in-order-completion that is after "
            f"all earlier ones: {_names(older)}. {_BY_ITSELF}",
        )
    full = _full(row, taken)
    if full:
        return "waiting for a slot", full
    not_begun = [other for other in older if other.is_waiting]
    if not_begun:
        return (
            "waiting for its turn",
            "It completes after all earlier ones (--in-order-completion), and those that have not "
            f"begun need the slots or the table: {_names(not_begun)}. {_BY_ITSELF}",
        )
    return (
        "waiting for a slot",
        f"What a migration that has ended left is being cleaned up. {_BY_ITSELF}",
    )


def _table_message(row: Candidate, holder: Candidate) -> str:
    table = ".".join(row.table)
    uuid = holder.migration_uuid
    if holder.status is Status.RUNNING or holder.is_waiting:
        return (
            f"Migration {uuid} changes the same table, {table}. It starts when that one has ended; "
            f"ALTER VITESS_MIGRATION '{uuid}' CANCEL ends it."
        )
    return (
        f"Migration {uuid}, which is {holder.status}, is still being cleaned up on the same table, "
        f"{table}. {_BY_ITSELF}"
    )


def _full(row: Candidate, taken: _Taken) -> str:
    """Return which slots are all taken; empty: none that the migration needs."""
    if not row.allow_concurrent and len(taken.exclusive) >= taken.max_concurrent:
        who = _verb(taken.exclusive, "runs", "run")
        limit = f"max_concurrent_migrations is {taken.max_concurrent}"
        hint = _ALLOW_CONCURRENT if row.is_immediate_operation else ""
        return f"{who}, and {limit}. {_when_ended(taken.exclusive)}{hint}"
    if len(taken.running) >= taken.max_online_ddl:
        who = _verb(taken.running, "runs", "run")
        limit = f"max_concurrent_online_ddl is {taken.max_online_ddl}"
        return f"{who}, and {limit}. {_when_ended(taken.running)}"
    if not row.is_immediate_operation and len(taken.copying) >= taken.max_concurrent:
        who = _verb(taken.copying, "copies rows", "copy rows")
        return (
            f"{who}, and no more than {taken.max_concurrent} do at one time "
            "(max_concurrent_migrations). It starts when "
            f"{_one_of(taken.copying)} is ready to complete."
        )
    return ""


_ALLOW_CONCURRENT: Final = " Submitted with --allow-concurrent it need not wait."


def _when_ended(rows: Sequence[Candidate]) -> str:
    return f"It starts when {_one_of(rows)} has ended."


def _one_of(rows: Sequence[Candidate]) -> str:
    return "that one" if len(rows) == 1 else "one of them"


def _completion(row: Candidate, pending: Sequence[Candidate]) -> str:
    """Return why a run that is ready does not complete; empty: it is not held."""
    if not row.ready_to_complete:
        return ""
    if row.postpone_completion:
        return (
            f"{COMPLETION_WAITS}it is postponed by {_postponed_by(row)}. "
            f"ALTER VITESS_MIGRATION '{row.migration_uuid}' COMPLETE lets it complete."
        )
    older = [other for other in pending if other.id < row.id] if row.in_order_completion else []
    if older:
        return (
            f"{COMPLETION_WAITS}with --in-order-completion it comes after all earlier ones: "
            f"{_names(older)}. It completes by itself."
        )
    return ""


def _postponed_by(row: Candidate) -> str:
    if row.postponed_by_flag:
        return "its flag --postpone-completion"
    return "ALTER VITESS_MIGRATION ... POSTPONE COMPLETE"


def _names(rows: Sequence[Candidate]) -> str:
    """Return UUIDs with their states, the first few of them."""
    named = ", ".join(f"{row.migration_uuid} ({row.status})" for row in rows[:_LISTED_MAX])
    more = len(rows) - _LISTED_MAX
    return f"{named} and {more} more" if more > 0 else named


def _verb(rows: Sequence[Candidate], one: str, many: str) -> str:
    named = ", ".join(row.migration_uuid for row in rows[:_LISTED_MAX])
    more = len(rows) - _LISTED_MAX
    if len(rows) == 1:
        return f"Migration {named} {one}"
    return f"Migrations {named}{f' and {more} more' if more > 0 else ''} {many}"
