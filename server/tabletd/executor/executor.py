"""The executor: a durable queue of schema migrations, and the loop that works it off."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final

from tabletd.clock import Clock
from tabletd.errors import MigrationNotFound, NotWritable, Reason, TabletdError
from tabletd.executor.admission import check_enabled
from tabletd.executor.commands import Commands, ThrottlerDoor
from tabletd.executor.directives import Directives, read_directives
from tabletd.executor.engines.base import Engine
from tabletd.executor.gc import GarbageCollector
from tabletd.executor.migration import SCHEMA_MIGRATIONS_TABLE_NAME, Migration, Strategy
from tabletd.executor.names import create_uuid
from tabletd.executor.queue_vars import QueueVars
from tabletd.executor.reports import ReportedEnds, check_token, percent
from tabletd.executor.runs import Runs, StopReason
from tabletd.executor.settings import ExecutorSettings
from tabletd.executor.statements import MigrationStatement, Revert, parse_statement
from tabletd.executor.states import Command, Status
from tabletd.executor.store import MOVED_ON, Store
from tabletd.executor.submissions import Submissions
from tabletd.executor.submit import (
    NewMigration,
    Submission,
    read_revert,
    read_submission,
)
from tabletd.executor.throttling import Throttling
from tabletd.executor.vexec import Insert, Select, Update, parse
from tabletd.executor.vexec_updates import carry_out_update
from tabletd.executor.worker import Worker
from tabletd.lease import Fence
from tabletd.loops import every
from tabletd.mysql.pool import Pool
from tabletd.mysql.result import RESULT_BYTES_MAX, ResultSet, text_result
from tabletd.telemetry.vars import Registry

__all__ = ["SCHEMA_MIGRATIONS_TABLE_NAME", "Executor", "ExecutorSettings"]

GC_PAUSE_SECONDS: Final = 1.0

_logger = logging.getLogger(__name__)


class Executor:
    """Takes migrations, runs one after the other, and knows what became of each.

    What is true is in `_vt.schema_migrations`; nothing else is remembered, so that an executor that
    is killed loses nothing. It works while it is open and its tablet is the primary.

    Args:
        pool: sessions for its own statements.
        raw_pool: sessions that give the server's own text, for the SELECTs of VExec.
        tablet_alias: `zone1-0000000101`.
        engines: what carries out migrations, by strategy.
        settings: see `ExecutorSettings`.
        clock: for pauses.
        registry: where StartedMigrations, SuccessfulMigrations and FailedMigrations are counted.
        gc: carries away what finished migrations leave; None: it stays.
        throttling: tells what holds migrations back; None: nothing but what the tools say.
        throttler: for the statements about it; None: they are refused.
        admit: raises for what this server could never carry out; None: all is taken.
        fence: tells whether this daemon may act for its server; None: there is no other daemon.
    """

    def __init__(
        self,
        *,
        pool: Pool,
        raw_pool: Pool,
        tablet_alias: str,
        engines: Mapping[Strategy, Engine],
        settings: ExecutorSettings,
        clock: Clock,
        registry: Registry,
        gc: GarbageCollector | None = None,
        throttling: Throttling | None = None,
        throttler: ThrottlerDoor | None = None,
        admit: Callable[[Submission], Awaitable[None]] | None = None,
        fence: Fence | None = None,
    ) -> None:
        self.settings = settings
        self._raw_pool = raw_pool
        self._store = Store(pool, tablet=tablet_alias, fence=fence)
        self._reported_ends = ReportedEnds()
        self._runs = Runs(
            store=self._store,
            engines=engines,
            tablet=tablet_alias,
            registry=registry,
            clock=clock,
            on_change=self.wake,
            throttling=throttling,
        )
        self._worker = Worker(
            store=self._store,
            runs=self._runs,
            pool=pool,
            tablet=tablet_alias,
            settings=settings,
            shown=QueueVars(registry),
            fence=fence,
        )
        self.begin_anew, self.let_go = self._worker.begin_anew, self._worker.let_go
        self.backlog, self.foresee = self._runs.backlog, self._worker.foresee
        self._submissions = Submissions(self._store, self.retry, admit)
        self._commands = Commands(queue=self, store=self._store, throttler=throttler)
        self._gc = gc
        self._gc_wake = asyncio.Event()
        self._keyspace, self._shard, self._db_name = "", "", ""

    def init_db_config(self, keyspace: str, shard: str, db_name: str) -> None:
        """Say which keyspace, shard and schema the executor works for."""
        self._keyspace, self._shard, self._db_name = keyspace, shard, db_name

    @property
    def busy(self) -> frozenset[str]:
        """UUIDs that anything is being done for in this process."""
        return self._runs.busy

    def on_write(self, listener: Callable[[], None]) -> None:
        """Call a listener after each change of a row from here on."""
        self._store.on_write = listener

    async def open(self) -> None:
        """Take migrations from now on; may be called again."""
        self._worker.open()

    async def finish(self) -> None:
        """Start nothing any more, and wait until everything that runs has ended."""
        await self._worker.finish()

    async def close(self, *, detach: bool = False) -> None:
        """Take no more; end running tools, clean up and put their migrations back into the queue.

        Bounded by `close_grace_seconds`: what takes longer is recovered at the next start.

        Args:
            detach: leave tools at work, for the next daemon to take over.
        """
        await self._worker.close(detach=detach)

    async def make_primary(self) -> None:
        """Work off the queue: this tablet takes writes. Runs left by others are settled first."""
        self._worker.make_primary()
        self._gc_wake.set()

    async def make_non_primary(self) -> None:
        """Stop working: tools are ended; the next primary settles what they leave."""
        self._worker.make_non_primary()

    async def run(self) -> None:
        """Work until cancelled; the tasks of all migrations belong to this call."""
        async with asyncio.TaskGroup() as group:
            if self._gc is not None:
                group.create_task(self._gc_loop(self._gc), name="executor: gc")
            await self._worker.run(group)

    async def vexec(self, query: str) -> ResultSet:
        """Carry out one statement of the VExec RPC.

        Args:
            query: a SELECT, INSERT or UPDATE on `_vt.schema_migrations`, see `executor.vexec`.

        Returns:
            rows as the server's own text for a SELECT; else the number of rows affected.

        Raises:
            TabletdError: INVALID_REQUEST for any other statement, MIGRATION_NOT_FOUND for a cancel
                of an unknown migration, NOT_PRIMARY for what writes on a replica.
        """
        match parse(query):
            case Select(sql=sql):
                return await self.select(sql)
            case Insert(migration=migration):
                return await self.submit(migration)
            case Update() as update:
                changed = await carry_out_update(
                    update,
                    queue=self,
                    store=self._store,
                    schemas=self._schemas(),
                    shard=self._shard,
                )
                return ResultSet(rows_affected=changed)

    async def execute_statement(self, sql: str) -> ResultSet | None:
        """Carry out a statement about migrations, or submit one that says it is a migration.

        Args:
            sql: `ALTER VITESS_MIGRATION`, `SHOW VITESS_MIGRATIONS` and their kin (see
                `executor.statements`), or DDL and `REVERT` behind the comment of
                `executor.directives`.

        Returns:
            rows as the server's own text, or the number of rows affected; None for any other
            statement, of which nothing was done. A REVERT without a comment answers the uuid of
            the migration that it became.

        Raises:
            TabletdError: as `commands.Commands.execute`, `submit`, and `submissions`.
        """
        directives = read_directives(sql)
        statement = parse_statement(sql if directives is None else directives.sql)
        if directives is not None:
            return await self._submit_annotated(directives, statement)
        if isinstance(statement, Revert):
            uuid = create_uuid()
            await self._submit_revert(NewMigration(uuid, sql), statement)
            return text_result("uuid", uuid.encode())
        if statement is None:
            return None
        return await self._commands.execute(statement, keyspace=self._keyspace, shard=self._shard)

    async def submit(self, new: NewMigration) -> ResultSet:
        """Put a migration into the queue.

        Returns:
            1 row and its id; 0 rows when the UUID is known already, which changes nothing.

        Raises:
            TabletdError: what the text alone shows to be impossible, see `submit.read_submission`;
                MIGRATION_REJECTED by its singleton flags; NOT_PRIMARY, READ_ONLY.
        """
        submission = self.judge(new)
        await self.check_writable()
        result = await self._submissions.insert(submission, shard=self._shard)
        self.wake()
        return result

    async def cancel(self, migration_uuid: str, *, message: str = "CANCEL issued by user") -> int:
        """Cancel a migration; a running tool is ended and cleaned up in the background.

        Returns:
            1 if it was pending, else 0.

        Raises:
            MigrationNotFound: there is none of that UUID.
        """
        await self.check_writable()
        try:
            await self._store.transition(migration_uuid, Command.CANCEL, message=message)
        except MigrationNotFound:
            raise
        except TabletdError as error:
            if error.reason in MOVED_ON:
                return 0
            raise
        finally:
            # Also when the caller is gone in the middle: the loop stops what must not run.
            self._worker.wake()
        self._runs.stop(migration_uuid, StopReason.CANCEL)
        return 1

    async def cancel_all(self, mysql_schema: str | None = None) -> int:
        """Cancel all pending migrations of this tablet.

        Args:
            mysql_schema: only those of one schema; None: of all the tablet's schemas.

        Returns:
            how many were pending.
        """
        await self.check_writable()
        schemas = self._schemas() if mysql_schema is None else {mysql_schema}
        pending, _, _ = await self._store.candidates()
        cancelled = 0
        for row in pending:
            if row.table[0] in schemas:
                cancelled += await self.cancel(
                    row.migration_uuid, message="CANCEL ALL issued by user"
                )
        return cancelled

    async def retry(self, migration_uuid: str) -> int:
        """Queue a failed or cancelled migration again.

        Returns:
            1, or 0 when it is not failed or cancelled, or unknown.
        """
        await self.check_writable()
        try:
            await self._store.transition(migration_uuid, Command.RETRY, message="", stage="")
        except TabletdError as error:
            if error.reason in MOVED_ON:
                return 0
            raise
        self._worker.wake()
        return 1

    async def execute_with_ghost(self, migration: Migration) -> None:
        """Run a pending migration with gh-ost now, instead of when its turn comes.

        Returns when it has been started; validation, dry run and run follow in the background.

        Raises:
            ExecutorNotWritableTablet: this tablet does not take writes.
            ExecutorMigrationAlreadyRunning: no slot is free, or one runs on the table.
            MigrationNotFound: it is not in the queue.
        """
        await self._worker.execute(migration.migration_uuid, Strategy.GH_OST)

    async def execute_with_ptosc(self, migration: Migration) -> None:
        """Run a pending migration with pt-online-schema-change now; see `execute_with_ghost`."""
        await self._worker.execute(migration.migration_uuid, Strategy.PT_OSC)

    async def on_schema_migration_status(
        self,
        migration_uuid: str,
        status: str,
        dry_run: bool | str,
        progress: float | str | None = None,
        *,
        token: str | None = None,
        eta_seconds: int | None = None,
        rows_copied: int | None = None,
    ) -> None:
        """Take the report of a running tool's hook.

        A report is a sign of life; how a run ended is for its engine to find out. Ignored are
        reports on finished migrations, on a dry run that did not fail, and a progress that is no
        percentage: gh-ost itself counts beyond 100 when its estimate was low. A run reports one
        end, once; the same again is taken for a repetition.

        Args:
            migration_uuid: whose tool reports.
            status: running, complete or failed.
            dry_run: whether it speaks of a dry run; as a text only `true` is.
            progress: percent; what is no number counts as none.
            token: the run's secret; None for callers inside the daemon.
            eta_seconds: the tool's estimate.
            rows_copied: rows copied so far.

        Raises:
            MigrationNotFound: nobody submitted it.
            TabletdError: UNAUTHENTICATED without, PERMISSION_DENIED with a wrong token,
                INVALID_REQUEST for an unknown status, ILLEGAL_TRANSITION after the run's end was
                reported.
        """
        if status not in (Status.READY, Status.RUNNING, Status.COMPLETE, Status.FAILED):
            raise TabletdError(
                Reason.INVALID_REQUEST,
                f"a report says running, complete or failed, not {status[:40]!r}",
            )
        row = await self._store.read(migration_uuid)
        check_token(row, token)
        is_dry_run = dry_run is True or dry_run == "true"
        if row.status is not Status.RUNNING or (is_dry_run and status != Status.FAILED):
            return
        if status in (Status.COMPLETE, Status.FAILED) and self._has_no_engine(row):
            await self._settle_by_report(row, status)
            return
        with self._reported_ends.taking(row, status) as is_news:
            if not is_news:
                return
            await self._store.report(
                migration_uuid,
                progress=percent(progress),
                eta_seconds=eta_seconds if eta_seconds is not None and eta_seconds >= 0 else None,
                rows_copied=rows_copied if rows_copied is not None and rows_copied >= 0 else None,
            )

    async def select(self, sql: str, params: tuple[str, ...] = ()) -> ResultSet:
        """Run a query on the migrations; its cells are the server's own text."""
        if self._worker.is_working:
            with suppress(NotWritable):
                await self._worker.ensure_schema()
        result = await self._raw_pool.execute(sql, params or None, bytes_max=RESULT_BYTES_MAX)
        result.rows_affected = len(result.rows)
        return result

    async def check_writable(self) -> None:
        """Refuse what writes on a tablet that is no primary, or while another daemon acts."""
        await self._worker.check_writable()

    def wake(self) -> None:
        """Look at once at the queue and at what finished migrations leave."""
        self._worker.wake()
        self._gc_wake.set()

    def judge(self, new: NewMigration) -> Submission:
        """Read a submission without submitting it; raises as `submit.read_submission`."""
        check_enabled(self.settings)
        return read_submission(
            new,
            keyspace=self._keyspace,
            db_name=self._db_name,
            allowed_schemas=self.settings.allowed_schemas,
            online=self.settings.default_online_strategy,
        )

    async def judge_revert(self, new: NewMigration, reverted_uuid: str) -> Submission:
        """Read a REVERT without submitting it; raises as `submit.read_revert`."""
        check_enabled(self.settings)
        reverted = await self._store.find(reverted_uuid)
        return read_revert(
            new, reverted_uuid, reverted, keyspace=self._keyspace, db_name=self._db_name
        )

    async def _submit_annotated(
        self, directives: Directives, statement: MigrationStatement | None
    ) -> ResultSet:
        new = NewMigration(
            migration_uuid=directives.migration_uuid,
            migration_statement=directives.sql,
            strategy=directives.strategy,
            options=directives.options,
            mysql_table=directives.mysql_table,
            migration_context=directives.migration_context,
        )
        if isinstance(statement, Revert):
            return await self._submit_revert(new, statement)
        if statement is not None:
            raise TabletdError(
                Reason.INVALID_REQUEST, "only DDL and REVERT can be submitted as a migration"
            )
        submission = self.judge(new)
        await self.check_writable()
        return await self._enter(submission)

    async def _submit_revert(self, new: NewMigration, statement: Revert) -> ResultSet:
        await self.check_writable()
        return await self._enter(await self.judge_revert(new, statement.uuid))

    async def _enter(self, submission: Submission) -> ResultSet:
        result = await self._submissions.insert_or_retry(submission, shard=self._shard)
        self.wake()
        return result

    def _schemas(self) -> set[str]:
        return {self._db_name, *self.settings.allowed_schemas}

    def _has_no_engine(self, row: Migration) -> bool:
        return not row.run_nonce and row.migration_uuid not in self._runs.busy

    async def _settle_by_report(self, row: Migration, status: str) -> None:
        command = Command.COMPLETE if status == Status.COMPLETE else Command.FAIL
        with suppress(TabletdError):
            await self._store.transition(row.migration_uuid, command, run_nonce="")
        self._worker.wake()

    async def _gc_loop(self, gc: GarbageCollector) -> None:
        async def step() -> None:
            is_ready = self._worker.is_working and self._worker.schema_is_ready
            if is_ready and await gc.step(self._schemas()):
                asyncio.get_running_loop().call_later(GC_PAUSE_SECONDS, self._gc_wake.set)

        await every(
            min(self.settings.check_interval_seconds, gc.settings.check_interval_seconds),
            step,
            name="executor: gc",
            logger=_logger,
            wake=self._gc_wake,
            tolerate=(TabletdError,),
        )
