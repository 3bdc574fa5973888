"""What a run leaves on the server, and how it is removed: triggers first, then tables.

A statement that waits for a table's lock makes all later ones wait behind it, so each waits for a
few seconds only and is tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.mysql.errors import MySQLError
from tabletd.mysql.pool import Pool
from tabletd.mysql.quote import identifier, marks
from tabletd.mysql.session import Session

LOCK_WAIT_SECONDS: Final = 3
ATTEMPTS_MAX: Final = 20
CATALOGUE_SECONDS_MAX: Final = 600.0  # old servers open every table to answer
# gh-ost's table that holds the old table's name during the cut-over.
SENTRY_COMMENT: Final = "ghost-cut-over-sentry"
_PAUSE_SECONDS: Final = 0.5
_DROP_SECONDS_MAX: Final = 600.0


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger and the table that it is on."""

    name: str
    table: str


@asynccontextmanager
async def cleaning_session(pool: Pool) -> AsyncGenerator[Session]:
    """Borrow a session that waits a few seconds at most for a table's lock.

    Raises:
        NotWritable: the server takes no writes.
    """
    async with pool.session(writable=True) as session:
        session.drop_afterwards()
        await session.execute(f"SET SESSION lock_wait_timeout = {LOCK_WAIT_SECONDS}")
        yield session


async def existing_tables(session: Session, schema: str, names: Sequence[str]) -> dict[str, str]:
    """Return those of the names that are tables, as they were asked for, each with its comment.

    A server with lower_case_table_names keeps names in other letters than they were given in.
    """
    if not names:
        return {}
    sql = (
        "SELECT table_name, table_comment, @@lower_case_table_names "  # noqa: S608  # marks only
        f"FROM information_schema.tables WHERE table_schema = %s AND table_name IN ({marks(names)})"
    )
    found = await session.execute(sql, (schema, *names), timeout_seconds=CATALOGUE_SECONDS_MAX)
    existing: dict[str, str] = {}
    for table, comment, folding in found.rows:
        for name in names:
            if name == table or (folding and name.lower() == str(table).lower()):
                existing[name] = str(comment or "")
    return existing


async def owned_triggers(session: Session, schema: str, new_table: str) -> list[Trigger]:
    """Return the triggers of pt-online-schema-change that write into one run's new table.

    The tool's own names say the original table only; what a trigger does says whose it is.
    """
    found = await session.execute(
        "SELECT trigger_name, event_object_table, action_statement "
        "FROM information_schema.triggers WHERE trigger_schema = %s "
        "AND trigger_name LIKE 'pt\\_osc\\_%%'",
        (schema,),
        timeout_seconds=CATALOGUE_SECONDS_MAX,
    )
    quoted = identifier(new_table)
    return [
        Trigger(str(name), str(table))
        for name, table, statement in found.rows
        if quoted in str(statement)
    ]


async def drop_triggers(
    session: Session,
    schema: str,
    triggers: Sequence[Trigger],
    *,
    attempts_max: int = ATTEMPTS_MAX,
) -> None:
    """Drop triggers; one that is gone is no fault.

    Raises:
        TabletdError: LOCK_WAIT when a table's lock was not to be had in as many attempts, which is
            about a minute.
    """
    for trigger in triggers:
        sql = f"DROP TRIGGER IF EXISTS {identifier(schema, trigger.name)}"
        await _patiently(session, sql, attempts_max)


async def drop_tables(
    session: Session, schema: str, names: Sequence[str], *, attempts_max: int = ATTEMPTS_MAX
) -> None:
    """Drop tables; one that is gone is no fault.

    Raises:
        TabletdError: LOCK_WAIT as `drop_triggers`.
    """
    for name in names:
        await _patiently(session, f"DROP TABLE IF EXISTS {identifier(schema, name)}", attempts_max)


async def _patiently(session: Session, sql: str, attempts_max: int) -> None:
    for attempt in range(1, attempts_max + 1):
        try:
            await session.execute(sql, timeout_seconds=_DROP_SECONDS_MAX)
        except MySQLError as error:
            if error.reason is not Reason.LOCK_WAIT:
                raise
            if attempt == attempts_max:
                raise TabletdError(
                    Reason.LOCK_WAIT,
                    f"{sql} could not get the table's lock in {attempts_max} attempts",
                    hint="end the transaction that holds it: see SHOW PROCESSLIST",
                ) from error
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            return
