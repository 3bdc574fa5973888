"""What is to be done next, decided from the facts alone.

`decide` is pure: the loop in `executor` reads a `Snapshot`, and performs the actions, each of which
is a compare-and-set of its own, so that an action decided on facts that are no longer true changes
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tabletd.executor.states import Status


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row that may need something done.

    Attributes:
        id: the order of submission.
        migration_uuid: its name.
        status: its state.
        table: schema and table that it changes.
        run_nonce: not empty while a run of it is not cleaned up.
        tablet: the tablet that it was last claimed or retried by.
        quiet_seconds: how long ago it gave its last sign of life, by the server's clock.
    """

    id: int
    migration_uuid: str
    status: Status
    table: tuple[str, str] = ("", "")
    run_nonce: str = ""
    tablet: str = ""
    quiet_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The facts of one moment.

    Attributes:
        pending: queued, ready and running rows, by id.
        unsettled: rows of any state whose run is not cleaned up, by id.
        tablet_failures: failed rows that are retried once by themselves, by id.
        running_here: UUIDs whose engine runs in this process.
        busy_here: UUIDs that anything is being done for in this process (running_here among them).
        resting: UUIDs whose last attempt failed so lately that the next one has to wait.
        recovered: whether each run that was found at the start was looked at once.
    """

    pending: tuple[Candidate, ...] = ()
    unsettled: tuple[Candidate, ...] = ()
    tablet_failures: tuple[Candidate, ...] = ()
    running_here: frozenset[str] = frozenset()
    busy_here: frozenset[str] = frozenset()
    resting: frozenset[str] = frozenset()
    recovered: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for all migrations of a tablet.

    Attributes:
        tablet: alias of this tablet.
        max_concurrent: migrations that run at one time.
        stale_seconds: a run without a sign of life for longer, which cannot be recovered, has
            failed.
    """

    tablet: str
    max_concurrent: int
    stale_seconds: float


@dataclass(frozen=True, slots=True)
class Start:
    """Claim a migration (by way of `ready`) and let its engine run it."""

    migration_uuid: str
    status: Status


@dataclass(frozen=True, slots=True)
class Stop:
    """End the tool of a row that was moved on meanwhile."""

    migration_uuid: str


@dataclass(frozen=True, slots=True)
class Recover:
    """Settle a run that nobody looks after."""

    migration_uuid: str


@dataclass(frozen=True, slots=True)
class Requeue:
    """Give back a claim that was never used: the daemon ended before anything existed."""

    migration_uuid: str


@dataclass(frozen=True, slots=True)
class FailTablet:
    """Fail a migration that another tablet had claimed; it is retried once by itself."""

    migration_uuid: str
    tablet: str


@dataclass(frozen=True, slots=True)
class FailStale:
    """Fail a running migration that gives no sign of life and cannot be recovered."""

    migration_uuid: str
    quiet_seconds: int
    tablet_failure: bool


@dataclass(frozen=True, slots=True)
class RetryTabletFailure:
    """Queue a migration again whose tablet failed."""

    migration_uuid: str


Action = Start | Stop | Recover | Requeue | FailTablet | FailStale | RetryTabletFailure


def decide(snapshot: Snapshot, limits: Limits) -> list[Action]:
    """Return what to do now, in order.

    Ends come before starts. A migration starts when a slot is free, no other one holds its table,
    and nothing of its own earlier run is left; one that has to wait does not block those behind it.
    """
    actions: list[Action] = [*_stops(snapshot), *_settlements(snapshot, limits)]
    actions += [RetryTabletFailure(row.migration_uuid) for row in snapshot.tablet_failures]
    # What is retried keeps its place: nothing starts before it is back in the queue.
    if snapshot.recovered and not snapshot.tablet_failures:
        actions += _starts(snapshot, limits)
    return actions


def _stops(snapshot: Snapshot) -> Iterator[Action]:
    running = {row.migration_uuid for row in snapshot.pending if row.status is Status.RUNNING}
    for migration_uuid in sorted(snapshot.running_here - running):
        yield Stop(migration_uuid)


def _settlements(snapshot: Snapshot, limits: Limits) -> Iterator[Action]:
    for row in snapshot.unsettled:
        if row.migration_uuid in snapshot.busy_here:
            continue
        if row.status is Status.RUNNING and row.quiet_seconds > limits.stale_seconds:
            is_others = row.tablet != limits.tablet
            yield FailStale(row.migration_uuid, row.quiet_seconds, is_others)
        elif row.migration_uuid not in snapshot.resting:
            yield Recover(row.migration_uuid)
    for row in snapshot.pending:
        if row.status is not Status.RUNNING or row.run_nonce:
            continue
        if row.migration_uuid in snapshot.busy_here | snapshot.resting:
            continue
        if row.tablet == limits.tablet:
            yield Requeue(row.migration_uuid)
        else:
            yield FailTablet(row.migration_uuid, row.tablet)


def _starts(snapshot: Snapshot, limits: Limits) -> Iterator[Action]:
    running = {row.migration_uuid for row in snapshot.pending if row.status is Status.RUNNING}
    held = [row for row in snapshot.unsettled if row.migration_uuid not in running]
    held += [row for row in snapshot.pending if row.migration_uuid in running]
    tables = {_table_key(row) for row in held}
    tables |= {
        _table_key(row) for row in snapshot.pending if row.migration_uuid in snapshot.busy_here
    }
    slots = limits.max_concurrent - len(running | snapshot.busy_here)
    unsettled = {row.migration_uuid for row in snapshot.unsettled}
    waiting = (row for row in snapshot.pending if row.status in (Status.QUEUED, Status.READY))
    for row in waiting:
        if slots <= 0:
            return
        if row.migration_uuid in snapshot.busy_here | snapshot.resting | unsettled:
            continue
        if _table_key(row) in tables:
            continue
        yield Start(row.migration_uuid, row.status)
        tables.add(_table_key(row))
        slots -= 1


def _table_key(row: Candidate) -> tuple[str, str]:
    """Names that only differ in case may mean one table (lower_case_table_names)."""
    return row.table[0].casefold(), row.table[1].casefold()
