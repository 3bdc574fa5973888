"""--declarative: a CREATE says what there should be, and the server tells what is to be changed.

The wanted table is made beside the live one under another name, and both are compared as the
server writes them. The ALTER TABLE made from that is tried on an empty copy of the live table: it
is used only if it gives the wanted one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.executor import ddl
from tabletd.executor.engines import catalogue
from tabletd.executor.engines.base import Adopted, Engine, Outcome, RunControls, RunRecord, notes
from tabletd.executor.engines.direct import LOCK_WAIT_SECONDS, DirectEngine
from tabletd.executor.engines.scratch import scratch
from tabletd.executor.lexer import significant, tokenize
from tabletd.executor.migration import Migration, Strategy
from tabletd.executor.states import Status
from tabletd.executor.table_text import TableText, alter_options, not_declarable, read_table
from tabletd.mysql.quote import identifier
from tabletd.mysql.session import Session

NO_CHANGE: Final = "no change"


class Declarative:
    """Turns what is declared into what is to be done, and has another engine do it.

    Args:
        direct: for everything but the ALTER TABLE of a strategy with a tool.
        tools: by strategy.
    """

    def __init__(self, direct: DirectEngine, tools: Mapping[Strategy, Engine]) -> None:
        self._direct = direct
        self._tools = tools

    @property
    def strategy(self) -> Strategy:
        return self._direct.strategy

    async def run(
        self,
        migration: Migration,
        record: RunRecord,
        stop: asyncio.Event,
        controls: RunControls,
    ) -> Outcome:
        if not migration.flags.declarative or migration.reverted_uuid:
            return await self._direct.run(migration, record, stop, controls)
        statement = ddl.parse(migration.migration_statement)
        _check(statement)
        sql = await self._statement_for(migration, record, statement)
        if not sql:
            await self._direct.forget_unused_artifacts(migration, record)
            await record.end()
            return Outcome(Status.COMPLETE, NO_CHANGE)
        to_do = replace(migration, migration_statement=sql)
        if sql == statement.text or migration.is_view:
            return await self._direct.run(to_do, record, stop, controls)
        await record.note(special_plan="", ddl_action=ddl.Action.ALTER)
        to_do = replace(to_do, ddl_action=ddl.Action.ALTER)
        engine = self._tools.get(migration.strategy, self._direct)
        outcome = await engine.run(to_do, record, stop, controls)
        if outcome.status is not Status.COMPLETE:
            return outcome
        return replace(outcome, message=notes(sql, outcome.message))

    async def adopt(self, migration: Migration, record: RunRecord) -> Adopted | None:
        return await self._direct.adopt(migration, record)

    async def recover(self, migration: Migration, record: RunRecord) -> Outcome | None:
        return await self._direct.recover(migration, record)

    async def _statement_for(
        self, migration: Migration, record: RunRecord, statement: ddl.Statement
    ) -> str:
        """Return the statement that is to be run; empty where there is nothing to change."""
        schema, table = migration.mysql_schema, migration.mysql_table
        async with self._direct.session(migration, LOCK_WAIT_SECONDS) as session:
            found = await catalogue.kinds(session, schema, [table])
            if statement.action is ddl.Action.DROP:
                return statement.text if found else ""
            if not found:
                return statement.text
            if statement.kind is ddl.ObjectKind.VIEW and found[table] == "VIEW":
                return await _replacement(session, migration, record, statement)
            if statement.kind is ddl.ObjectKind.TABLE and found[table] != "VIEW":
                return await _alter(session, migration, record, statement)
        return statement.text


def _check(statement: ddl.Statement) -> None:
    """Refuse what says how instead of what. Texts: Vitess."""
    if statement.action is ddl.Action.ALTER:
        raise _refused("ALTER cannot run in declarative mode", "submit the whole CREATE statement")
    for words, is_there in (
        ("IF EXISTS", statement.if_exists),
        ("IF NOT EXISTS", statement.if_not_exists),
        ("OR REPLACE", statement.or_replace),
    ):
        if is_there:
            raise _refused(f"{words} does not work in declarative mode", f"leave {words} out")
    words_of_text = [token.upper for token in significant(tokenize(statement.text))]
    is_table = statement.kind is ddl.ObjectKind.TABLE
    if is_table and statement.action is ddl.Action.CREATE and "SELECT" in words_of_text:
        raise _refused("CREATE TABLE ... SELECT does not work in declarative mode", "list columns")


def _refused(message: str, hint: str) -> TabletdError:
    return TabletdError(Reason.UNSUPPORTED_DDL, message, hint=hint)


async def _replacement(
    session: Session, migration: Migration, record: RunRecord, statement: ddl.Statement
) -> str:
    """Return CREATE OR REPLACE VIEW, or nothing where the live view is as declared."""
    schema = migration.mysql_schema
    live = await _view_text(session, schema, migration.mysql_table)
    async with scratch(session, migration, record, "VIEW") as name:
        await session.execute(statement.with_name(identifier(schema, name)))
        wanted = await _view_text(session, schema, name)
    return "" if live == wanted else f"CREATE OR REPLACE{statement.text[len('CREATE') :]}"


async def _view_text(session: Session, schema: str, name: str) -> str:
    found = await catalogue.view(session, schema, name)
    return ddl.parse(found.statement).with_name("v")


async def _alter(
    session: Session, migration: Migration, record: RunRecord, statement: ddl.Statement
) -> str:
    """Return the ALTER TABLE to what is declared, or nothing where the live table is like that."""
    schema, table = migration.mysql_schema, migration.mysql_table
    live = await _table(session, schema, table)
    async with scratch(session, migration, record, "TABLE") as name:
        await session.execute(statement.with_name(identifier(schema, name)))
        wanted = await _table(session, schema, name)
    options = alter_options(live, wanted)
    if not options:
        return ""
    async with scratch(session, migration, record, "TABLE") as name:
        copy = identifier(schema, name)
        await session.execute(f"CREATE TABLE {copy} LIKE {identifier(schema, table)}")
        await session.execute(f"ALTER TABLE {copy} {options}")
        if not (await _table(session, schema, name)).is_like(wanted):
            raise not_declarable(f"it is not made by {options}")
    return f"ALTER TABLE {identifier(table)} {options}"


async def _table(session: Session, schema: str, name: str) -> TableText:
    found = await session.execute(f"SHOW CREATE TABLE {identifier(schema, name)}")
    return read_table(str(found.rows[0][1]))
