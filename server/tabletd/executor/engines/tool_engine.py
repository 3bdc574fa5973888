"""Runs a migration by a third-party tool: one order of things for all tools.

Validate; write down what will be made; make the private directory and the account; dry run; run;
look on the server how it ended; remove triggers, tables, account and directory. Whatever ends a
run, the same removal follows, and what could not be removed stays in the row for `recover`.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tabletd.errors import LostRace, NotWritable, Reason, TabletdError
from tabletd.executor import hooks, names
from tabletd.executor.accounts import (
    Account,
    create_account,
    drop_account,
    end_connections,
    new_account,
    parse_account,
)
from tabletd.executor.ddl import parse
from tabletd.executor.engines import catalogue
from tabletd.executor.engines.base import Outcome, RunControls, RunRecord
from tabletd.executor.engines.completion import Completion
from tabletd.executor.engines.leftovers import cleaning_session
from tabletd.executor.engines.settings import EngineSettings
from tabletd.executor.engines.supervision import Supervision
from tabletd.executor.engines.swap_lock import SwapLock
from tabletd.executor.engines.tool import RunPlan, Swap, Tool
from tabletd.executor.engines.workspace import (
    Phase,
    Workspace,
    find_workspace,
    new_workspace,
    read_log,
)
from tabletd.executor.migration import Migration, Strategy
from tabletd.executor.preflight import run_checks
from tabletd.executor.preflight.facts import Facts, ServerFacts, gather
from tabletd.executor.states import Status
from tabletd.mysql.pool import Pool
from tabletd.mysql.session import Session
from tabletd.mysql.settings import MySQLSettings
from tabletd.processes.runner import LaunchSpec, attach, launch
from tabletd.telemetry.tracing import span

_LOOPBACK: Final = "127.0.0.1"
# Errors 1290, 1792 and 1836 of MySQL and MariaDB.
_READ_ONLY: Final = re.compile(r"--(?:super-)?read[-_]only|in read[- ]only (?:mode|transaction)")
_PASSWORD_FILE: Final = "account"  # noqa: S105  # the file's name

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PhaseEnd:
    """How one start of the tool ended.

    Attributes:
        exit_code: as `Run.exit_status`.
        output: the end of what the tool wrote.
        stopped: it was ended from outside: by us, by a signal, by a change of roles.
    """

    exit_code: int | None
    output: str
    stopped: bool


class ToolEngine:
    """The engine of one tool.

    Args:
        tool: what is particular to it.
        pool: the daemon's own account.
        settings: places and addresses.
    """

    def __init__(self, tool: Tool, *, pool: Pool, settings: EngineSettings) -> None:
        self._tool = tool
        self._pool = pool
        self._settings = settings

    @property
    def strategy(self) -> Strategy:
        return self._tool.strategy

    async def run(
        self,
        migration: Migration,
        record: RunRecord,
        stop: asyncio.Event,
        controls: RunControls,
    ) -> Outcome:
        with span("migration.preflight", migration_uuid=migration.migration_uuid):
            await record.stage(f"{self.strategy}: validating")
            plan = await self._plan(migration)
        token = plan.callback.token
        await record.begin(
            nonce=plan.nonce,
            engine=self.strategy,
            directory=str(plan.workspace.directory),
            account=str(plan.account) if plan.account.is_temporary else "",
            token_hash=hooks.token_hash(token),
            log_path=plan.workspace.log_path,
            log_file=str(plan.workspace.log_file),
        )
        try:
            await record.add_artifacts(*plan.tables)
            await asyncio.to_thread(self._write_files, plan)
            await self._make_account(plan)
        except TabletdError as error:
            # Who may not make accounts may not drop them either, and has none to drop.
            account = None if error.reason is Reason.MISSING_GRANT else plan.account
            await self._finish(plan, record, account)
            raise
        try:
            outcome = await self._carry_out(plan, record, stop, controls)
        except TabletdError:
            await self._finish(plan, record, plan.account)
            raise
        await self._finish(plan, record, plan.account)
        return outcome

    async def inspect(self, migration: Migration) -> tuple[Facts, Sequence[TabletdError]]:
        """Look at what a run would meet, and change nothing; returns all that would refuse it."""
        stem = f"{migration.migration_uuid}_{names.readable_timestamp()}"
        made = self._tool.table_names(migration.mysql_table, stem)
        kept = self._tool.kept_old_table(migration.mysql_table, stem)
        async with self._pool.session() as session:
            place = (migration.mysql_schema, migration.mysql_table)
            found = await gather(session, *place, (*made, *kept))
        if found.has_lock_instrument is False:
            # A run switches it on first.
            found = replace(found, has_lock_instrument=True)
        facts = await self._facts_from(migration, found, made)
        refusals: list[TabletdError] = []
        for check in self._tool.checks:
            try:
                check(facts)
            except TabletdError as error:
                refusals.append(error)
        return facts, refusals

    async def recover(self, migration: Migration, record: RunRecord) -> Outcome | None:
        workspace = find_workspace(self._settings, migration)
        account = self._left_account(migration, workspace)
        ends = [await self._settle_phase(workspace, phase) for phase in Phase]
        if account is not None:
            await self._end_connections(account, migration.artifacts)
        outcome = await self._outcome_of_left_run(migration, workspace, ends)
        await self._clean_up(migration, migration.artifacts, workspace, account)
        if outcome is not None and outcome.old_table:
            await record.add_artifacts(outcome.old_table)
        await record.end()
        return outcome

    # Preparation

    async def _plan(self, migration: Migration) -> RunPlan:
        stem = f"{migration.migration_uuid}_{names.readable_timestamp()}"
        made = self._tool.table_names(migration.mysql_table, stem)
        kept = self._tool.kept_old_table(migration.mysql_table, stem)
        facts = await self._facts(migration, made, kept)
        run_checks(self._tool.checks, facts)
        free = [name for name in kept if name not in facts.taken_names]
        async with self._pool.session() as session:
            port = await self._port(session)
        callback = hooks.Callback(
            url=self._settings.callback_url(),
            migration_uuid=migration.migration_uuid,
            app=self.strategy,
            token=hooks.new_token(),
        )
        return RunPlan(
            facts=facts,
            nonce=secrets.token_hex(16),
            tables=(*made, *free[:1]),
            workspace=new_workspace(self._settings, migration),
            account=self._account(),
            callback=callback,
            host=self._host(),
            port=port,
        )

    async def _facts(
        self, migration: Migration, made: tuple[str, ...], kept: tuple[str, ...]
    ) -> Facts:
        if migration.flags.analyze_table:
            async with cleaning_session(self._pool) as session:
                await catalogue.analyze(session, migration.mysql_schema, migration.mysql_table)
        async with self._pool.session() as session:
            found = await gather(
                session, migration.mysql_schema, migration.mysql_table, (*made, *kept)
            )
        found = await self._tool.prepare_server(self._pool, found)
        return await self._facts_from(migration, found, made)

    async def _facts_from(
        self, migration: Migration, found: ServerFacts, made: tuple[str, ...]
    ) -> Facts:
        tool = await self._tool.inspector.inspect()
        return Facts(
            migration=migration,
            statement=parse(migration.migration_statement),
            arguments=self._tool.arguments(migration.flags, migration.tool_arguments),
            server=found.server,
            variables=found.variables,
            table=found.table,
            tool=tool,
            filters=found.filters,
            has_lock_instrument=found.has_lock_instrument,
            disk_free_bytes=found.disk_free_bytes,
            taken_names=found.taken_names,
            reserved_names=made,
            allows_unsafe_cutover=self._settings.allow_unsafe_cutover,
            has_configured_account=bool(self._settings.migration_user),
        )

    def _host(self) -> str:
        if self._settings.tool_host:
            return self._settings.tool_host
        settings = self._pool.settings
        is_local = settings.unix_socket or settings.host == "localhost"
        return _LOOPBACK if is_local else settings.host

    def _account(self) -> Account:
        settings = self._settings
        if settings.migration_user:
            return Account(
                settings.migration_user, "%", settings.migration_password, is_temporary=False
            )
        return new_account(self._host(), settings.account_host)

    # The run

    async def _carry_out(
        self,
        plan: RunPlan,
        record: RunRecord,
        stop: asyncio.Event,
        controls: RunControls,
    ) -> Outcome:
        lock = SwapLock(self._pool, plan, controls)
        completion = Completion(self._tool, plan.workspace, record, controls, lock)
        supervision = Supervision(self._tool, plan, self._settings, record, stop, completion)
        with span("migration.dry_run", migration_uuid=plan.facts.migration.migration_uuid):
            end = await self._run_phase(plan, Phase.DRY_RUN, record, supervision)
        if end.stopped:
            return Outcome(Status.CANCELLED, f"{self.strategy} was stopped before the run")
        if end.exit_code != 0:
            if self._met_read_only(end):
                raise NotWritable()
            return Outcome(Status.FAILED, self._failure(Phase.DRY_RUN, end))
        with span("migration.run", migration_uuid=plan.facts.migration.migration_uuid):
            end = await self._run_phase(plan, Phase.RUN, record, supervision)
        if end.exit_code != 0:
            await self._end_connections(plan.account, plan.tables)
        swap = await self._find_swap(plan.facts.migration, plan.tables, plan.workspace)
        if not swap.done and not end.stopped and self._met_read_only(end):
            raise NotWritable()
        outcome = self._judge(end, swap)
        if outcome.old_table and outcome.old_table not in plan.tables:
            await record.add_artifacts(outcome.old_table)
        is_complete = outcome.status is Status.COMPLETE
        notes = [outcome.message, lock.ended if is_complete else lock.trouble]
        if is_complete:
            notes.append(self._tool.warnings(plan.facts))
        return replace(outcome, message="; ".join(note for note in notes if note))

    def _write_files(self, plan: RunPlan) -> None:
        plan.workspace.create()
        plan.workspace.write_secret(_PASSWORD_FILE, plan.account.password)
        self._tool.write_files(plan)

    async def _make_account(self, plan: RunPlan) -> None:
        if not plan.account.is_temporary:
            return
        async with self._pool.session(writable=True) as session:
            grants = self._tool.grants(plan.facts)
            await create_account(session, plan.facts.server, plan.account, grants)

    async def _run_phase(
        self, plan: RunPlan, phase: Phase, record: RunRecord, supervision: Supervision
    ) -> PhaseEnd:
        if supervision.is_to_end:
            return PhaseEnd(None, "", stopped=True)
        try:
            await record.stage(f"{self.strategy}: {phase.words}", self._tool.warnings(plan.facts))
        except LostRace:
            return PhaseEnd(None, "", stopped=True)
        argv = self._tool.argv(plan, phase, await supervision.begin(phase))
        heading = f"{phase.words}: {argv[0]}, as {plan.account}"
        await asyncio.to_thread(plan.workspace.write_heading, heading)
        run = await launch(
            LaunchSpec(
                directory=plan.workspace.phase_directory(phase),
                argv=argv,
                nonce=plan.nonce,
                log_file=plan.workspace.log_file,
                home=plan.workspace.directory,
            )
        )
        stopped = await supervision.follow(run, phase)
        output = await asyncio.to_thread(read_log, run.log_file, run.log_offset)
        return PhaseEnd(run.exit_status(), output, stopped)

    # The end

    def _failure(self, phase: Phase, end: PhaseEnd) -> str:
        who = f"{self.strategy} {phase.words}"
        if end.exit_code is None:
            return f"{who} ended without a trace: its wrapper was killed"
        if end.exit_code < 0:
            return f"{who} was ended from outside by signal {-end.exit_code}"
        return f"{who} ended with {end.exit_code}: {self._tool.failure_cause(end.output)}"

    def _met_read_only(self, end: PhaseEnd) -> bool:
        """Say whether the tool ended because the server takes no writes any more.

        That is a change of roles and no failure of the migration.
        """
        if not end.exit_code:
            return False
        return _READ_ONLY.search(self._tool.failure_cause(end.output)) is not None

    def _judge(self, end: PhaseEnd, swap: Swap) -> Outcome:
        losses = self._tool.losses(end.output)
        if swap.done and losses:
            return Outcome(
                Status.FAILED,
                f"{self.strategy} swapped the tables although rows may have lost values: {losses}; "
                f"the former table is kept as {swap.old_table}",
                swap.old_table,
            )
        if swap.done:
            message = ""
            if end.stopped:
                message = "the tables were swapped before the stop took effect"
            elif end.exit_code != 0:
                message = f"the tables were swapped; after that: {self._failure(Phase.RUN, end)}"
            return Outcome(Status.COMPLETE, message, swap.old_table)
        if end.stopped:
            return Outcome(Status.CANCELLED, f"{self.strategy} was stopped before the swap")
        if end.exit_code == 0:
            return Outcome(
                Status.FAILED,
                f"{self.strategy} ended with 0, but the table was not swapped: {swap.seen}",
            )
        return Outcome(Status.FAILED, self._failure(Phase.RUN, end))

    async def _find_swap(
        self, migration: Migration, tables: Sequence[str], workspace: Workspace
    ) -> Swap:
        async with self._pool.session() as session:
            return await self._tool.find_swap(
                session, migration.mysql_schema, migration.mysql_table, tables, workspace
            )

    async def _end_connections(self, account: Account, tables: Sequence[str]) -> None:
        if not account.password:
            return
        async with self._pool.session() as session:
            port = await self._port(session)
        settings = MySQLSettings(
            host=self._host(), port=port, user=account.user, password=account.password
        )
        await end_connections(settings, () if account.is_temporary else tables)

    async def _port(self, session: Session) -> int:
        """Where the tools reach the server over TCP; a socket's path does not say."""
        if not self._pool.settings.unix_socket:
            return self._pool.settings.port
        return int((await session.execute("SELECT @@global.port")).scalar())

    async def _finish(self, plan: RunPlan, record: RunRecord, account: Account | None) -> None:
        """Clean up; what that meets must not hide how the run ended.

        What could not be removed stays in the row, and `recover` removes it.
        """
        migration = plan.facts.migration
        try:
            await self._clean_up(migration, plan.tables, plan.workspace, account)
            await record.end()
        except TabletdError as error:
            _logger.warning("migration %s: cleaning up: %s", migration.migration_uuid, error)

    async def _clean_up(
        self,
        migration: Migration,
        tables: Sequence[str],
        workspace: Workspace,
        account: Account | None,
    ) -> None:
        """End connections; remove triggers, then tables, then the account, then the directory."""
        if account is not None:
            await self._end_connections(account, tables)
        async with cleaning_session(self._pool) as session:
            await self._tool.remove_leftovers(session, migration.mysql_schema, tables)
            if account is not None:
                await drop_account(session, account)
        await asyncio.to_thread(workspace.remove)

    # What an earlier daemon left

    def _left_account(self, migration: Migration, workspace: Workspace) -> Account | None:
        account = parse_account(migration.run_account)
        if account is None:
            return self._account() if self._settings.migration_user else None
        try:
            password = Path(workspace.directory / _PASSWORD_FILE).read_text(encoding="utf-8")
        except OSError:
            password = ""
        return replace(account, password=password)

    async def _settle_phase(self, workspace: Workspace, phase: Phase) -> PhaseEnd | None:
        """End the tool of a phase if it still runs; None when it was never started."""
        run = await attach(workspace.phase_directory(phase))
        if run is None:
            return None
        was_alive = run.is_alive()
        exit_code = await run.terminate(grace_seconds=self._settings.stop_grace_seconds)
        output = await asyncio.to_thread(read_log, run.log_file, run.log_offset)
        ended_by_us = was_alive or exit_code is None
        if exit_code is not None:
            ended_by_us = ended_by_us or self._tool.was_interrupted(exit_code, output)
        end = PhaseEnd(exit_code, output, ended_by_us)
        return replace(end, stopped=ended_by_us or self._met_read_only(end))

    async def _outcome_of_left_run(
        self, migration: Migration, workspace: Workspace, ends: Sequence[PhaseEnd | None]
    ) -> Outcome | None:
        dry_run, run = ends
        swap = await self._find_swap(migration, migration.artifacts, workspace)
        if run is not None:
            outcome = self._judge(run, swap)
        elif swap.done:
            # The directory is gone, but the server says that the run came to its end.
            return Outcome(Status.COMPLETE, "found after a restart", swap.old_table)
        elif dry_run is not None and dry_run.exit_code not in (0, None) and not dry_run.stopped:
            return Outcome(Status.FAILED, self._failure(Phase.DRY_RUN, dry_run))
        else:
            return None
        return None if outcome.status is Status.CANCELLED else outcome
