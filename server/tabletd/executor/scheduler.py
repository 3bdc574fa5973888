"""What is to be done next, decided from the facts alone.

`decide` is pure: the loop in `executor` reads a `Snapshot`, and performs the actions, each of which
is a compare-and-set of its own, so that an action decided on facts that are no longer true changes
nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from tabletd.executor.controls import Wanted
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
        migration_context: what it is grouped by.
        postpone_launch: it is not to begin yet.
        postpone_completion: it is not to complete yet.
        allow_concurrent: it may run beside others.
        in_order_completion: it completes behind all that are older.
        singleton_context: its submitter wanted no pending one of another context beside it.
        is_immediate_operation: it has no copy to make, and completes as soon as it begins.
        is_revert: it undoes another one.
        ready_to_complete: nothing but its last step is left to do.
        was_ready: that has been so before, in this attempt.
        force_cutover: it is to cut over whoever stands in its way.
        cutover_threshold_seconds: how long its cut-over may lock; 0: as the engine is set.
        pending_count: how many older ones it waits for, as the row says.
        strategy: the name of its strategy.
        postponed_by_flag: its completion was postponed when it was submitted.
        stage: what it does or waits for, as the row says.
        message: likewise.
    """

    id: int
    migration_uuid: str
    status: Status
    table: tuple[str, str] = ("", "")
    run_nonce: str = ""
    tablet: str = ""
    quiet_seconds: int = 0
    migration_context: str = ""
    postpone_launch: bool = False
    postpone_completion: bool = False
    allow_concurrent: bool = False
    in_order_completion: bool = False
    singleton_context: bool = False
    is_immediate_operation: bool = False
    is_revert: bool = False
    ready_to_complete: bool = False
    was_ready: bool = False
    force_cutover: bool = False
    cutover_threshold_seconds: int = 0
    pending_count: int = 0
    strategy: str = ""
    postponed_by_flag: bool = False
    stage: str = ""
    message: str = ""

    @property
    def is_waiting(self) -> bool:
        """Whether it is in the queue and not begun."""
        return self.status in (Status.QUEUED, Status.READY)

    @property
    def table_key(self) -> tuple[str, str]:
        """Names that only differ in case may mean one table (lower_case_table_names)."""
        return self.table[0].casefold(), self.table[1].casefold()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The facts of one moment.

    Attributes:
        pending: queued, ready and running rows, by id.
        unsettled: rows of any state whose run is not cleaned up, by id.
        tablet_failures: failed rows that are retried once by themselves, by id.
        broken: failed and cancelled rows of the contexts of those that complete in order, by id.
        running_here: UUIDs whose engine runs in this process.
        busy_here: UUIDs that anything is being done for in this process (running_here among them).
        resting: UUIDs whose last attempt failed so lately that the next one has to wait.
        attempted: UUIDs whose left run was tried to be recovered in this process.
        recovered: whether each run that was found at the start was looked at once.
    """

    pending: tuple[Candidate, ...] = ()
    unsettled: tuple[Candidate, ...] = ()
    tablet_failures: tuple[Candidate, ...] = ()
    broken: tuple[Candidate, ...] = ()
    running_here: frozenset[str] = frozenset()
    busy_here: frozenset[str] = frozenset()
    resting: frozenset[str] = frozenset()
    attempted: frozenset[str] = frozenset()
    recovered: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for all migrations of a tablet.

    Attributes:
        tablet: alias of this tablet.
        max_concurrent: migrations without `allow_concurrent` that run at one time, and migrations
            that copy rows at one time.
        max_concurrent_online_ddl: migrations that run at one time, all in all; never fewer than
            `max_concurrent`.
        stale_seconds: a run without a sign of life for longer, which cannot be recovered, has
            failed.
    """

    tablet: str
    max_concurrent: int
    stale_seconds: float
    max_concurrent_online_ddl: int = 0


@dataclass(frozen=True, slots=True)
class Start:
    """Claim a migration (by way of `ready`) and let its engine run it.

    Attributes:
        waits_for: the older ones that it does not complete before, in words; empty: none.
    """

    migration_uuid: str
    status: Status
    waits_for: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the tool of a row that was moved on meanwhile."""

    migration_uuid: str


@dataclass(frozen=True, slots=True)
class Recover:
    """Take over or settle a run that nobody looks after.

    Attributes:
        wanted: of the run, should it go on.
    """

    migration_uuid: str
    wanted: Wanted = field(default_factory=Wanted)


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


@dataclass(frozen=True, slots=True)
class FailInOrder:
    """Fail a migration that was to complete behind one which will not."""

    migration_uuid: str
    broken_uuid: str
    broken_status: Status


@dataclass(frozen=True, slots=True)
class MarkReady:
    """Show that an immediate operation waits for nothing but its completion being postponed."""

    migration_uuid: str


@dataclass(frozen=True, slots=True)
class CountOlder:
    """Show how many older ones a migration waits for."""

    migration_uuid: str
    pending_count: int


@dataclass(frozen=True, slots=True)
class Steer:
    """Tell a run what is wanted of it now."""

    migration_uuid: str
    wanted: Wanted


Action = (
    Start
    | Stop
    | Recover
    | Requeue
    | FailTablet
    | FailStale
    | RetryTabletFailure
    | FailInOrder
    | MarkReady
    | CountOlder
    | Steer
)


def decide(snapshot: Snapshot, limits: Limits) -> list[Action]:
    """Return what to do now, in order.

    Ends come before starts. A migration starts when a slot is free, no other one holds its table,
    and nothing of its own earlier run is left; one that has to wait does not block those behind it.
    """
    actions: list[Action] = [*_stops(snapshot), *_settlements(snapshot, limits)]
    actions += [RetryTabletFailure(row.migration_uuid) for row in snapshot.tablet_failures]
    out_of_order = list(_failures_in_order(snapshot))
    actions += out_of_order
    failed = frozenset(action.migration_uuid for action in out_of_order)
    actions += _signs(snapshot, failed)
    # What is retried keeps its place: nothing starts before it is back in the queue.
    if snapshot.recovered and not snapshot.tablet_failures:
        actions += _starts(snapshot, limits, failed)
    return actions


def _stops(snapshot: Snapshot) -> Iterator[Action]:
    running = {row.migration_uuid for row in snapshot.pending if row.status is Status.RUNNING}
    for migration_uuid in sorted(snapshot.running_here - running):
        yield Stop(migration_uuid)


def _settlements(snapshot: Snapshot, limits: Limits) -> Iterator[Action]:
    for row in snapshot.unsettled:
        if row.migration_uuid in snapshot.busy_here:
            continue
        # A tool that an earlier daemon left may have waited for this one for days.
        is_stale = row.status is Status.RUNNING and row.quiet_seconds > limits.stale_seconds
        if is_stale and row.migration_uuid in snapshot.attempted:
            is_others = row.tablet != limits.tablet
            yield FailStale(row.migration_uuid, row.quiet_seconds, is_others)
        elif row.migration_uuid not in snapshot.resting:
            yield Recover(row.migration_uuid, _wanted(row, snapshot.pending))
    for row in snapshot.pending:
        if row.status is not Status.RUNNING or row.run_nonce:
            continue
        if row.migration_uuid in snapshot.busy_here | snapshot.resting:
            continue
        if row.tablet == limits.tablet:
            yield Requeue(row.migration_uuid)
        else:
            yield FailTablet(row.migration_uuid, row.tablet)


def _failures_in_order(snapshot: Snapshot) -> Iterator[FailInOrder]:
    """Find those that were to complete behind one of their context which will not.

    One that is retried by itself may still complete.
    """
    retried = {row.migration_uuid for row in snapshot.tablet_failures}
    for row in snapshot.pending:
        if not row.in_order_completion or not row.migration_context:
            continue
        for broken in snapshot.broken:
            is_older = broken.id < row.id and broken.migration_context == row.migration_context
            if is_older and broken.migration_uuid not in retried:
                yield FailInOrder(row.migration_uuid, broken.migration_uuid, broken.status)
                break


def _signs(snapshot: Snapshot, failed: Collection[str]) -> Iterator[Action]:
    """Say to runs what is wanted of them, and to readers of the rows what is waited for."""
    for row in snapshot.pending:
        if row.migration_uuid in failed:
            continue
        if row.status is Status.RUNNING and row.migration_uuid in snapshot.running_here:
            yield Steer(row.migration_uuid, _wanted(row, snapshot.pending))
        older = len(_older(row, snapshot.pending)) if row.in_order_completion else 0
        if older != row.pending_count:
            yield CountOlder(row.migration_uuid, older)
        if row.is_waiting and _is_held_back(row) and not row.ready_to_complete:
            yield MarkReady(row.migration_uuid)


def _wanted(row: Candidate, pending: Sequence[Candidate]) -> Wanted:
    return Wanted(
        postpone_completion=row.postpone_completion,
        completion_waits_for=_waits_for(row, pending),
        force_cutover=row.force_cutover,
        cutover_threshold_seconds=row.cutover_threshold_seconds,
    )


def _waits_for(row: Candidate, pending: Sequence[Candidate]) -> str:
    """Name the older ones that a migration does not complete before."""
    older = _older(row, pending) if row.in_order_completion else []
    if not older:
        return ""
    more = f" and {len(older) - 1} more" if len(older) > 1 else ""
    return f"the earlier migration {older[0].migration_uuid}{more}"


def _is_held_back(row: Candidate) -> bool:
    """Tell whether an immediate operation, which cannot wait at its end, waits at its beginning."""
    return row.is_immediate_operation and row.postpone_completion and not row.postpone_launch


def _older(row: Candidate, pending: Sequence[Candidate]) -> list[Candidate]:
    return [other for other in pending if other.id < row.id]


@dataclass(slots=True)
class _Room:
    """What is left for migrations to start.

    Attributes:
        slots: for any.
        exclusive: for those without `allow_concurrent`.
        copying: for those that copy rows.
        tables: names that are taken.
    """

    slots: int
    exclusive: int
    copying: int
    tables: set[tuple[str, str]]

    def fits(self, row: Candidate) -> bool:
        """Tell whether a migration may run beside those that do."""
        return (
            self.slots > 0
            and (row.allow_concurrent or self.exclusive > 0)
            and (row.is_immediate_operation or self.copying > 0)
            and row.table_key not in self.tables
        )

    def keeps_room_behind(self, row: Candidate, older: Sequence[Candidate]) -> bool:
        """Tell whether all older ones, which a migration waits for, can still start beside it."""
        exclusive = sum(not other.allow_concurrent for other in older)
        return (
            self.slots > len(older)
            and (row.allow_concurrent or self.exclusive > exclusive)
            and all(other.table_key != row.table_key for other in older)
        )

    def take(self, row: Candidate) -> None:
        """Count a migration as running."""
        self.slots -= 1
        self.exclusive -= not row.allow_concurrent
        self.copying -= not row.is_immediate_operation and not row.was_ready
        self.tables.add(row.table_key)


def _room(snapshot: Snapshot, limits: Limits) -> _Room:
    """Return what those leave that run, are cleaned up or have to be.

    A run that is cleaned up counts as any other; of one whose row has gone on, nothing is known.
    """
    total = max(limits.max_concurrent, limits.max_concurrent_online_ddl)
    room = _Room(total, limits.max_concurrent, limits.max_concurrent, set())
    unknown = set(snapshot.busy_here)
    for row in snapshot.pending:
        if row.status is Status.RUNNING:
            room.take(row)
            unknown.discard(row.migration_uuid)
        elif row.migration_uuid in snapshot.busy_here:
            room.tables.add(row.table_key)
    room.tables |= {row.table_key for row in snapshot.unsettled}
    room.slots -= len(unknown)
    room.exclusive -= len(unknown)
    room.copying -= len(unknown)
    return room


def _starts(snapshot: Snapshot, limits: Limits, failed: Collection[str]) -> Iterator[Start]:
    room = _room(snapshot, limits)
    unsettled = {row.migration_uuid for row in snapshot.unsettled}
    held_up = snapshot.busy_here | snapshot.resting | unsettled | set(failed)
    started: set[str] = set()
    for row in snapshot.pending:
        if room.slots <= 0:
            return
        if not row.is_waiting or row.migration_uuid in held_up:
            continue
        if row.postpone_launch or _is_held_back(row) or not room.fits(row):
            continue
        if row.in_order_completion and not _is_in_order(row, snapshot.pending, started, room):
            continue
        yield Start(row.migration_uuid, row.status, _waits_for(row, snapshot.pending))
        started.add(row.migration_uuid)
        room.take(row)


def _is_in_order(
    row: Candidate, pending: Sequence[Candidate], started: Collection[str], room: _Room
) -> bool:
    """Tell whether a migration may start now that completes behind all older ones."""
    older = _older(row, pending)
    if row.is_immediate_operation:
        return not older
    not_begun = [
        other for other in older if other.is_waiting and other.migration_uuid not in started
    ]
    return room.keeps_room_behind(row, not_begun)
