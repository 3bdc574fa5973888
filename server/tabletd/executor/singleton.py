"""Whether a migration may be submitted beside those that are pending. Texts: Vitess."""

from __future__ import annotations

from collections.abc import Sequence

from tabletd.errors import Reason, TabletdError
from tabletd.executor.scheduler import Candidate
from tabletd.executor.submit import Submission


def check_singleton(submission: Submission, pending: Sequence[Candidate]) -> None:
    """Refuse a submission whose singleton flags are hurt.

    Args:
        submission: the migration; its own row, if it has one already, does not count.
        pending: all that are pending, by id.

    Raises:
        TabletdError: MIGRATION_REJECTED.
    """
    flags = submission.flags
    others = [row for row in pending if row.migration_uuid != submission.migration_uuid]
    if flags.singleton and others:
        uuids = ", ".join(row.migration_uuid for row in others[:1])
        raise _rejected(
            submission, f"singleton migration rejected: found pending migrations [sample: {uuids}]"
        )
    table_key = (submission.mysql_schema.casefold(), submission.mysql_table.casefold())
    for row in others:
        is_tolerated = row.is_revert and not row.singleton_context
        is_other_context = row.migration_context != submission.migration_context
        if flags.singleton_context and is_other_context and not is_tolerated:
            raise _rejected(
                submission,
                f"singleton-context migration rejected: found pending migration: "
                f"{row.migration_uuid} in different context: {row.migration_context}",
            )
        if flags.singleton_table and row.table_key == table_key:
            raise _rejected(
                submission,
                f"singleton-table migration rejected: found pending migration: "
                f"{row.migration_uuid} on the table {submission.mysql_table}",
            )


def _rejected(submission: Submission, message: str) -> TabletdError:
    return TabletdError(
        Reason.MIGRATION_REJECTED,
        f"submitting migration {submission.migration_uuid}: {message}",
        hint="wait for its end, or cancel it",
        migration_uuid=submission.migration_uuid,
    )
