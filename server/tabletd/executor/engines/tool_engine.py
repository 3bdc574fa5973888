"""Runs a migration by a third-party tool: one order of things for all tools.

Validate; write down what will be made; make the private directory and the account; dry run; run;
look on the server how it ended; remove triggers, tables, account and directory. Whatever ends a
run, the same removal follows, and what could not be removed stays in the row for `recover`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

from tabletd.errors import (
    LeaseNotHeld,
    LostRace,
    MySQLUnavailable,
    NotWritable,
    Reason,
    TabletdError,
)
from tabletd.executor import hooks
from tabletd.executor.accounts import Account, create_account, drop_account, end_connections
from tabletd.executor.engines import adoption
from tabletd.executor.engines.base import Adopted, Outcome, RunControls, RunRecord, notes
from tabletd.executor.engines.completion import Completion
from tabletd.executor.engines.leftovers import cleaning_session
from tabletd.executor.engines.probing import Probe
from tabletd.executor.engines.proof import proof_of
from tabletd.executor.engines.run_end import PhaseEnd, RunEnds
from tabletd.executor.engines.run_planner import PASSWORD_FILE, RunPlanner
from tabletd.executor.engines.settings import DOUBT_PAUSE_SECONDS, EngineSettings
from tabletd.executor.engines.supervision import Supervision, hang_words
from tabletd.executor.engines.swap_lock import SwapLock
from tabletd.executor.engines.tool import RunPlan, Standstill, Swap, Tool
from tabletd.executor.engines.workspace import (
    Phase,
    Workspace,
    count_runs_that_say,
    find_neighbour,
    find_workspace,
    read_log,
)
from tabletd.executor.flags import split_options
from tabletd.executor.migration import Migration, Strategy
from tabletd.executor.preflight.facts import Facts
from tabletd.executor.states import Status
from tabletd.executor.verify import drop_scratch
from tabletd.mysql.pool import Pool
from tabletd.processes.runner import LaunchSpec, Run, attach, has_begun, launch
from tabletd.telemetry.tracing import span

_RUNS_MAX: Final = 3
_RUNS_MAX_WORDS: Final = "for the third time: look for what makes it, and retry"

_logger = logging.getLogger(__name__)


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
        self._planner = RunPlanner(tool, pool=pool, settings=settings)
        self._ends = RunEnds(tool)

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
            plan = await self._planner.plan(migration)
            await Probe(self._pool, migration, plan.facts, self._settings).run(record, stop)
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
            with plan.workspace.being_written():
                await asyncio.to_thread(self._write_files, plan)
            await self._make_account(plan)
            with plan.workspace.being_written():
                await asyncio.to_thread(adoption.store_plan, plan)
        except TabletdError as error:
            # Who may not make accounts may not drop them either, and has none to drop.
            account = None if error.reason is Reason.MISSING_GRANT else plan.account
            await self._finish(plan, record, account)
            raise
        return await self._go_on(plan, record, stop, controls)

    async def adopt(self, migration: Migration, record: RunRecord) -> Adopted | None:
        workspace = find_workspace(self._settings, migration)
        stored = await adoption.find_unended(workspace, migration.run_nonce)
        callback = hooks.read_callback(workspace.directory, self.strategy)
        if stored is None or callback is None or not _may_go_on(migration):
            return None
        if callback.url != self._settings.callback_url():
            callback = replace(callback, url=self._settings.callback_url())
            await asyncio.to_thread(workspace.move_callback, callback)
        plan = await self._planner.plan_again(migration, workspace, stored, callback)
        return partial(self._go_on, plan, record)

    async def _go_on(
        self, plan: RunPlan, record: RunRecord, stop: asyncio.Event, controls: RunControls
    ) -> Outcome:
        """Carry out what is left of a run, and clean up."""
        try:
            outcome = await self._carry_out(plan, record, stop, controls)
        except MySQLUnavailable:
            # How it ended is to be found out later: nothing that would tell may go.
            raise
        except TabletdError:
            await self._finish(plan, record, plan.account)
            raise
        await self._finish(plan, record, plan.account)
        return outcome

    async def inspect(self, migration: Migration) -> tuple[Facts, Sequence[TabletdError]]:
        """Look at what a run would meet, and change nothing; returns all that would refuse it."""
        return await self._planner.inspect(migration)

    async def recover(self, migration: Migration, record: RunRecord) -> Outcome | None:
        workspace = find_workspace(self._settings, migration)
        account = self._planner.left_account(migration, workspace)
        nonce = migration.run_nonce
        ends = [await self._settle_phase(workspace, phase, nonce) for phase in Phase]
        neighbour = find_neighbour(self._settings, migration)
        if neighbour is not None:
            for phase in Phase:
                await self._settle_phase(neighbour, phase, nonce)
        if account is not None:
            await self._end_connections(account, migration.artifacts)
        outcome = await self._outcome_of_left_run(migration, workspace, ends)
        await self._clean_up(migration, migration.artifacts, workspace, account)
        if outcome is not None and outcome.old_table:
            await record.add_artifacts(outcome.old_table)
        await record.end()
        return outcome

    # The run

    async def _carry_out(
        self,
        plan: RunPlan,
        record: RunRecord,
        stop: asyncio.Event,
        controls: RunControls,
    ) -> Outcome:
        lock = SwapLock(self._pool, plan, controls)
        proof = proof_of(self._tool, self._pool, plan, self._settings)
        completion = Completion(self._tool, plan.workspace, record, controls, lock, proof)
        supervision = Supervision(
            self._tool, plan, self._settings, record, stop, controls, completion, lock
        )
        with span("migration.dry_run", migration_uuid=plan.facts.migration.migration_uuid):
            end = await self._run_phase(plan, Phase.DRY_RUN, record, supervision)
        if end.stopped:
            return Outcome(Status.CANCELLED, f"{self.strategy} was stopped before the run")
        if end.exit_code != 0:
            if self._ends.met_read_only(end):
                raise NotWritable()
            return Outcome(Status.FAILED, self._ends.failure(Phase.DRY_RUN, end))
        with span("migration.run", migration_uuid=plan.facts.migration.migration_uuid):
            end = await self._run_phase(plan, Phase.RUN, record, supervision)
        with _to_be_asked_later():
            if end.exit_code != 0:
                await self._end_connections(plan.account, plan.tables)
            swap = await self._find_swap(plan.facts.migration, plan.tables, plan.workspace)
            await completion.count(end.output)
            outcome = self._ends.outcome(end, swap, completion.difference)
            if outcome.old_table and outcome.old_table not in plan.tables:
                await record.add_artifacts(outcome.old_table)
        hang = supervision.hang
        if not swap.done and (hang or not end.stopped) and self._ends.met_read_only(end):
            raise NotWritable()
        if hang and not swap.done:
            return await self._after_hang(plan, hang)
        if outcome.status is Status.FAILED and not swap.done:
            alarm = await self._false_alarm(plan, end)
            if alarm:
                return await self._start_again(plan, alarm, alarm.partition(" (")[0])
        said = [lock.trouble]
        if outcome.status is Status.COMPLETE:
            said = [lock.ended, completion.unproven, self._tool.warnings(plan.facts)]
        return replace(outcome, message=notes(outcome.message, *said))

    def _write_files(self, plan: RunPlan) -> None:
        plan.workspace.create()
        plan.workspace.write_secret(PASSWORD_FILE, plan.account.password)
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
        directory = plan.workspace.phase_directory(phase)
        run: Run | None
        if has_begun(directory):
            supervision.take_over(phase)
            run = await attach(directory, plan.nonce)
        else:
            run = await self._launch(plan, phase, record, supervision)
        if run is None:
            return PhaseEnd(None, "", stopped=True)
        stopped = await supervision.follow(run, phase)
        output = await asyncio.to_thread(read_log, run.log_file, run.log_offset)
        return PhaseEnd(run.exit_status(), output, stopped)

    async def _launch(
        self, plan: RunPlan, phase: Phase, record: RunRecord, supervision: Supervision
    ) -> Run | None:
        """Start the tool; None when it is not wanted any more."""
        if supervision.is_to_end:
            return None
        try:
            await record.stage(f"{self.strategy}: {phase.words}", self._tool.warnings(plan.facts))
        except LostRace:
            return None
        with plan.workspace.being_written():
            start = await supervision.begin(phase)
        argv = self._tool.argv(plan, phase, start)
        heading = f"{phase.words}: {argv[0]}, as {plan.account}"
        await asyncio.to_thread(plan.workspace.write_heading, heading)
        await self._settings.confirm_lease()
        return await launch(
            LaunchSpec(
                directory=plan.workspace.phase_directory(phase),
                argv=argv,
                nonce=plan.nonce,
                log_file=plan.workspace.log_file,
                home=plan.workspace.directory,
            )
        )

    # The end

    async def _after_hang(self, plan: RunPlan, still: Standstill) -> Outcome:
        hang = f"{hang_words(self.strategy)} {still.words}; it was ended"
        if still.failure:
            await asyncio.to_thread(plan.workspace.write_heading, hang)
            return Outcome(Status.FAILED, f"{still.failure} ({hang})")
        return await self._start_again(plan, hang, hang_words(self.strategy))

    async def _false_alarm(self, plan: RunPlan, end: PhaseEnd) -> str:
        async with self._pool.session() as session:
            return await self._tool.false_alarm(session, plan.schema, plan.table, end.output)

    async def _start_again(self, plan: RunPlan, why: str, kind: str) -> Outcome:
        """Say what follows: each new run copies all rows again, so there are not many of them.

        Args:
            plan: of the run.
            why: it came to nothing.
            kind: the beginning of `why`, which the runs are counted by.
        """
        migration = plan.facts.migration
        await asyncio.to_thread(plan.workspace.write_heading, why)
        runs = await asyncio.to_thread(
            count_runs_that_say, self._settings, migration.migration_uuid, kind
        )
        # Who retries a migration allows it as many again.
        if runs < _RUNS_MAX * (migration.retries + 1):
            return Outcome(Status.QUEUED, f"{why}, and the migration starts again")
        return Outcome(Status.FAILED, f"{why}, {_RUNS_MAX_WORDS}")

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
        await self._settings.confirm_lease()
        settings = replace(
            await self._planner.tools_login(), user=account.user, password=account.password
        )
        await end_connections(settings, () if account.is_temporary else tables)

    async def _finish(self, plan: RunPlan, record: RunRecord, account: Account | None) -> None:
        """Clean up; what that meets must not hide how the run ended.

        What could not be removed stays in the row, and `recover` removes it.
        """
        migration = plan.facts.migration
        while True:
            try:
                await self._clean_up(migration, plan.tables, plan.workspace, account)
                await record.end()
                return
            except TabletdError as error:
                _logger.warning("migration %s: cleaning up: %s", migration.migration_uuid, error)
                # With the whole of `_vt` taken away no row names the run any more.
                if not (isinstance(error, LeaseNotHeld) and error.is_in_doubt):
                    return
            await asyncio.sleep(DOUBT_PAUSE_SECONDS)

    async def _clean_up(
        self,
        migration: Migration,
        tables: Sequence[str],
        workspace: Workspace,
        account: Account | None,
    ) -> None:
        """End connections; remove triggers, then tables, then the account, then the directory."""
        await self._settings.confirm_lease()
        if account is not None:
            await self._end_connections(account, tables)
        async with cleaning_session(self._pool) as session:
            await self._tool.remove_leftovers(session, migration.mysql_schema, tables)
            await drop_scratch(session, migration.mysql_schema, migration.id)
            if account is not None:
                await drop_account(session, account)
        await self._settings.confirm_lease()
        await asyncio.to_thread(workspace.remove)

    # What an earlier daemon left

    async def _settle_phase(
        self, workspace: Workspace, phase: Phase, nonce: str
    ) -> PhaseEnd | None:
        """End the tool of a phase if it still runs; None when it was never started."""
        run = await attach(workspace.phase_directory(phase), nonce)
        if run is None:
            return None
        was_alive = run.is_alive()
        await self._settings.confirm_lease()
        exit_code = await run.terminate(grace_seconds=self._settings.stop_grace_seconds)
        output = await asyncio.to_thread(read_log, run.log_file, run.log_offset)
        ended_by_us = was_alive or exit_code is None
        if exit_code is not None:
            ended_by_us = ended_by_us or self._tool.was_interrupted(exit_code, output)
        end = PhaseEnd(exit_code, output, ended_by_us)
        return replace(end, stopped=ended_by_us or self._ends.met_read_only(end))

    async def _outcome_of_left_run(
        self, migration: Migration, workspace: Workspace, ends: Sequence[PhaseEnd | None]
    ) -> Outcome | None:
        dry_run, run = ends
        swap = await self._find_swap(migration, migration.artifacts, workspace)
        if run is not None:
            outcome = self._ends.outcome(run, swap)
        elif swap.done:
            # The directory is gone, but the server says that the run came to its end.
            return Outcome(Status.COMPLETE, "found after a restart", swap.old_table)
        elif dry_run is not None and dry_run.exit_code not in (0, None) and not dry_run.stopped:
            return Outcome(Status.FAILED, self._ends.failure(Phase.DRY_RUN, dry_run))
        else:
            return None
        return None if outcome.status is Status.CANCELLED else outcome


@contextmanager
def _to_be_asked_later() -> Generator[None]:
    """Take a server that cannot say how a run ended, or note it, for one that is away.

    A full disk or a lack of memory is no end of the run.

    Raises:
        MySQLUnavailable: it is to be asked again.
    """
    try:
        yield
    except (LeaseNotHeld, LostRace, MySQLUnavailable, NotWritable):
        raise
    except TabletdError as error:
        raise MySQLUnavailable(f"how the run ended cannot be told yet: {error}") from error


def _may_go_on(migration: Migration) -> bool:
    """Tell whether a run's options would be taken today: an upgrade may have come since."""
    try:
        split_options(migration.strategy, migration.options)
    except TabletdError as error:
        _logger.warning("migration %s: its tool is ended: %s", migration.migration_uuid, error)
        return False
    return True
