"""Rows of `_vt.schema_migrations`: which columns are read, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tabletd.errors import TabletdError
from tabletd.executor.flags import Flags, flags_of
from tabletd.executor.migration import Migration, split_artifacts
from tabletd.executor.scheduler import Candidate
from tabletd.executor.states import Status
from tabletd.executor.strategy import strategy_by_name
from tabletd.executor.submit import Submission
from tabletd.mysql.result import ResultSet

MIGRATION_COLUMNS: Final = (
    "id, migration_uuid, keyspace, shard, mysql_schema, mysql_table, migration_statement, strategy,"
    " options, ddl_action, migration_status, migration_context, retries, tablet, tablet_failure,"
    " artifacts, log_path, log_file, message, stage, progress, rows_copied, table_rows,"
    " eta_seconds, retain_artifacts_seconds, run_nonce, run_engine, run_directory, run_account,"
    " run_token_hash, requested_timestamp, added_timestamp, ready_timestamp, started_timestamp,"
    " liveness_timestamp, completed_timestamp, cancelled_timestamp, ready_to_complete_timestamp,"
    " postpone_launch, postpone_completion, allow_concurrent, is_view, is_immediate_operation,"
    " ready_to_complete, force_cutover, cutover_threshold_seconds, reverted_uuid, special_plan"
)
_BOOLEANS: Final = (
    "tablet_failure",
    "postpone_launch",
    "postpone_completion",
    "allow_concurrent",
    "is_view",
    "is_immediate_operation",
    "ready_to_complete",
    "force_cutover",
)
CANDIDATE_COLUMNS: Final = (
    "id, migration_uuid, migration_status, mysql_schema, mysql_table, run_nonce, tablet, strategy,"
    " options, migration_context, postpone_launch, postpone_completion, allow_concurrent,"
    " is_immediate_operation, ready_to_complete,"
    " ready_to_complete_timestamp IS NOT NULL AS was_ready, force_cutover,"
    " cutover_threshold_seconds, in_order_completion_pending_count, reverted_uuid, stage, message,"
    " TIMESTAMPDIFF(SECOND,"
    " COALESCE(liveness_timestamp, started_timestamp, added_timestamp), NOW()) AS quiet_seconds"
)


def to_candidates(result: ResultSet) -> tuple[Candidate, ...]:
    """Return the rows of a query for `CANDIDATE_COLUMNS`."""
    return tuple(_to_candidate(row) for row in result.dicts())


def new_candidate(
    submission: Submission, *, tablet: str, pending: Sequence[Candidate]
) -> Candidate:
    """Return what a submission would be to the scheduler, behind all that are pending."""
    flags = submission.flags
    return Candidate(
        id=max((row.id for row in pending), default=0) + 1,
        migration_uuid=submission.migration_uuid,
        status=Status.QUEUED,
        table=(submission.mysql_schema, submission.mysql_table),
        tablet=tablet,
        migration_context=submission.migration_context,
        postpone_launch=flags.postpone_launch,
        postpone_completion=flags.postpone_completion,
        allow_concurrent=flags.allow_concurrent,
        in_order_completion=flags.in_order_completion,
        singleton_context=flags.singleton_context,
        is_immediate_operation=submission.is_immediate_operation,
        is_revert=bool(submission.reverted_uuid),
        strategy=submission.strategy,
        postponed_by_flag=flags.postpone_completion,
    )


def to_migration(row: dict[str, Any]) -> Migration:
    """Return a row of a query for `MIGRATION_COLUMNS`.

    Raises:
        TabletdError: INVALID_REQUEST or MIGRATION_REJECTED for a strategy that is not ours.
    """
    facts = dict(row)
    facts["status"] = Status(facts.pop("migration_status"))
    facts["strategy"] = strategy_by_name(facts["strategy"])
    facts["artifacts"] = split_artifacts(facts["artifacts"])
    facts |= {column: bool(facts[column]) for column in _BOOLEANS}
    return Migration(**facts)


def _to_candidate(row: dict[str, Any]) -> Candidate:
    flags = _flags(row)
    return Candidate(
        id=row["id"],
        migration_uuid=row["migration_uuid"],
        status=Status(row["migration_status"]),
        table=(row["mysql_schema"], row["mysql_table"]),
        run_nonce=row["run_nonce"],
        tablet=row["tablet"],
        quiet_seconds=row["quiet_seconds"],
        migration_context=row["migration_context"],
        postpone_launch=bool(row["postpone_launch"]),
        postpone_completion=bool(row["postpone_completion"]),
        allow_concurrent=bool(row["allow_concurrent"]),
        in_order_completion=flags.in_order_completion,
        singleton_context=flags.singleton_context,
        is_immediate_operation=bool(row["is_immediate_operation"]),
        is_revert=bool(row["reverted_uuid"]),
        ready_to_complete=bool(row["ready_to_complete"]),
        was_ready=bool(row["was_ready"]),
        force_cutover=bool(row["force_cutover"]),
        cutover_threshold_seconds=row["cutover_threshold_seconds"],
        pending_count=row["in_order_completion_pending_count"],
        strategy=row["strategy"],
        postponed_by_flag=flags.postpone_completion,
        stage=row["stage"],
        message=row["message"],
    )


def _flags(row: dict[str, Any]) -> Flags:
    """Return the flags of a row; those that somebody else wrote, and we cannot read, count not."""
    try:
        return flags_of(strategy_by_name(row["strategy"]), row["options"])
    except TabletdError:
        return Flags()
