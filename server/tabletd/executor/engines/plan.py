"""What the server is to be told, so that a migration is made and can be undone.

What a statement would destroy is kept under a name that the life cycle of tables knows (see `gc`),
dated with the end of its retention. Such a name among the artifacts of a CREATE, which no table
ever has, says that this migration made the table: without it there is nothing to revert.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.executor import ddl
from tabletd.executor.engines import catalogue
from tabletd.executor.engines.base import Outcome
from tabletd.executor.migration import Migration
from tabletd.executor.names import (
    TableGCState,
    create_gc_uuid,
    gc_table_name,
    parse_gc_table_name,
)
from tabletd.executor.states import Status
from tabletd.mysql.quote import identifier
from tabletd.mysql.session import Session

DROPPED_AT_ONCE: Final = "drop-at-once"


@dataclass(frozen=True, slots=True)
class Plan:
    """One statement that makes the change, and what belongs to it.

    Attributes:
        sql: the statement; takes effect as a whole or not at all.
        artifacts: names that are written down before anything is done.
        former_view: the view that it replaces; it is copied to the artifact first.
        ddl_action: what it does: a CREATE OR REPLACE of what exists is an ALTER.
        special_plan: JSON; not empty where it is done in a way of its own, which keeps nothing.
        message: what is worth knowing of a success.
    """

    sql: str
    ddl_action: str
    artifacts: tuple[str, ...] = ()
    former_view: catalogue.View | None = None
    special_plan: str = ""
    message: str = ""


class Planner:
    """Plans a migration from its statement and what the server has.

    Args:
        session: its default schema is the migration's.
        migration: the row.
        default_retain_seconds: how long what it replaces is kept, unless the row says it.
    """

    def __init__(
        self, session: Session, migration: Migration, *, default_retain_seconds: float
    ) -> None:
        self._session = session
        self._migration = migration
        self._default_retain_seconds = default_retain_seconds
        self._schema = migration.mysql_schema
        self._table = migration.mysql_table

    async def plan(self) -> Plan | Outcome:
        """Return what to do, or how it ends where nothing is to be done.

        Raises:
            TabletdError: UNSUPPORTED_DDL for what would destroy a table without keeping it.
        """
        statement = ddl.parse(self._migration.migration_statement)
        match statement.action:
            case ddl.Action.DROP:
                return await self._drop(statement)
            case ddl.Action.CREATE if statement.kind is ddl.ObjectKind.TABLE:
                return await self._create_table(statement)
            case ddl.Action.CREATE | ddl.Action.ALTER if statement.kind is ddl.ObjectKind.VIEW:
                return await self.change_view(statement)
            case _:
                return Plan(statement.text, statement.action)

    def kept_name(self) -> str:
        """Return a fresh name for what is kept, dated with the end of its retention."""
        own = self._migration.retain_artifacts_seconds
        seconds = max(own or self._default_retain_seconds, 0)
        due = datetime.now(UTC) + timedelta(seconds=seconds)
        return gc_table_name(TableGCState.HOLD, create_gc_uuid(self._migration.id), due)

    async def _drop(self, statement: ddl.Statement) -> Plan | Outcome:
        found = (await catalogue.kinds(self._session, self._schema, [self._table])).get(self._table)
        if found is None and statement.if_exists:
            return no_change(f"there is no {statement.kind} {self._table}")
        if not await self._is_kept(statement):
            return Plan(statement.text, statement.action)
        if parse_gc_table_name(self._table) is not None:
            return self._at_once(statement, "it is on its way out already")
        if await catalogue.has_foreign_keys(self._session, self._schema, self._table):
            return self._at_once(statement, "its foreign keys would bind other tables meanwhile")
        kept = self.kept_name()
        sql = rename_sql(self._schema, (self._table, kept))
        return Plan(sql, statement.action, artifacts=(kept,))

    async def _is_kept(self, statement: ddl.Statement) -> bool:
        """Tell whether it is what the statement says; what is not, the server refuses."""
        if statement.kind is ddl.ObjectKind.VIEW:
            return await catalogue.is_view(self._session, self._schema, self._table)
        return await catalogue.is_table(self._session, self._schema, self._table)

    def _at_once(self, statement: ddl.Statement, why: str) -> Plan:
        return Plan(
            statement.text,
            statement.action,
            special_plan=json.dumps({"operation": DROPPED_AT_ONCE, "reason": why}),
            message=f"dropped at once and not kept: {why}",
        )

    async def _create_table(self, statement: ddl.Statement) -> Plan | Outcome:
        exists = bool(await catalogue.kinds(self._session, self._schema, [self._table]))
        if exists and statement.if_not_exists:
            return no_change(f"{self._table} exists")
        if exists and statement.or_replace:
            raise TabletdError(
                Reason.UNSUPPORTED_DDL,
                f"CREATE OR REPLACE would destroy the table {self._table} without keeping it",
                hint="submit DROP TABLE, which keeps it, and then CREATE TABLE",
            )
        return Plan(statement.text, statement.action, artifacts=(self.kept_name(),))

    async def change_view(self, statement: ddl.Statement) -> Plan | Outcome:
        """Plan a CREATE VIEW or ALTER VIEW; the view that it replaces is kept as a copy."""
        found = (await catalogue.kinds(self._session, self._schema, [self._table])).get(self._table)
        is_alter = statement.action is ddl.Action.ALTER
        if found is not None and statement.if_not_exists:
            return no_change(f"{self._table} exists")
        if found != "VIEW" or not (is_alter or statement.or_replace):
            artifacts = () if is_alter else (self.kept_name(),)
            return Plan(statement.text, statement.action, artifacts=artifacts)
        return await self._replace_view(statement)

    async def _replace_view(self, statement: ddl.Statement) -> Plan:
        return Plan(
            statement.text,
            ddl.Action.ALTER,
            artifacts=(self.kept_name(),),
            former_view=await catalogue.view(self._session, self._schema, self._table),
        )


def no_change(why: str) -> Outcome:
    """Return the end of a migration that has nothing to do."""
    return Outcome(Status.COMPLETE, f"no change: {why}")


def scratch_name(migration: Migration) -> str:
    """Return a fresh name for a table that is dropped at once, or by its life cycle."""
    return gc_table_name(TableGCState.DROP, create_gc_uuid(migration.id), datetime.now(UTC))


def rename_sql(schema: str, *pairs: tuple[str, str]) -> str:
    """Return one RENAME TABLE, of tables or of views."""
    renames = (f"{identifier(schema, old)} TO {identifier(schema, new)}" for old, new in pairs)
    return f"RENAME TABLE {', '.join(renames)}"
