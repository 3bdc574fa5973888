"""Engines at work in this process: started, stopped, and what they made of it written down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final
from uuid import uuid4

from tabletd.clock import Clock
from tabletd.errors import (
    LeaseNotHeld,
    LostRace,
    MySQLUnavailable,
    NotWritable,
    Reason,
    TabletdError,
)
from tabletd.executor.controls import LiveControls, Wanted
from tabletd.executor.engines.base import Adopted, Detached, Engine, Outcome, RunControls
from tabletd.executor.migration import Migration, Strategy
from tabletd.executor.run_record import StoredRun
from tabletd.executor.states import Command, Status
from tabletd.executor.store import MOVED_ON, Store
from tabletd.executor.throttling import Throttling
from tabletd.mysql.errors import MySQLError
from tabletd.telemetry.tracing import span
from tabletd.telemetry.vars import Registry

REST_SECONDS: Final = 5.0
CANCEL_SECONDS_MAX: Final = 5.0
SETTLE_PAUSE_SECONDS_MAX: Final = 5.0
FINISH_LOG_SECONDS: Final = 10.0

_logger = logging.getLogger(__name__)


class StopReason(Enum):
    """Why a run was asked to end."""

    CANCEL = auto()
    ROLE = auto()
    SHUTDOWN = auto()


@dataclass(slots=True)
class _Run:
    """What this process does for one migration."""

    migration: Migration
    is_recovery: bool
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    controls: LiveControls = field(default_factory=LiveControls)
    record: StoredRun | None = None
    reason: StopReason | None = None
    task: asyncio.Task[None] | None = None

    @property
    def has_begun(self) -> bool:
        """Whether anything of it may exist."""
        return self.record is not None and bool(self.record.engine)

    @property
    def outlives_daemon(self) -> bool:
        """Whether its tool goes on without this process; a statement of the server's does not."""
        return self.record is None or self.record.engine != Strategy.DIRECT

    def __str__(self) -> str:
        told = self.record.told if self.record is not None else None
        doing = f"{told.stage}, {told.percent:.1f} %" if told is not None else "no progress yet"
        return f"migration {self.migration.migration_uuid}: {doing}"


@dataclass(frozen=True, slots=True)
class _Verdict:
    """How an outcome is written; without a command the row keeps the state it was moved to."""

    command: Command | None
    message: str
    old_table: str = ""
    tablet_failure: bool = False


class Runs:
    """The engines at work, at most one for each migration.

    Args:
        store: the migrations.
        engines: by strategy.
        tablet: this tablet's alias.
        registry: where StartedMigrations, AdoptedMigrations, SuccessfulMigrations and
            FailedMigrations are counted.
        clock: for how long a migration rests after a failure of the server.
        on_change: called when something ended, or may be tried again.
        throttling: tells what holds migrations back; None: nothing but what the tools say.
    """

    def __init__(
        self,
        *,
        store: Store,
        engines: Mapping[Strategy, Engine],
        tablet: str,
        registry: Registry,
        clock: Clock,
        on_change: Callable[[], None],
        throttling: Throttling | None = None,
    ) -> None:
        self._store = store
        self._engines = engines
        self._tablet = tablet
        self._clock = clock
        self._on_change = on_change
        self._throttling = throttling
        self._runs: dict[str, _Run] = {}
        self._resting: dict[str, float] = {}
        self._attempted: set[str] = set()
        self._started = registry.counter("StartedMigrations", "migrations given to an engine")
        self._adopted = registry.counter("AdoptedMigrations", "tools at work that were taken over")
        self._succeeded = registry.counter("SuccessfulMigrations", "migrations that completed")
        self._failed = registry.counter("FailedMigrations", "migrations that failed in an engine")

    @property
    def running(self) -> frozenset[str]:
        """UUIDs whose engine runs here, whoever started it."""
        return frozenset(uuid for uuid, run in self._runs.items() if not run.is_recovery)

    @property
    def busy(self) -> frozenset[str]:
        """UUIDs that anything is being done for here."""
        return frozenset(self._runs)

    @property
    def tables(self) -> frozenset[tuple[str, str]]:
        """Tables of the migrations that are busy."""
        return frozenset(run.migration.table_key for run in self._runs.values())

    @property
    def resting(self) -> frozenset[str]:
        """UUIDs that are not to be tried again yet."""
        now = self._clock.monotonic_seconds()
        self._resting = {uuid: until for uuid, until in self._resting.items() if until > now}
        return frozenset(self._resting)

    @property
    def attempted(self) -> frozenset[str]:
        """UUIDs whose left run was looked at since `forget_attempts`."""
        return frozenset(self._attempted)

    def backlog(self, migration_uuid: str) -> int:
        """Return how many changes of the application a run still has to carry over."""
        run = self._runs.get(migration_uuid)
        told = run.record.told if run is not None and run.record is not None else None
        return told.backlog if told is not None else 0

    def forget_attempts(self) -> None:
        """Begin anew with looking at left runs: this tablet has just become the primary."""
        self._attempted.clear()
        self._resting.clear()

    def engine_for(self, strategy: Strategy) -> Engine:
        """Return the engine of a strategy.

        Raises:
            TabletdError: TOOL_MISSING when this tablet has none.
        """
        try:
            return self._engines[strategy]
        except KeyError:
            raise TabletdError(
                Reason.TOOL_MISSING,
                f"Unsupported strategy: {strategy}",
                hint=f"this tablet offers: {', '.join(sorted(self._engines))}",
            ) from None

    def start(
        self,
        group: asyncio.TaskGroup,
        migration: Migration,
        strategy: Strategy,
        wanted: Wanted,
    ) -> None:
        """Let an engine run a migration that was claimed, as it is wanted now."""
        self._started.add()
        run = _Run(migration, is_recovery=False, controls=LiveControls(wanted))
        self._spawn(group, run, self._carry_out(run, strategy))

    def recover(self, group: asyncio.TaskGroup, migration: Migration, wanted: Wanted) -> None:
        """Let an engine take over or settle a run that nobody looks after.

        Args:
            group: for the task.
            migration: its row.
            wanted: of the run, should it go on.
        """
        run = _Run(migration, is_recovery=True, controls=LiveControls(wanted))
        self._spawn(group, run, self._settle_left_run(run))

    def stop(self, migration_uuid: str, reason: StopReason) -> None:
        """Ask a run to end its tool and clean up; the first reason counts."""
        run = self._runs.get(migration_uuid)
        if run is not None:
            run.reason = run.reason or reason
            run.stop.set()

    def steer(self, migration_uuid: str, wanted: Wanted) -> None:
        """Tell a run what is wanted of it now."""
        run = self._runs.get(migration_uuid)
        if run is not None:
            run.controls.want(wanted)

    def stop_all(self, reason: StopReason) -> None:
        """Ask every run to end."""
        for migration_uuid in self.busy:
            self.stop(migration_uuid, reason)

    def let_go_all(self) -> None:
        """Leave every tool at work to the next daemon, and end what goes on with this one only.

        No row is written for the former, nothing is ended or removed.
        """
        for migration_uuid, run in list(self._runs.items()):
            run.controls.let_go()
            if not run.has_begun and run.task is not None:
                # What is asked of the server before a run may take minutes, and leaves nothing.
                run.task.cancel()
            elif not run.outlives_daemon:
                self.stop(migration_uuid, StopReason.SHUTDOWN)

    async def finish(self) -> None:
        """Wait until all runs have ended, however long that is; their progress is logged."""
        while tasks := [run.task for run in self._runs.values() if run.task is not None]:
            for run in self._runs.values():
                _logger.info("waiting for %s", run)
            await asyncio.wait(tasks, timeout=FINISH_LOG_SECONDS)

    async def drain(self, grace_seconds: float) -> None:
        """Wait until all runs have ended; cancel those that take longer than the grace time.

        What those leave behind is in their rows, and recovered at the next start.
        """
        tasks = [run.task for run in self._runs.values() if run.task is not None]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=grace_seconds)
        for task in late:
            _logger.warning("%s did not end within %g s", task.get_name(), grace_seconds)
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=CANCEL_SECONDS_MAX)

    def _spawn(
        self, group: asyncio.TaskGroup, run: _Run, work: Coroutine[None, None, None]
    ) -> None:
        uuid = run.migration.migration_uuid
        self._runs[uuid] = run
        run.task = group.create_task(work, name=f"migration {uuid}")
        run.task.add_done_callback(lambda _: self._ended(uuid))

    def _ended(self, migration_uuid: str) -> None:
        self._runs.pop(migration_uuid, None)
        self._on_change()

    def _rest(self, migration_uuid: str) -> None:
        self._resting[migration_uuid] = self._clock.monotonic_seconds() + REST_SECONDS
        asyncio.get_running_loop().call_later(REST_SECONDS, self._on_change)

    async def _carry_out(self, run: _Run, strategy: Strategy) -> None:
        migration = run.migration
        record = run.record = StoredRun(self._store, migration, self._on_change, self._throttling)

        async def work(stop: asyncio.Event, controls: RunControls) -> Outcome:
            return await self.engine_for(strategy).run(migration, record, stop, controls)

        with span("migration.run", strategy=strategy, migration_uuid=migration.migration_uuid):
            await self._see_through(run, record, work)

    async def _see_through(self, run: _Run, record: StoredRun, work: Adopted) -> None:
        """Do the work of a run, and write how it ended."""
        migration = run.migration
        try:
            outcome = await work(run.stop, run.controls)
        except Detached:
            _logger.info("migration %s: goes on without this daemon", migration.migration_uuid)
            return
        except (LostRace, NotWritable, LeaseNotHeld) as error:
            _logger.info("migration %s: %s", migration.migration_uuid, error)
            self._rest(migration.migration_uuid)
            return
        except TabletdError as error:
            # Of a run that has begun, the server tells how it ended once it lets us in again.
            if _server_is_away(error) or (record.nonce and isinstance(error, MySQLUnavailable)):
                _logger.warning("migration %s is left: %s", migration.migration_uuid, error)
                self._rest(migration.migration_uuid)
                return
            outcome = Outcome(Status.FAILED, str(error))
        except Exception:
            outcome = Outcome(Status.FAILED, _internal_error(migration))
        verdict = self._verdict(run, outcome)
        if verdict is not None:
            await self._write_until_done(migration, record, verdict)

    async def _settle_left_run(self, run: _Run) -> None:
        migration = run.migration
        self._attempted.add(migration.migration_uuid)
        record = run.record = StoredRun(self._store, migration, self._on_change, self._throttling)
        try:
            engine = self.engine_for(_engine_of_run(migration))
            go_on = await self._adopt(engine, migration, record)
            if go_on is not None:
                await self._go_on(run, record, go_on)
                return
            with span("migration.recover", migration_uuid=migration.migration_uuid):
                outcome = await engine.recover(migration, record)
        except TabletdError as error:
            _logger.warning("migration %s: cannot recover: %s", migration.migration_uuid, error)
            self._rest(migration.migration_uuid)
            return
        except Exception:
            _internal_error(migration)
            self._rest(migration.migration_uuid)
            return
        if not record.ended:
            self._rest(migration.migration_uuid)
        await self._write_until_done(migration, record, self._recovered(migration, outcome))

    async def _adopt(
        self, engine: Engine, migration: Migration, record: StoredRun
    ) -> Adopted | None:
        """Take over what an earlier daemon of this tablet left at work, if it is wanted."""
        if migration.status is not Status.RUNNING or migration.tablet != self._tablet:
            return None
        return await engine.adopt(migration, record)

    async def _go_on(self, run: _Run, record: StoredRun, go_on: Adopted) -> None:
        migration_uuid = run.migration.migration_uuid
        _logger.info("migration %s: its tool is taken over", migration_uuid)
        self._adopted.add()
        run.is_recovery = False
        self._on_change()
        with span("migration.adopted", migration_uuid=migration_uuid):
            await self._see_through(run, record, go_on)

    def _verdict(self, run: _Run, outcome: Outcome) -> _Verdict | None:
        """Return what to write, None where the next primary will."""
        if outcome.status is Status.COMPLETE:
            return _Verdict(Command.COMPLETE, outcome.message, outcome.old_table)
        if run.reason is StopReason.ROLE:
            return None
        if run.reason is StopReason.CANCEL:
            return _Verdict(None, outcome.message)
        if outcome.status is Status.FAILED:
            return _Verdict(Command.FAIL, outcome.message)
        if outcome.status is Status.QUEUED:
            return _Verdict(Command.REQUEUE, outcome.message)
        if run.reason is StopReason.SHUTDOWN:
            return _Verdict(
                Command.REQUEUE, "the daemon was stopped; the migration starts again with it"
            )
        return _Verdict(Command.FAIL, outcome.message or "the tool was ended from outside")

    def _recovered(self, migration: Migration, outcome: Outcome | None) -> _Verdict:
        if migration.status is Status.COMPLETE:
            return _Verdict(None, "", outcome.old_table if outcome is not None else "")
        if outcome is not None and outcome.status is Status.COMPLETE:
            return _Verdict(Command.COMPLETE, outcome.message, outcome.old_table)
        if outcome is not None and outcome.status is Status.FAILED:
            return _Verdict(Command.FAIL, outcome.message)
        if migration.tablet == self._tablet:
            return _Verdict(
                Command.REQUEUE,
                "the daemon ended during the run, of which nothing is left; it starts again",
            )
        return _Verdict(
            Command.FAIL,
            f"the run ended with the tablet {migration.tablet}; cleaned up by {self._tablet}",
            tablet_failure=True,
        )

    async def _write_until_done(
        self, migration: Migration, record: StoredRun, verdict: _Verdict
    ) -> None:
        """Write how it ended, however long the server is away; a known end is never lost."""
        pause_seconds = 0.1
        while True:
            try:
                await self._write(migration, record, verdict)
                return
            except TabletdError as error:
                is_in_doubt = isinstance(error, LeaseNotHeld) and error.is_in_doubt
                if isinstance(error, (NotWritable, LeaseNotHeld)) and not is_in_doubt:
                    _logger.info("migration %s: %s", migration.migration_uuid, error)
                    return
                if error.reason in MOVED_ON:
                    return
                _logger.warning("migration %s: not settled: %s", migration.migration_uuid, error)
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 2, SETTLE_PAUSE_SECONDS_MAX)

    async def _write(self, migration: Migration, record: StoredRun, verdict: _Verdict) -> None:
        uuid = migration.migration_uuid
        if verdict.command is None:
            await self._write_late(uuid, record, verdict)
            return
        try:
            await self._store.transition(
                uuid,
                verdict.command,
                message=verdict.message,
                stage=f"{migration.engine_strategy}: {_STAGES[verdict.command]}",
                run_nonce=record.nonce,
                end_run=record.left_tables(verdict.old_table),
                tablet_failure=verdict.tablet_failure,
                running=True,
            )
        except TabletdError as error:
            if error.reason is Reason.ILLEGAL_TRANSITION:
                await self._write_late(uuid, record, verdict)
            elif error.reason is not Reason.LOST_RACE:
                raise
            return
        self._count(verdict.command)

    async def _write_late(self, uuid: str, record: StoredRun, verdict: _Verdict) -> None:
        """The row was moved on (cancelled, mostly) before the run ended."""
        if verdict.command is Command.COMPLETE:
            await self._store.transition(
                uuid,
                Command.SETTLE,
                message="the tables had been swapped before the cancel took effect; "
                f"the change is in place. {verdict.message}".rstrip(),
                run_nonce=record.nonce,
                end_run=record.left_tables(verdict.old_table),
            )
            self._count(Command.COMPLETE)
            return
        left = record.left_tables(verdict.old_table)
        if left is not None and record.nonce:
            await self._store.end_run(uuid, record.nonce, left)

    def _count(self, command: Command) -> None:
        if command is Command.COMPLETE:
            self._succeeded.add()
        elif command is Command.FAIL:
            self._failed.add()


_STAGES: Final[Mapping[Command, str]] = {
    Command.COMPLETE: "complete",
    Command.FAIL: "failed",
    Command.REQUEUE: "queued again",
}


def _engine_of_run(migration: Migration) -> Strategy:
    try:
        return Strategy(migration.run_engine)
    except ValueError:
        return migration.engine_strategy


def _server_is_away(error: TabletdError) -> bool:
    """Tell a lost server, to be waited for, from one that refuses an account for good."""
    return isinstance(error, MySQLUnavailable) and not isinstance(error, MySQLError)


def _internal_error(migration: Migration) -> str:
    """Log the exception being handled, and return what the row may say of it."""
    number = uuid4().hex[:12]
    _logger.exception("migration %s: internal error %s", migration.migration_uuid, number)
    return f"internal error {number}: the daemon's log has the details"
