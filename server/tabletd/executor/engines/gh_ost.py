"""gh-ost: how it is called, what it says, what it leaves behind.

Observed with gh-ost 1.1.10 on MySQL 5.7.22.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Final

from tabletd.errors import NotWritable, Reason
from tabletd.executor import hooks
from tabletd.executor.engines import gh_ost_hang, gh_ost_status
from tabletd.executor.engines.base import CutOver, EtaState, Progress
from tabletd.executor.engines.gh_ost_settling import GhOstSettling
from tabletd.executor.engines.leftovers import SENTRY_COMMENT, drop_tables, existing_tables
from tabletd.executor.engines.plan import rename_sql
from tabletd.executor.engines.settings import EngineSettings
from tabletd.executor.engines.tool import RunPlan, Settling, Standstill, Start, Swap
from tabletd.executor.engines.tool_tls import as_gh_ost_verifies, gh_ost_options
from tabletd.executor.engines.workspace import Phase, Workspace
from tabletd.executor.flags import Flags
from tabletd.executor.migration import Strategy
from tabletd.executor.preflight import Check, server, table
from tabletd.executor.preflight.facts import Facts, ServerFacts, lock_instrument
from tabletd.executor.preflight.tool import (
    GH_OST_REQUIRED_FLAGS,
    ProgramInspector,
    gh_ost_program,
)
from tabletd.mysql.errors import MySQLError
from tabletd.mysql.pool import Pool
from tabletd.mysql.privileges import Feature, grants_of_tool
from tabletd.mysql.session import Session
from tabletd.mysql.tls import Tls
from tabletd.mysql.variables import is_read_only

_SOCKET: Final = "gh-ost.sock"
_CONF: Final = "gh-ost.cnf"
_LAST_WITHOUT_ATOMIC: Final = (8, 0, 12)
_SWITCH_INSTRUMENT_ON: Final = (
    "UPDATE performance_schema.setup_instruments SET ENABLED = 'YES', TIMED = 'YES' "
    "WHERE NAME = 'wait/lock/metadata/sql/mdl'"
)

_logger = logging.getLogger(__name__)
_MOVED_VALUE: Final = "gh-ost met a unique value that moved while it copied its rows"
_UNIQUE_KEY: Final = (
    "SELECT 1 FROM information_schema.statistics WHERE table_schema = %s AND table_name = %s"
    " AND index_name = %s AND index_name <> 'PRIMARY' AND non_unique = 0"
)


class GhOst:
    """Implements `Tool` for gh-ost."""

    CHECKS: ClassVar[tuple[Check, ...]] = (
        table.statement_is_alter,
        server.writable,
        server.gh_ost_server,
        server.not_galera_for_gh_ost,
        gh_ost_program,
        server.reachable_by_tcp,
        server.gh_ost_binary_log,
        server.no_replication_filters,
        server.gh_ost_grants,
        server.lock_instrument,
        table.is_base_table,
        table.gh_ost_names,
        table.gh_ost_key,
        table.no_triggers,
        table.gh_ost_foreign_keys,
        table.names_are_free,
        table.enough_disk,
    )

    def __init__(self, settings: EngineSettings) -> None:
        self.strategy = Strategy.GH_OST
        self.checks = self.CHECKS
        self._settings = settings
        self.inspector = ProgramInspector(settings.gh_ost_path, GH_OST_REQUIRED_FLAGS)

    def table_names(self, table: str, stem: str) -> tuple[str, ...]:
        return tuple(f"_{stem}_{suffix}" for suffix in ("gho", "ghc", "ghk"))

    def kept_old_table(self, table: str, stem: str) -> tuple[str, ...]:
        return (f"_{stem}_del",)

    async def prepare_server(self, pool: Pool, found: ServerFacts) -> ServerFacts:
        """Switch the metadata-lock instrument on where it is off and we may."""
        if found.has_lock_instrument is not False or found.server.is_mariadb:
            return found
        try:
            async with pool.session(writable=True) as session:
                await session.execute(_SWITCH_INSTRUMENT_ON)
                is_on = await lock_instrument(session, found.variables)
        except MySQLError as error:
            if error.reason is not Reason.MISSING_GRANT:
                raise
            return found
        except NotWritable:
            return found
        _logger.info("switched the metadata-lock instrument on: gh-ost's cut-over needs it")
        return replace(found, has_lock_instrument=is_on)

    def grants(self, facts: Facts) -> Sequence[str]:
        """Return what gh-ost checks for by the text of SHOW GRANTS."""
        found = grants_of_tool(
            Feature.GH_OST,
            facts.server,
            [facts.migration.mysql_schema],
            has_wildcards=not facts.is_on("partial_revokes"),
        )
        return tuple(
            grant.what
            for grant in found
            if grant.schema != "performance_schema" or facts.has_lock_instrument
        )

    def arguments(self, flags: Flags, given: Sequence[str]) -> tuple[str, ...]:
        zero = ("--allow-zero-in-date",) if flags.allow_zero_in_date else ()
        foreign = ("--skip-foreign-key-checks",) if flags.unsafe_allow_foreign_keys else ()
        return (*zero, *foreign, *given)

    def warnings(self, facts: Facts) -> str:
        warnings: list[str] = []
        unsafe = _unsafe_options(facts)
        if unsafe:
            options = " ".join(unsafe)
            warnings.append(f"allow_unsafe_cutover: run with {options}, writes may get lost")
        table = facts.table
        if table is not None and "--skip-foreign-key-checks" in facts.options:
            if table.foreign_keys:
                warnings.append(f"the foreign keys {', '.join(table.foreign_keys)} are dropped")
            if table.children:
                children = ", ".join(table.children)
                warnings.append(f"the foreign keys of {children} refer to the old table")
        return "; ".join(warnings)

    def tls(self, asked: Tls) -> Tls:
        return as_gh_ost_verifies(asked)

    def write_files(self, plan: RunPlan) -> None:
        account = plan.account
        plan.workspace.write_secret(
            _CONF, f"[client]\nuser=`{account.user}`\npassword=`{account.password}`\n"
        )
        hooks.write_gh_ost_hooks(plan.workspace.directory, plan.callback)

    def argv(self, plan: RunPlan, phase: Phase, start: Start) -> list[str]:
        directory = plan.workspace.directory
        throttle_url = plan.callback.throttle_url
        return [
            plan.facts.tool.path,
            f"--host={plan.host}",
            f"--port={plan.port}",
            f"--conf={directory / _CONF}",
            *gh_ost_options(plan.tls),
            f"--database={plan.schema}",
            f"--table={plan.table}",
            f"--alter={plan.facts.statement.alter_options}",
            f"--execute={'true' if phase is Phase.RUN else 'false'}",
            "--allow-on-master",
            # Never on to the source of a primary that replicates itself.
            f"--assume-master-host={plan.host}:{plan.port}",
            "--assume-rbr",
            # Without it the attempts to cut over are not told.
            "--verbose",
            "--panic-on-warnings",
            "--approve-renamed-columns",
            "--exact-rowcount",
            "--max-load=Threads_running=900",
            "--critical-load=Threads_running=1000",
            "--critical-load-hibernate-seconds=60",
            "--default-retries=120",
            f"--replica-server-id={_replica_server_id(plan)}",
            f"--force-table-names={_stem(plan.tables)}",
            # The working directory is the private one: a socket's path holds 107 bytes.
            f"--serve-socket-file={_SOCKET}",
            f"--throttle-additional-flag-file={directory / 'throttle'}",
            f"--panic-flag-file={directory / 'panic'}",
            f"--hooks-path={directory}",
            f"--hooks-hint={plan.facts.migration.migration_uuid}",
            f"--hooks-status-interval={self._settings.gh_ost_hooks_interval_seconds}",
            *([f"--throttle-http={throttle_url}"] if throttle_url else []),
            *_cut_over_options(plan, phase, start),
            *_unsafe_options(plan.facts),
            *plan.facts.arguments,
        ]

    async def ask(self, workspace: Workspace) -> str:
        return await gh_ost_status.ask(workspace.directory / _SOCKET, "sup")

    def progress(
        self, workspace: Workspace, log_text: str, answer: str, rows: int
    ) -> Progress | None:
        progress = gh_ost_status.parse_status(answer or log_text, self.strategy)
        if progress is None or progress.eta_state is not EtaState.DUE or workspace.is_held:
            return progress
        # A report may have met a full disk, and comes once only.
        report = hooks.read_reports(workspace.directory).get("before-cut-over")
        is_reported = report is not None and not report.dry_run
        if not is_reported and not self.cut_over_attempts(log_text):
            return progress
        return replace(progress, cut_over=CutOver.UNDER_WAY)

    async def hold(self, workspace: Workspace) -> None:
        """gh-ost makes the file itself, and looks for it only once it has been told of it."""
        command = f"postpone-cut-over-flag-file={workspace.hold_file}"
        await gh_ost_status.ask(workspace.directory / _SOCKET, command)

    async def release(self, workspace: Workspace) -> None:
        """Remove the file once gh-ost, which makes it at its start, does not make it again.

        It has done so when it answers, and when it reports of its copy, which comes later.
        """
        report = hooks.read_reports(workspace.directory).get("before-row-copy")
        is_reported = report is not None and not report.dry_run
        if is_reported or await self.ask(workspace):
            workspace.release()

    async def point_at(self, workspace: Workspace, callback: hooks.Callback) -> bool:
        socket_file, url = workspace.directory / _SOCKET, callback.throttle_url
        await gh_ost_status.ask(socket_file, f"throttle-http={url}")
        return (await gh_ost_status.ask(socket_file, "throttle-http=?")).strip() == url

    async def set_lock_wait(self, workspace: Workspace, seconds: int) -> None:
        """gh-ost takes it at its start only; a change is refused before it gets here."""

    def settling(self, pool: Pool, workspace: Workspace) -> Settling | None:
        return GhOstSettling(pool, workspace.directory / _SOCKET)

    def standstill(self, log_text: str, answer: str) -> Standstill | None:
        return gh_ost_hang.aborted(log_text) or gh_ost_hang.standstill(log_text, answer)

    def cut_over_attempts(self, output: str) -> int:
        return gh_ost_status.cut_over_attempts(output)

    def failure_cause(self, output: str) -> str:
        return gh_ost_status.failure_cause(output)

    async def false_alarm(self, session: Session, schema: str, table: str, output: str) -> str:
        """Between two of its events a unique value may have moved from row to row and on.

        What it copies then meets the row that it has of the moment between. Without
        --panic-on-warnings the events that follow would mend that. A key that the table does not
        have yet is no such case, nor is the one that the rows are copied by.
        """
        key, words = gh_ost_status.key_met_twice(output)
        found = await session.execute(_UNIQUE_KEY, (schema, table, key))
        return f"{_MOVED_VALUE} ({words})" if found.rows else ""

    def was_interrupted(self, exit_code: int, output: str) -> bool:
        return exit_code < 0

    def losses(self, output: str) -> str:
        """With --panic-on-warnings it ends instead of losing anything."""
        return ""

    async def find_swap(
        self, session: Session, schema: str, table: str, tables: Sequence[str], workspace: Workspace
    ) -> Swap:
        """The swap moves the shadow away and puts the original in the sentry's place.

        A swap in two steps that ended between them is undone: nobody finds the table then.
        """
        found = await existing_tables(session, schema, (table, *tables))
        seen = ", ".join(sorted(found)) or "none of its tables"
        kept = [
            name
            for name, comment in found.items()
            if name.endswith("_del") and comment != SENTRY_COMMENT
        ]
        has_shadow = any(name.endswith("_gho") for name in found)
        if kept and has_shadow and table not in found and not await is_read_only(session):
            await session.execute(rename_sql(schema, (kept[0], table)))
            seen += f", and put {kept[0]} back as {table}"
        if not kept or has_shadow:
            return Swap(False, seen=f"found {seen}")
        return Swap(True, kept[0], seen=f"found {seen}")

    async def remove_leftovers(self, session: Session, schema: str, tables: Sequence[str]) -> None:
        found = await existing_tables(session, schema, tables)
        gone = [
            name
            for name, comment in found.items()
            if name.endswith(("_gho", "_ghc", "_ghk"))
            or (name.endswith("_del") and comment == SENTRY_COMMENT)
        ]
        await drop_tables(session, schema, gone)


def _stem(tables: Sequence[str]) -> str:
    return tables[0].removeprefix("_").removesuffix("_gho")


def _cut_over_options(plan: RunPlan, phase: Phase, start: Start) -> list[str]:
    options: list[str] = []
    if start.is_held and phase is Phase.RUN:
        options.append(f"--postpone-cut-over-flag-file={plan.workspace.hold_file}")
    if start.lock_wait_seconds:
        options.append(f"--cut-over-lock-timeout-seconds={start.lock_wait_seconds}")
    return options


def _replica_server_id(plan: RunPlan) -> int:
    """Random, in the upper half, where no administrator numbers servers."""
    return int(plan.nonce[:8], 16) | 0x80000000


def _unsafe_options(facts: Facts) -> list[str]:
    """What the operator's allow_unsafe_cutover lets gh-ost do without, where it cannot be had."""
    if not facts.allows_unsafe_cutover:
        return []
    options: list[str] = []
    if not facts.has_lock_instrument and facts.tool.has_required_flags:
        options.append("--skip-metadata-lock-check")
    if (8, 0, 0) <= facts.server.version <= _LAST_WITHOUT_ATOMIC:
        options.append("--cut-over=two-step")
    return options
