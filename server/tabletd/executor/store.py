"""The SQL by which the executor changes `_vt.schema_migrations`; what it asks is in `reads`.

Every change of `migration_status` is one compare-and-set; all times are the server's; a status and
its message are written together. Sessions are strict: what does not fit is refused, only `message`
and `stage` are cut to what their columns hold.
"""

# ruff: noqa: S608  (SQL is put together from constants of this module; values are parameters)
from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from tabletd.access.caller import current_text as caller_text
from tabletd.errors import LostRace, Reason, TabletdError
from tabletd.executor.migration import join_artifacts
from tabletd.executor.reads import Reads
from tabletd.executor.states import COMMANDS, TERMINAL, Command, Status
from tabletd.executor.submit import Submission
from tabletd.lease import Fence
from tabletd.lease import write as fenced_write
from tabletd.mysql.errors import MySQLError
from tabletd.mysql.pool import Pool
from tabletd.mysql.quote import marks
from tabletd.mysql.result import ResultSet

_logger = logging.getLogger(__name__)
# 16383 characters of four bytes fill a TEXT column.
TEXT_CHARACTERS_MAX: Final = 16_383
# Why a compare-and-set changes nothing: somebody else was faster.
MOVED_ON: Final = frozenset(
    {Reason.LOST_RACE, Reason.ILLEGAL_TRANSITION, Reason.MIGRATION_NOT_FOUND}
)
# No such schema, column or table: somebody has altered what is ours.
NOT_AS_DECLARED: Final = frozenset({1049, 1054, 1146})
_DUPLICATE_KEY: Final = 1062
_ELLIPSIS: Final = " ..."

_INSERT: Final = """
    INSERT INTO _vt.schema_migrations (
        migration_uuid, keyspace, shard, mysql_schema, mysql_table, migration_statement, strategy,
        options, ddl_action, requested_timestamp, migration_context, migration_status, tablet,
        reviewed_timestamp, log_path, artifacts, message, stage, removed_unique_key_names,
        dropped_no_default_column_names, expanded_column_names, revertible_notes,
        removed_foreign_key_names, special_plan, component_throttled, reason_throttled,
        postpone_launch, postpone_completion, allow_concurrent, is_view, is_immediate_operation,
        retain_artifacts_seconds, cutover_threshold_seconds, reverted_uuid, requested_by
    ) SELECT
        %s, %s, %s, %s, %s, %s, %s, %s, %s, COALESCE(FROM_UNIXTIME(%s), NOW()), %s, 'queued', %s,
        NOW(), '', '', '', '', '', '', '', '', '', '', '', '', %s, %s, %s, %s, %s, %s, %s, %s,
        %s
    FROM DUAL WHERE 1 = 1"""

_NOT_STARTED: Final = (
    "ready_timestamp = NULL, started_timestamp = NULL, liveness_timestamp = NULL,"
    " completed_timestamp = NULL, cancelled_timestamp = NULL, progress = 0, eta_seconds = -1,"
    " rows_copied = 0, last_throttled_timestamp = NULL, component_throttled = '',"
    " reason_throttled = '', ready_to_complete = 0, ready_to_complete_timestamp = NULL,"
    " in_order_completion_pending_count = 0, user_throttle_ratio = 0, special_plan = ''"
)
_DONE: Final = (
    "started_timestamp = COALESCE(started_timestamp, NOW()), completed_timestamp = NOW(6),"
    " liveness_timestamp = NOW(), cancelled_timestamp = NULL, progress = 100, eta_seconds = 0,"
    " component_throttled = '', reason_throttled = '', in_order_completion_pending_count = 0"
)
# Of one that had not begun.
_NO_LONGER_WAITS: Final = (
    "IF(LOCATE(': waiting', stage) > 0, CONCAT(SUBSTRING_INDEX(stage, ':', 1),"
)
# What each command writes besides the status; {tablet} is this tablet.
_WRITES: Final[Mapping[Command, str]] = {
    Command.SCHEDULE: "ready_timestamp = NOW()",
    Command.CLAIM: "started_timestamp = NOW(), liveness_timestamp = NOW(), tablet = {tablet}",
    Command.COMPLETE: _DONE,
    Command.SETTLE: _DONE,
    Command.FAIL: (
        "completed_timestamp = NOW(6), eta_seconds = -1,"
        f" stage = {_NO_LONGER_WAITS} ': failed'), stage)"
    ),
    Command.CANCEL: (
        "cancelled_timestamp = NOW(), completed_timestamp = NOW(6), eta_seconds = -1,"
        " stage = IF(run_nonce <> '', CONCAT(run_engine, ': cancelled, cleaning up'),"
        f" {_NO_LONGER_WAITS} ': cancelled'), stage))"
    ),
    Command.REQUEUE: _NOT_STARTED,
    Command.RETRY: (
        "retries = retries + 1, tablet = {tablet}, tablet_failure = 0, cutover_attempts = 0,"
        " last_cutover_attempt_timestamp = NULL, shadow_analyzed_timestamp = NULL,"
        " cleanup_timestamp = NULL, " + _NOT_STARTED
    ),
}
_RUN_ENDED: Final = (
    "run_nonce = '', run_engine = '', run_directory = '', run_account = '', run_token_hash = '',"
    " artifacts = %s"
)


class Store(Reads):
    """The migrations of one tablet, in the server beside it.

    Args:
        pool: sessions that give Python values.
        tablet: this tablet's alias, written into rows that it claims.
        fence: keeps every write of a daemon that may not act from the rows; None: there is no
            other daemon.

    Attributes:
        on_write: called after each statement that changed rows.
        on_misfit: called when a statement finds the table not as it was declared.
    """

    def __init__(self, pool: Pool, *, tablet: str, fence: Fence | None = None) -> None:
        super().__init__(pool)
        self._fence = fence
        self._tablet = tablet
        self.on_write: Callable[[], None] = lambda: None
        self.on_misfit: Callable[[], None] = lambda: None

    async def insert(self, submission: Submission, *, shard: str) -> ResultSet:
        """Put a migration into the queue.

        Returns:
            1 row and its id, or 0 rows when the UUID is there already.
        """
        flags = submission.flags
        values = (
            submission.migration_uuid,
            submission.keyspace,
            shard,
            submission.mysql_schema,
            submission.mysql_table,
            submission.migration_statement,
            submission.strategy,
            submission.options,
            submission.ddl_action,
            submission.requested_unix_seconds,
            submission.migration_context,
            self._tablet,
            flags.postpone_launch,
            flags.postpone_completion,
            flags.allow_concurrent,
            submission.is_view,
            submission.is_immediate_operation,
            flags.retain_artifacts_seconds,
            flags.cut_over_threshold_seconds,
            submission.reverted_uuid,
            caller_text(),
        )
        try:
            return await self.write(_INSERT, *values)
        except MySQLError as error:
            if error.errno == _DUPLICATE_KEY:
                return ResultSet()
            raise

    async def transition(
        self,
        migration_uuid: str,
        command: Command,
        *,
        message: str | None = None,
        stage: str | None = None,
        run_nonce: str | None = None,
        end_run: tuple[str, ...] | None = None,
        tablet_failure: bool = False,
        running: bool = False,
    ) -> None:
        """Move a migration from a state that the command may start from to its target.

        Args:
            migration_uuid: which one.
            command: see `states.COMMANDS`.
            message: written with the status; None leaves what is there.
            stage: likewise.
            run_nonce: only while the row belongs to this run (empty: to no run); None: whatever.
            end_run: the tables that are left of a run which is cleaned up; clears the run_*
                columns in the same statement. None: nothing is cleaned up.
            tablet_failure: set the mark for one automatic retry.
            running: only if it is running, whatever else the command may start from.

        Raises:
            MigrationNotFound: there is none of that UUID.
            LostRace: the row belongs to another run.
            TabletdError: ILLEGAL_TRANSITION when the row is in another state.
        """
        assignments, values = self._assignments(command, message, stage, end_run, tablet_failure)
        sources = [Status.RUNNING] if running else sorted(COMMANDS[command].sources)
        where = f"migration_uuid = %s AND migration_status IN ({marks(sources)})"
        keys = [migration_uuid, *sources]
        if run_nonce is not None:
            where += " AND run_nonce = %s"
            keys.append(run_nonce)
        result = await self.write(
            f"UPDATE _vt.schema_migrations SET {assignments} WHERE {where}", *values, *keys
        )
        if result.rows_affected == 0:
            await self._explain(migration_uuid, command, sources, run_nonce)
        if command is Command.FAIL:
            _logger.warning("migration %s: failed: %s", migration_uuid, message or "")
        else:
            _logger.info("migration %s: %s", migration_uuid, COMMANDS[command].target)

    def _assignments(
        self,
        command: Command,
        message: str | None,
        stage: str | None,
        end_run: tuple[str, ...] | None,
        tablet_failure: bool,
    ) -> tuple[str, list[Any]]:
        """Return what a transition writes, and the values for its marks."""
        writes = _WRITES[command]
        assignments = ["migration_status = %s", writes.format(tablet="%s")]
        values: list[Any] = [COMMANDS[command].target]
        values += [self._tablet] * writes.count("{tablet}")
        if message is not None:
            assignments.append("message = %s, message_timestamp = NOW(6)")
            values.append(fit(message))
        if stage is not None:
            assignments.append("stage = %s")
            values.append(fit(stage))
        if end_run is not None:
            assignments.append(_RUN_ENDED)
            values.append(join_artifacts(end_run))
        if tablet_failure:
            assignments.append("tablet_failure = 1")
        if by := caller_text():
            assignments.append("changed_by = %s")
            values.append(by)
        return ", ".join(assignments), values

    async def end_run(
        self, migration_uuid: str, run_nonce: str, artifacts: tuple[str, ...]
    ) -> None:
        """Clear the run_* columns of a row that keeps its state; `artifacts` are left of it."""
        await self.write(
            "UPDATE _vt.schema_migrations SET"
            " stage = IF(migration_status = 'cancelled', CONCAT(run_engine, ': cancelled'), stage),"
            f" {_RUN_ENDED} WHERE migration_uuid = %s AND run_nonce = %s",
            join_artifacts(artifacts),
            migration_uuid,
            run_nonce,
        )

    async def update_run(
        self, migration_uuid: str, run_nonce: str, assignments: str, *values: Any, running: bool
    ) -> None:
        """Write facts of a run into its row.

        Args:
            migration_uuid: which one.
            run_nonce: of the run.
            assignments: SQL with a mark for each value.
            values: its values.
            running: only while the row is running; else nothing happens.

        Raises:
            LostRace: the row belongs to another run, or to none.
        """
        state = " AND migration_status = 'running'" if running else ""
        result = await self.write(
            f"UPDATE _vt.schema_migrations SET {assignments}"
            f" WHERE migration_uuid = %s AND run_nonce = %s{state}",
            *values,
            migration_uuid,
            run_nonce,
        )
        if result.rows_affected == 0:
            row = await self.read(migration_uuid)
            if row.run_nonce != run_nonce:
                raise LostRace(
                    f"migration {migration_uuid} no longer belongs to this run",
                    migration_uuid=migration_uuid,
                )

    async def begin_run(self, migration_uuid: str, values: Mapping[str, str]) -> None:
        """Write the run_* and log columns of a claimed migration that has no run yet.

        Raises:
            LostRace: it was moved on meanwhile, or has a run.
        """
        assignments = ", ".join(f"{column} = %s" for column in values)
        result = await self.write(
            f"UPDATE _vt.schema_migrations SET {assignments}, liveness_timestamp = NOW()"
            " WHERE migration_uuid = %s AND migration_status = 'running' AND run_nonce = ''",
            *values.values(),
            migration_uuid,
        )
        if result.rows_affected == 0:
            row = await self.read(migration_uuid)
            raise LostRace(
                f"migration {migration_uuid} is {row.status} and not to be run any more",
                migration_uuid=migration_uuid,
            )

    async def report(
        self,
        migration_uuid: str,
        *,
        progress: float | None,
        eta_seconds: int | None,
        rows_copied: int | None,
    ) -> None:
        """Write a sign of life of a running migration; None leaves a column as it is."""
        await self.write(
            "UPDATE _vt.schema_migrations SET liveness_timestamp = NOW(),"
            " progress = COALESCE(%s, progress), eta_seconds = COALESCE(%s, eta_seconds),"
            " rows_copied = COALESCE(%s, rows_copied)"
            " WHERE migration_uuid = %s AND migration_status = 'running'",
            progress,
            eta_seconds,
            rows_copied,
            migration_uuid,
        )

    async def set_artifacts(self, migration_id: int, artifacts: tuple[str, ...]) -> None:
        """Replace the artifacts of a finished migration.

        Raises:
            LostRace: it is not finished any more.
        """
        result = await self.write(
            "UPDATE _vt.schema_migrations SET artifacts = %s"
            f" WHERE id = %s AND migration_status IN ({marks(TERMINAL)})",
            join_artifacts(artifacts),
            migration_id,
            *sorted(TERMINAL),
        )
        if result.rows_affected == 0:
            row = await self.by_id(migration_id)
            if row is None or row.status not in TERMINAL:
                raise LostRace(f"the migration with id {migration_id} is to run again")

    async def set_cleaned(self, migration_ids: Collection[int]) -> None:
        """Say of finished migrations that their artifacts have been collected."""
        if migration_ids:
            await self.write(
                f"UPDATE _vt.schema_migrations SET cleanup_timestamp = NOW() WHERE id IN"
                f" ({marks(migration_ids)}) AND migration_status IN ({marks(TERMINAL)})",
                *migration_ids,
                *sorted(TERMINAL),
            )

    async def write(self, sql: str, *values: Any) -> ResultSet:
        """Run a statement that ends in a WHERE and writes, if this daemon may act for the server.

        Raises:
            NotWritable: the server is read-only.
            LeaseNotHeld: the daemon may not act for it.
        """
        try:
            async with self._pool.session(writable=True) as session:
                result = await fenced_write(session, sql, values, self._fence)
        except MySQLError as error:
            if error.errno in NOT_AS_DECLARED:
                self.on_misfit()
            raise
        if result.rows_affected:
            self.on_write()
        return result

    async def _explain(
        self,
        migration_uuid: str,
        command: Command,
        sources: Collection[Status],
        run_nonce: str | None,
    ) -> None:
        """Raise why a compare-and-set changed nothing."""
        row = await self.read(migration_uuid)
        if row.status not in sources:
            raise TabletdError(
                Reason.ILLEGAL_TRANSITION,
                f"migration {migration_uuid} is {row.status}: {command} does not apply",
                migration_uuid=migration_uuid,
                migration_status=row.status,
            )
        if run_nonce is not None and row.run_nonce != run_nonce:
            raise LostRace(
                f"migration {migration_uuid} belongs to another run", migration_uuid=migration_uuid
            )
        raise LostRace(
            f"migration {migration_uuid} was changed by somebody else",
            migration_uuid=migration_uuid,
        )


def fit(text: str) -> str:
    """Cut a text to what a TEXT column holds, and replace what is not Unicode."""
    clean = text.encode("utf-8", "replace").decode("utf-8")
    if len(clean) <= TEXT_CHARACTERS_MAX:
        return clean
    return clean[: TEXT_CHARACTERS_MAX - len(_ELLIPSIS)] + _ELLIPSIS
