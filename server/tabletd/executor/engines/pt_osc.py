"""pt-online-schema-change: how it is called, what it says, what it leaves behind.

Observed with 3.2.1 on MariaDB 10.11 and MySQL 5.7.22.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Final

from tabletd.executor import hooks
from tabletd.executor.engines import pt_osc_output
from tabletd.executor.engines.base import CutOver, EtaState, Progress
from tabletd.executor.engines.leftovers import (
    drop_tables,
    drop_triggers,
    existing_tables,
    owned_triggers,
)
from tabletd.executor.engines.settings import EngineSettings
from tabletd.executor.engines.tool import RunPlan, Settling, Standstill, Start, Swap
from tabletd.executor.engines.tool_tls import pt_osc_options
from tabletd.executor.engines.workspace import Phase, Workspace
from tabletd.executor.flags import Flags
from tabletd.executor.migration import Strategy
from tabletd.executor.preflight import Check, server, table
from tabletd.executor.preflight.facts import Facts, ServerFacts
from tabletd.executor.preflight.tool import ProgramInspector, pt_osc_program
from tabletd.mysql.pool import Pool
from tabletd.mysql.privileges import Feature, grants_of_tool
from tabletd.mysql.session import Session
from tabletd.mysql.tls import Tls

_DEFAULTS_FILE: Final = "pt-osc.cnf"
_NAME_LENGTH_MAX: Final = 64
_OLD_NAMES_TRIED: Final = 10
_INTERRUPTED: Final = "# Exiting on SIG"
# A trigger or a swap that waits for the table's lock makes all writers wait behind it: a few
# seconds each, and many attempts.
_SESSION_VARIABLES: Final = "lock_wait_timeout=3,wait_timeout=86400"
_REFUSES_ZERO_IN_DATE: Final = frozenset({"NO_ZERO_DATE", "NO_ZERO_IN_DATE", "TRADITIONAL"})
_FOREIGN_KEYS_METHOD: Final = "--alter-foreign-keys-method="
# How often each step is tried, and the seconds between two tries. A transaction that waits for a
# row's lock, 50 s as servers come, may let each try to copy its rows end in a deadlock at once.
TRIES: Final[Mapping[str, tuple[int, float]]] = {
    "create_triggers": (60, 1),
    "drop_triggers": (60, 1),
    "swap_tables": (60, 1),
    "copy_rows": (300, 0.5),
}


class PtOsc:
    """Implements `Tool` for pt-online-schema-change."""

    CHECKS: ClassVar[tuple[Check, ...]] = (
        table.statement_is_alter,
        server.writable,
        server.pt_osc_server,
        server.galera_for_pt_osc,
        pt_osc_program,
        server.reachable_by_tcp,
        server.no_replication_filters,
        server.trigger_creators,
        table.is_base_table,
        table.pt_osc_names,
        table.pt_osc_defaults,
        table.pt_osc_key,
        table.no_triggers,
        table.pt_osc_foreign_keys,
        table.names_are_free,
        table.enough_disk,
    )

    def __init__(self, settings: EngineSettings) -> None:
        self.strategy = Strategy.PT_OSC
        self.checks = self.CHECKS
        self.inspector = ProgramInspector(settings.pt_osc_path)

    def table_names(self, table: str, stem: str) -> tuple[str, ...]:
        return (f"_{stem}_new",)

    def kept_old_table(self, table: str, stem: str) -> tuple[str, ...]:
        """The tool puts underscores in front until the name is free."""
        return tuple(
            dict.fromkeys(
                f"{'_' * count}{table}_old"[:_NAME_LENGTH_MAX]
                for count in range(1, _OLD_NAMES_TRIED + 1)
            )
        )

    async def prepare_server(self, pool: Pool, found: ServerFacts) -> ServerFacts:
        return found

    def grants(self, facts: Facts) -> Sequence[str]:
        found = grants_of_tool(
            Feature.PT_OSC,
            facts.server,
            [facts.migration.mysql_schema],
            has_wildcards=not facts.is_on("partial_revokes"),
        )
        return tuple(grant.what for grant in found)

    def arguments(self, flags: Flags, given: Sequence[str]) -> tuple[str, ...]:
        """With foreign keys allowed, those of other tables are rebuilt: no way leaves no gap."""
        has_method = any(argument.startswith(_FOREIGN_KEYS_METHOD) for argument in given)
        if has_method or not flags.unsafe_allow_foreign_keys:
            return tuple(given)
        return (f"{_FOREIGN_KEYS_METHOD}rebuild_constraints", *given)

    def warnings(self, facts: Facts) -> str:
        return ""

    def tls(self, asked: Tls) -> Tls:
        return asked

    def write_files(self, plan: RunPlan) -> None:
        account = plan.account
        options = (
            ("user", account.user),
            ("password", account.password),
            *pt_osc_options(plan.tls),
        )
        lines = (f'{name}="{_quotable(value)}"' for name, value in options)
        plan.workspace.write_secret(_DEFAULTS_FILE, "\n".join(("[client]", *lines, "")))
        hooks.write_pt_osc_plugin(plan.workspace.directory, plan.callback)

    def argv(self, plan: RunPlan, phase: Phase, start: Start) -> list[str]:
        server_dsn = f"F={plan.workspace.directory / _DEFAULTS_FILE},h={plan.host},P={plan.port}"
        real_run = ["--execute", "--no-drop-new-table", "--no-drop-old-table"]
        # The plugin answers for the throttler; the tool asks it once for each server that it is
        # told to watch, so it is told to watch this very one.
        throttle = ["--check-slave-lag", server_dsn] if plan.callback.throttle_url else []
        return [
            plan.facts.tool.path,
            *(real_run if phase is Phase.RUN else ["--dry-run"]),
            "--alter",
            plan.facts.statement.alter_options,
            "--new-table-name",
            plan.tables[0],
            "--plugin",
            str(plan.workspace.directory / "pt_osc_plugin.pm"),
            "--charset",
            "utf8mb4",
            "--no-version-check",
            "--recursion-method",
            "none",
            *throttle,
            "--check-interval",
            "1",
            "--progress",
            "time,1",
            "--max-load",
            "Threads_running=200",
            "--critical-load",
            "Threads_running=1000",
            "--set-vars",
            _session_variables(plan.facts),
            "--tries",
            ",".join(f"{step}:{tries}:{pause:g}" for step, (tries, pause) in TRIES.items()),
            *plan.facts.arguments,
            f"{server_dsn},D={_dsn_value(plan.schema)},t={_dsn_value(plan.table)}",
        ]

    async def ask(self, workspace: Workspace) -> str:
        """It answers nobody; its plugin reports by itself."""
        return ""

    def progress(
        self, workspace: Workspace, log_text: str, answer: str, rows: int
    ) -> Progress | None:
        progress = pt_osc_output.parse_progress(log_text, self.strategy, rows)
        said = hooks.read_reports(workspace.directory)
        reports = {event: report for event, report in said.items() if not report.dry_run}
        at_swap = reports.get("before_swap_tables") or reports.get("holding")
        if at_swap is not None:
            # That it goes on, a full disk may have kept it from saying.
            is_held = at_swap.event == "holding" and workspace.is_held
            return self._at_the_swap(at_swap, rows, is_held=is_held)
        copying = reports.get("copying")
        if copying is None:
            return progress
        progress = progress or Progress(stage=f"{self.strategy}: copying rows", rows_estimated=rows)
        if copying.throttle_reason:
            return replace(
                progress,
                stage=f"{self.strategy}: throttled",
                rows_copied=copying.rows_copied,
                throttle_reason=copying.throttle_reason,
            )
        return replace(progress, rows_copied=copying.rows_copied)

    def _at_the_swap(self, report: hooks.Report, rows: int, *, is_held: bool) -> Progress:
        return Progress(
            stage=f"{self.strategy}: {'ready to swap' if is_held else 'swapping'} the tables",
            rows_copied=report.rows_copied,
            rows_estimated=rows,
            percent=100.0,
            eta_seconds=0,
            eta_state=EtaState.DUE,
            cut_over=CutOver.HELD if is_held else CutOver.UNDER_WAY,
        )

    async def hold(self, workspace: Workspace) -> None:
        workspace.hold()

    async def release(self, workspace: Workspace) -> None:
        workspace.release()

    async def point_at(self, workspace: Workspace, callback: hooks.Callback) -> bool:
        """The plugin reads the address anew before each question."""
        return True

    async def set_lock_wait(self, workspace: Workspace, seconds: int) -> None:
        """Taken by the plugin when it is about to swap."""
        hooks.write_swap(workspace.directory, seconds)

    def settling(self, pool: Pool, workspace: Workspace) -> Settling | None:
        """Its triggers work inside the writers' transactions."""
        return None

    def standstill(self, log_text: str, answer: str) -> Standstill | None:
        return None

    def cut_over_attempts(self, output: str) -> int:
        return pt_osc_output.cut_over_attempts(output)

    def failure_cause(self, output: str) -> str:
        return pt_osc_output.failure_cause(output)

    async def false_alarm(self, session: Session, schema: str, table: str, output: str) -> str:
        return ""

    def was_interrupted(self, exit_code: int, output: str) -> bool:
        return exit_code < 0 or _INTERRUPTED in output

    def losses(self, output: str) -> str:
        return pt_osc_output.losses(output)

    async def find_swap(
        self, session: Session, schema: str, table: str, tables: Sequence[str], workspace: Workspace
    ) -> Swap:
        """The swap takes the new table's name away and gives the old table one.

        Which one, the plugin says; without its report the triggers do, which stay on the old
        table, or else the name that was free when the run began.
        """
        new_tables = [name for name in tables if name.endswith("_new")]
        if not new_tables:
            return Swap(False, seen="the run had not begun")
        new_table = new_tables[-1]
        reported = hooks.read_reports(workspace.directory).get("after_swap_tables")
        candidates = [reported.old_table] if reported and reported.old_table else []
        triggers = await owned_triggers(session, schema, new_table)
        candidates += [
            trigger.table for trigger in triggers if trigger.table.lower() != table.lower()
        ]
        candidates += [name for name in tables if name not in new_tables]
        found = await existing_tables(session, schema, (new_table, table, *candidates))
        seen = f"found {', '.join(sorted(found)) or 'none of its tables'}"
        kept = [name for name in candidates if name in found]
        if new_table in found or not kept:
            return Swap(False, seen=seen)
        return Swap(True, kept[0], seen=seen)

    async def remove_leftovers(self, session: Session, schema: str, tables: Sequence[str]) -> None:
        """Triggers first: with the new table gone each write of the original would fail."""
        for new_table in (name for name in tables if name.endswith("_new")):
            triggers = await owned_triggers(session, schema, new_table)
            await drop_triggers(session, schema, triggers)
            await drop_tables(session, schema, [new_table])


def _session_variables(facts: Facts) -> str:
    if not facts.migration.flags.allow_zero_in_date:
        return _SESSION_VARIABLES
    modes = facts.variables.get("sql_mode", "").split(",")
    kept = ",".join(mode for mode in modes if mode not in _REFUSES_ZERO_IN_DATE)
    # As hexadecimal digits: the tool takes each comma for the end of a value.
    value = f"0x{kept.encode().hex()}" if kept else "''"
    return f"{_SESSION_VARIABLES},sql_mode={value}"


def _dsn_value(name: str) -> str:
    return name.replace(",", "\\,")


def _quotable(text: str) -> str:
    """Escape a value for an option file, where it stands in double quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
