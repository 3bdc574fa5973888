"""Tables and views that are made to ask the server something, and dropped at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tabletd.errors import MySQLUnavailable, TabletdError
from tabletd.executor.engines.base import RunRecord
from tabletd.executor.engines.plan import scratch_name
from tabletd.executor.migration import Migration
from tabletd.mysql.quote import identifier
from tabletd.mysql.session import Session


@asynccontextmanager
async def scratch(
    session: Session, migration: Migration, record: RunRecord, kind: str
) -> AsyncGenerator[str]:
    """Give a name for a table or view that is gone at the end.

    The row knows the name until then: what a dead daemon leaves goes as other tables do that are
    on their way out (see `gc`).

    Args:
        session: drops it.
        migration: in whose schema it is.
        record: of that.
        kind: TABLE or VIEW.
    """
    name = scratch_name(migration)

    async def drop() -> None:
        await session.execute(f"DROP {kind} IF EXISTS {identifier(migration.mysql_schema, name)}")
        await record.remove_artifacts(name)

    await record.add_artifacts(name)
    try:
        yield name
    except MySQLUnavailable:
        raise
    except TabletdError:
        await drop()
        raise
    await drop()
