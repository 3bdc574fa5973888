"""How the server would alter a table, found out on an empty copy of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.executor import ddl
from tabletd.executor.engines.instant import instant_statement, is_not_instant
from tabletd.executor.engines.plan import scratch_name
from tabletd.executor.lexer import significant, tokenize
from tabletd.executor.migration import Migration
from tabletd.mysql.errors import MySQLError
from tabletd.mysql.pool import Pool
from tabletd.mysql.quote import identifier
from tabletd.mysql.session import Session

_LOCK_WAIT_SECONDS: Final = 2


class Algorithm(StrEnum):
    """How much the server has to do."""

    INSTANT = "instant"
    IN_PLACE = "in place"
    COPY = "copy"


@dataclass(frozen=True, slots=True)
class Trial:
    """What the server said.

    Attributes:
        algorithm: how it would do it; None: not known.
        refusal: why it would not, or why it could not be tried.
        is_tried: False where it could not be tried.
    """

    algorithm: Algorithm | None = None
    refusal: TabletdError | None = None
    is_tried: bool = True


async def try_on_a_copy(pool: Pool, migration: Migration) -> Trial:
    """Alter an empty copy, which is dropped again at once.

    The copy has the name of a table that the life cycle of tables drops, should this process be
    killed meanwhile. Foreign keys are not copied.

    Args:
        pool: the daemon's own account, on a primary.
        migration: an ALTER TABLE, CREATE INDEX or DROP INDEX of a table that exists.
    """
    statement = ddl.parse(migration.migration_statement)
    if statement.reaches_beyond:
        why = "a clause of it would reach other tables or files from there"
        return Trial(refusal=TabletdError(Reason.UNSUPPORTED_DDL, why), is_tried=False)
    try:
        async with _copy(pool, migration) as (session, name):
            return await _try(session, statement, name)
    except MySQLError as error:
        return Trial(refusal=error, is_tried=False)


async def _try(session: Session, statement: ddl.Statement, name: str) -> Trial:
    instantly = instant_statement(statement, name)
    in_place = f"ALTER TABLE {name} {statement.alter_options}, ALGORITHM=INPLACE, LOCK=NONE"
    words = {token.upper for token in significant(tokenize(statement.text))}
    chosen = bool(words & {"ALGORITHM", "LOCK"})
    attempts = ((Algorithm.INSTANT, instantly), (Algorithm.IN_PLACE, "" if chosen else in_place))
    for algorithm, sql in attempts:
        if not sql:
            continue
        try:
            await session.execute(sql)
        except MySQLError as error:
            if not is_not_instant(error):
                return Trial(refusal=error)
        else:
            return Trial(algorithm)
    try:
        await session.execute(statement.with_name(name))
    except MySQLError as error:
        return Trial(refusal=error)
    return Trial(None if chosen else Algorithm.COPY)


@asynccontextmanager
async def _copy(pool: Pool, migration: Migration) -> AsyncGenerator[tuple[Session, str]]:
    schema = migration.mysql_schema
    name = identifier(schema, scratch_name(migration))
    async with pool.session(writable=True) as session:
        session.drop_afterwards()
        await session.execute(f"USE {identifier(schema)}")
        await session.execute(f"SET lock_wait_timeout = {_LOCK_WAIT_SECONDS}")
        like = identifier(schema, migration.mysql_table)
        await session.execute(f"CREATE TABLE {name} LIKE {like}")
        try:
            yield session, name
        finally:
            await session.execute(f"DROP TABLE {name}")
