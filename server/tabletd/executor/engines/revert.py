"""REVERT of a migration: what it put away comes back, what it made is put away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tabletd.errors import MigrationNotFound, Reason, TabletdError
from tabletd.executor import ddl
from tabletd.executor.engines import catalogue
from tabletd.executor.engines.base import Outcome
from tabletd.executor.engines.plan import Plan, Planner, no_change, rename_sql
from tabletd.executor.migration import Migration
from tabletd.executor.names import TableGCState, parse_gc_table_name
from tabletd.executor.rows import MIGRATION_COLUMNS, to_migration
from tabletd.executor.states import Status
from tabletd.mysql.session import Session

_TARGET: Final = f"SELECT {MIGRATION_COLUMNS} FROM _vt.schema_migrations WHERE migration_uuid = %s"  # noqa: S608
_CLEANED: Final = (
    "SELECT cleanup_timestamp IS NOT NULL FROM _vt.schema_migrations WHERE migration_uuid = %s"
)
_ON_TABLE: Final = (
    "SELECT migration_uuid, migration_status FROM _vt.schema_migrations"
    " WHERE mysql_schema = %s AND mysql_table = %s AND id < %s"
)
_LAST_COMPLETE: Final = (
    f"{_ON_TABLE} AND migration_status = 'complete' ORDER BY completed_timestamp DESC, id DESC"
    " LIMIT 1"
)
_PENDING: Final = (
    f"{_ON_TABLE} AND migration_status IN ('queued', 'ready', 'running') ORDER BY id LIMIT 1"
)


async def plan_revert(session: Session, revert: Migration, planner: Planner) -> Plan | Outcome:
    """Plan a REVERT.

    Args:
        session: its default schema is the migration's.
        revert: the row of the REVERT itself.
        planner: of that row; gives names.

    Raises:
        MigrationNotFound: there is no migration to revert.
        TabletdError: MIGRATION_REJECTED, with why it cannot be undone and what can be done instead.
    """
    target = await _target(session, revert)
    held = _held(target)
    schema, table = target.mysql_schema, target.mysql_table
    if not held:
        if await _scalar(session, _CLEANED, target.migration_uuid):
            raise _gone(target)
        return no_change(f"migration {target.migration_uuid} had changed nothing")
    fresh = planner.kept_name()
    if target.ddl_action == ddl.Action.CREATE:
        await _check_foreign_keys(session, target)
        sql = rename_sql(schema, (table, fresh))
        return Plan(sql, ddl.Action.DROP, artifacts=(fresh,))
    kept = next(iter(await catalogue.kinds(session, schema, held)), None)
    if kept is None:
        raise _gone(target)
    if target.ddl_action == ddl.Action.DROP:
        sql = rename_sql(schema, (kept, table))
        return Plan(sql, ddl.Action.CREATE, artifacts=(fresh,))
    sql = rename_sql(schema, (table, fresh), (kept, table))
    return Plan(sql, ddl.Action.ALTER, artifacts=(fresh,))


async def _target(session: Session, revert: Migration) -> Migration:
    """Return the row to revert, if it may be. The texts that clients look for are Vitess's."""
    row = (await session.execute(_TARGET, (revert.reverted_uuid,))).one()
    if row is None:
        raise MigrationNotFound(revert.reverted_uuid)
    target = to_migration(row)
    uuid = target.migration_uuid
    if target.status is not Status.COMPLETE:
        raise _refused(
            "can only revert a migration in a 'complete' state: "
            f"migration {uuid} is in '{target.status}' state"
        )
    _check_can_be_undone(target)
    on_table = (target.mysql_schema, target.mysql_table, revert.id)
    pending = await _row(session, _PENDING, *on_table)
    if pending is not None:
        raise _refused(
            f"cannot revert migration {uuid} on table {target.mysql_table} "
            f"because migration {pending[0]} is in {pending[1]} status",
            hint="wait for its end, or cancel it",
        )
    last = await _row(session, _LAST_COMPLETE, *on_table)
    if last is not None and last[0] != uuid:
        raise _refused(
            f"cannot revert migration {uuid}: it is not the last migration to complete "
            f"on that table, which is {last[0]}",
            hint=f"revert {last[0]} first",
        )
    return target


def _check_can_be_undone(target: Migration) -> None:
    uuid = target.migration_uuid
    if target.special_plan:
        raise _refused(
            f"cannot revert migration {uuid}, which was done in a way that keeps nothing: "
            f"{target.special_plan}",
            hint="submit the statement that undoes it",
        )
    if target.ddl_action != ddl.Action.ALTER or target.is_view:
        return
    kept = ", ".join(target.artifacts)
    by = target.strategy if target.strategy.is_tool else "the server itself"
    rows = (
        f"the former table, kept as {kept}, lacks what was written since"
        if kept
        else "no former table is kept"
    )
    raise _refused(
        f"cannot revert migration {uuid}, an ALTER TABLE by {by}: {rows}",
        hint="submit the ALTER TABLE that undoes it"
        + (f"; values that are lost can be copied from {kept} while it is kept" if kept else ""),
    )


def _held(target: Migration) -> list[str]:
    """Return the names under which something of the migration may be kept untouched."""
    return [
        name
        for name in target.artifacts
        if (parsed := parse_gc_table_name(name)) and parsed.state is TableGCState.HOLD
    ]


async def _check_foreign_keys(session: Session, target: Migration) -> None:
    schema, table = target.mysql_schema, target.mysql_table
    if not target.is_view and await catalogue.has_foreign_keys(session, schema, table):
        raise _refused(
            f"cannot revert migration {target.migration_uuid}: the table {table} has foreign keys, "
            "which would bind other tables while it is kept",
            hint="submit DROP TABLE, which drops it at once",
        )


def _gone(target: Migration) -> TabletdError:
    return _refused(
        f"cannot revert migration {target.migration_uuid}: what it kept has been cleaned up",
        hint="its retention is over; submit the statement that undoes it",
    )


def _refused(message: str, *, hint: str | None = None) -> TabletdError:
    return TabletdError(Reason.MIGRATION_REJECTED, message, hint=hint)


async def _row(session: Session, sql: str, *values: object) -> Sequence[Any] | None:
    rows = (await session.execute(sql, values)).rows
    return rows[0] if rows else None


async def _scalar(session: Session, sql: str, *values: object) -> object:
    row = await _row(session, sql, *values)
    return row[0] if row else None
