"""The loop that works off the queue: reads what is there, decides, performs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tabletd.errors import (
    ExecutorMigrationAlreadyRunning,
    ExecutorNotWritableTablet,
    LeaseNotHeld,
    MySQLUnavailable,
    NotWritable,
    Reason,
    TabletdError,
)
from tabletd.executor.controls import Wanted
from tabletd.executor.migration import Migration, Strategy
from tabletd.executor.queue_vars import QueueVars
from tabletd.executor.row_controls import RowControls
from tabletd.executor.rows import new_candidate
from tabletd.executor.runs import Runs, StopReason
from tabletd.executor.scheduler import (
    Action,
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
from tabletd.executor.settings import ExecutorSettings
from tabletd.executor.singleton import check_singleton
from tabletd.executor.states import Command, Status
from tabletd.executor.store import MOVED_ON, NOT_AS_DECLARED, Store
from tabletd.executor.submit import Submission
from tabletd.executor.waiting import news, waits
from tabletd.lease import Fence
from tabletd.loops import every
from tabletd.mysql.errors import MySQLError
from tabletd.mysql.pool import Pool
from tabletd.mysql.sidecar import ensure_sidecar

SCHEMA_TIMEOUT_SECONDS: Final = 60.0
# A row that somebody else wrote, or an engine that this tablet does not have.
_NOT_TO_BE_RUN: Final = frozenset(
    {Reason.INVALID_REQUEST, Reason.MIGRATION_REJECTED, Reason.TOOL_MISSING}
)

# What changes nothing that a migration waits for.
_QUIET: Final = (CountOlder, MarkReady, Steer)

_logger = logging.getLogger(__name__)


class Worker:
    """Works off the queue while it is open and its tablet is the primary.

    Args:
        store: the migrations.
        runs: the engines at work.
        pool: for making `_vt` what it should be.
        tablet: this tablet's alias.
        settings: see `ExecutorSettings`.
        shown: gets what each look at the queue finds.
        fence: tells whether this daemon may act for its server; None: there is no other daemon.
    """

    def __init__(
        self,
        *,
        store: Store,
        runs: Runs,
        pool: Pool,
        tablet: str,
        settings: ExecutorSettings,
        shown: QueueVars,
        fence: Fence | None = None,
    ) -> None:
        self._store = store
        self._shown = shown
        store.on_misfit = self.doubt_schema
        self._runs = runs
        self._rows = RowControls(store)
        self._pool = pool
        self._settings = settings
        self._fence = fence
        self._limits = Limits(
            tablet=tablet,
            max_concurrent=settings.max_concurrent,
            max_concurrent_online_ddl=settings.max_concurrent_online_ddl,
            stale_seconds=settings.stale_seconds,
        )
        self._wake = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._claiming = asyncio.Lock()
        self._schema_lock = asyncio.Lock()
        self._recovered = False
        self._is_finishing = False
        self.schema_is_ready = False
        self.is_open = False
        self.is_primary = False

    @property
    def is_working(self) -> bool:
        """Whether migrations are started."""
        may_act = self._fence is None or self._fence.is_held
        return self.is_open and self.is_primary and may_act

    def wake(self) -> None:
        """Look at the queue at once."""
        self._wake.set()

    def open(self) -> None:
        """Take migrations from now on."""
        self.is_open = True
        self.wake()

    async def finish(self) -> None:
        """Start nothing any more, and wait until everything that runs has ended."""
        async with self._claiming:
            self._is_finishing = True
        await self._runs.finish()

    async def close(self, *, detach: bool) -> None:
        """Take no more, and end what runs or leave its tools at work, within the grace time."""
        self.is_open = False
        if detach:
            self._runs.let_go_all()
        else:
            self._runs.stop_all(StopReason.SHUTDOWN)
        await self._runs.drain(self._settings.close_grace_seconds)

    def make_primary(self) -> None:
        """Begin to work; runs left by others are settled before anything starts."""
        if not self.is_primary:
            self.is_primary = True
            self.begin_anew()

    def begin_anew(self) -> None:
        """Settle first what others have left: this daemon acts from now on, or again."""
        self._recovered = self.schema_is_ready = False
        self._runs.forget_attempts()
        self.wake()

    def let_go(self) -> None:
        """Leave everything as it is: another daemon may act from now on."""
        self._recovered = False
        self._runs.let_go_all()

    def make_non_primary(self) -> None:
        """Stop working: tools are ended, the next primary settles what they leave."""
        self.is_primary = False
        self._runs.stop_all(StopReason.ROLE)

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Work until cancelled; engines run in tasks of the group."""
        self._group = group
        try:
            await every(
                self._settings.check_interval_seconds,
                self._tick,
                name="executor: scheduler",
                logger=_logger,
                wake=self._wake,
                tolerate=(TabletdError,),
            )
        finally:
            self._group = None

    async def execute(self, migration_uuid: str, strategy: Strategy) -> None:
        """Start one pending migration now.

        Raises:
            ExecutorNotWritableTablet: this tablet does not take writes.
            ExecutorMigrationAlreadyRunning: no slot is free, or one runs on the table.
        """
        if not self.is_working:
            raise ExecutorNotWritableTablet()
        async with self._claiming:
            row = await self._store.read(migration_uuid)
            is_full = len(self._runs.busy) >= self._settings.max_concurrent
            if is_full or row.table_key in self._runs.tables or row.run_nonce:
                raise ExecutorMigrationAlreadyRunning()
            await self._start(migration_uuid, row.status, strategy)

    async def foresee(self, submission: Submission) -> str:
        """Return what a migration would wait for if it were submitted now; empty: nothing.

        Raises:
            TabletdError: MIGRATION_REJECTED by its singleton flags.
        """
        await self.ensure_schema()
        async with self._claiming:
            snapshot = await self._snapshot()
        check_singleton(submission, snapshot.pending)
        row = new_candidate(submission, tablet=self._limits.tablet, pending=snapshot.pending)
        snapshot = replace(snapshot, pending=(*snapshot.pending, row))
        actions = decide(snapshot, self._limits)
        starting = {one.migration_uuid for one in actions if isinstance(one, Start)}
        wait = waits(snapshot, self._limits, starting).get(row.migration_uuid)
        return wait.message if wait is not None else ""

    async def check_writable(self) -> None:
        """Refuse what changes the queue where that is not for this daemon to do.

        Raises:
            TabletdError: SHUTTING_DOWN; NOT_PRIMARY; LEASE_HELD; READ_ONLY.
        """
        if not self.is_open:
            raise TabletdError(Reason.SHUTTING_DOWN, "the executor is closed")
        if not self.is_primary:
            raise ExecutorNotWritableTablet()
        if self._fence is not None:
            self._fence.check()
        await self.ensure_schema()

    async def ensure_schema(self) -> None:
        """Make `_vt` what it should be: as a new primary, and when it was found to be otherwise."""
        async with self._schema_lock:
            if not self.schema_is_ready:
                async with self._pool.session(timeout_seconds=SCHEMA_TIMEOUT_SECONDS) as session:
                    await ensure_sidecar(session)
                self.schema_is_ready = True

    def doubt_schema(self) -> None:
        """Let the next look at the queue make `_vt` what it should be: somebody has altered it."""
        self.schema_is_ready = False
        self.wake()

    async def _tick(self) -> None:
        if not self.is_working:
            self._shown.show(())
            return
        await self.ensure_schema()
        async with self._claiming:
            try:
                snapshot = await self._snapshot()
            except MySQLError as error:
                if error.errno in NOT_AS_DECLARED:
                    self.doubt_schema()
                raise
            self._shown.show(snapshot.pending)
            actions = decide(snapshot, self._limits)
            for action in actions:
                if self._is_finishing and isinstance(action, Start):
                    continue
                if self.is_working:
                    await self._perform(action)
            if self.is_working:
                await self._say_who_waits(snapshot, actions)

    async def _snapshot(self) -> Snapshot:
        # What ends while the rows are read counts as busy: they may show it as it was before.
        running, busy_before = self._runs.running, self._runs.busy
        pending, unsettled, failures = await self._store.candidates()
        ordered = {row.migration_context for row in pending if row.in_order_completion} - {""}
        broken = await self._store.broken(sorted(ordered))
        busy, attempted = busy_before | self._runs.busy, self._runs.attempted
        self._recovered = self._recovered or all(
            row.migration_uuid in running | (attempted - busy) for row in unsettled
        )
        return Snapshot(
            pending=pending,
            unsettled=unsettled,
            tablet_failures=failures,
            broken=broken,
            running_here=running,
            busy_here=busy,
            attempted=attempted,
            resting=self._runs.resting,
            recovered=self._recovered,
        )

    async def _say_who_waits(self, snapshot: Snapshot, actions: Sequence[Action]) -> None:
        """Write into rows what they wait for, where it is not there yet."""
        touched = {one.migration_uuid for one in actions if not isinstance(one, _QUIET)}
        starting = {one.migration_uuid for one in actions if isinstance(one, Start)}
        found = waits(snapshot, self._limits, starting)
        still = {uuid: wait for uuid, wait in found.items() if uuid not in touched}
        for wait, uuids in news(snapshot, still).items():
            await self._rows.say(wait, uuids)

    async def _perform(self, action: Action) -> None:
        """Do one thing; what cannot be done does not keep the others from being done."""
        try:
            await self._do(action)
        except (LeaseNotHeld, MySQLUnavailable, NotWritable):
            raise
        except TabletdError as error:
            # Somebody else was faster: nothing to worry about.
            level = logging.INFO if error.reason in MOVED_ON else logging.WARNING
            _logger.log(level, "%s %s: %s", type(action).__name__, action.migration_uuid, error)

    async def _do(self, action: Action) -> None:
        uuid = action.migration_uuid
        match action:
            case Start(status=status, waits_for=waits_for):
                await self._start(uuid, status, waits_for=waits_for)
            case Stop():
                self._runs.stop(uuid, StopReason.CANCEL)
            case Recover(wanted=wanted):
                migration = await self._store.read(uuid)
                if self._group is not None and migration.run_nonce:
                    self._runs.recover(self._group, migration, wanted)
            case Requeue():
                message = "the daemon ended before the run began; it starts again"
                await self._store.transition(uuid, Command.REQUEUE, message=message, run_nonce="")
                self.wake()
            case FailTablet(tablet=tablet):
                await self._store.transition(
                    uuid,
                    Command.FAIL,
                    message=f"the tablet {tablet} ended before the run began",
                    run_nonce="",
                    tablet_failure=True,
                )
                self.wake()
            case FailStale(quiet_seconds=quiet_seconds, tablet_failure=tablet_failure):
                message = (
                    f"no sign of life for {quiet_seconds // 60} minutes, and no way to recover"
                )
                await self._store.transition(
                    uuid, Command.FAIL, message=message, tablet_failure=tablet_failure
                )
            case RetryTabletFailure():
                await self._store.transition(uuid, Command.RETRY)
                self.wake()
            case FailInOrder(broken_uuid=broken_uuid, broken_status=broken_status):
                message = (
                    f"the earlier migration {broken_uuid} of the same context is {broken_status}: "
                    "with --in-order-completion this one does not complete"
                )
                await self._store.transition(uuid, Command.FAIL, message=message)
                self._runs.stop(uuid, StopReason.CANCEL)
            case MarkReady():
                await self._rows.mark_ready(uuid)
            case CountOlder(pending_count=pending_count):
                await self._rows.count_older(uuid, pending_count)
            case Steer(wanted=wanted):
                self._runs.steer(uuid, wanted)

    async def _start(
        self,
        migration_uuid: str,
        status: Status,
        strategy: Strategy | None = None,
        *,
        waits_for: str = "",
    ) -> None:
        """Claim a migration and hand it to its engine, or fail one that has none."""
        if self._is_finishing:
            raise TabletdError(Reason.SHUTTING_DOWN, "the daemon ends when what runs has ended")
        if self._group is None:
            raise TabletdError(Reason.NOT_SERVING, "the executor does not run yet")
        if status is Status.QUEUED:
            await self._store.transition(migration_uuid, Command.SCHEDULE, run_nonce="")
        try:
            migration = await self._store.read(migration_uuid)
            strategy = strategy or migration.engine_strategy
            self._runs.engine_for(strategy)
        except TabletdError as error:
            if error.reason not in _NOT_TO_BE_RUN:
                raise
            await self._store.transition(migration_uuid, Command.FAIL, message=str(error))
            return
        duplicate = await self._store.duplicate_of(migration)
        if duplicate is not None:
            await self._complete_duplicate(migration, duplicate)
            return
        await self._store.transition(
            migration_uuid,
            Command.CLAIM,
            message="",
            stage=f"{strategy}: starting",
            run_nonce="",
        )
        claimed = replace(migration, status=Status.RUNNING, tablet=self._limits.tablet, message="")
        wanted = Wanted(
            postpone_completion=migration.postpone_completion,
            completion_waits_for=waits_for,
            force_cutover=migration.force_cutover,
            cutover_threshold_seconds=migration.cutover_threshold_seconds,
        )
        self._runs.start(self._group, claimed, strategy, wanted)
        if not self.is_open:
            self._runs.stop(migration_uuid, StopReason.SHUTDOWN)
        elif not self.is_primary:
            self._runs.stop(migration_uuid, StopReason.ROLE)

    async def _complete_duplicate(self, migration: Migration, duplicate_uuid: str) -> None:
        """Complete a migration whose change another one has made already. Text: Vitess."""
        uuid = migration.migration_uuid
        await self._store.transition(uuid, Command.CLAIM, run_nonce="")
        message = f"duplicate DDL as {duplicate_uuid} for migration context "
        await self._store.transition(
            uuid,
            Command.COMPLETE,
            message=message + migration.migration_context,
            stage=f"{migration.engine_strategy}: complete, nothing to do",
            run_nonce="",
            running=True,
        )
        self.wake()
