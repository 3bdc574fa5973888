"""Compares two tables chunk by chunk, each in one snapshot of both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from tabletd.errors import Reason, TabletdError
from tabletd.executor import ddl
from tabletd.executor.columns import Lineage, read_columns
from tabletd.executor.migration import Migration
from tabletd.executor.renames import dropped_columns, renamed_columns
from tabletd.executor.verify.expressions import Side
from tabletd.executor.verify.keys import (
    Values,
    after,
    choose_key,
    one_of,
    read_indexes,
    up_to,
)
from tabletd.executor.verify.matching import Matching
from tabletd.executor.verify.pairs import pair_columns
from tabletd.executor.verify.rows import Chunk, Difference, RowKey, VerifyOptions
from tabletd.executor.verify.scratch import Scratch
from tabletd.executor.verify.tables import Condition, Tables
from tabletd.mysql.pool import Pool
from tabletd.mysql.session import Session

_ROWS_FIRST: Final = 1000
_ROWS_MIN: Final = 50
_ROWS_MAX: Final = 50_000
_GROWTH_MAX: Final = 3.0
_BORROW_SECONDS_MAX: Final = 60.0
_ESTIMATE: Final = (
    "SELECT table_rows FROM information_schema.tables WHERE table_schema = %s AND table_name = %s"
)
_EVERYTHING: Final[Condition] = ("1 = 1", [])


class Comparison:
    """The comparison of one table with its altered copy; see `open_comparison`.

    Attributes:
        rows_estimated: the server's estimate of the rows to compare.
    """

    def __init__(
        self,
        pool: Pool,
        tables: Tables,
        scratch: Scratch | None,
        options: VerifyOptions,
        rows_estimated: int,
    ) -> None:
        self.rows_estimated = rows_estimated
        self._pool = pool
        self._tables = tables
        self._scratch = scratch
        self._options = options
        self._rows = _ROWS_FIRST

    async def chunks(self, after_key: RowKey | None = None) -> AsyncGenerator[Chunk]:
        """Compare all rows, in the order of the key.

        Where the key's values are converted to others, both tables are compared as a whole in one
        snapshot: then there is but one chunk.

        Args:
            after_key: `Chunk.last` of the chunk to go on behind.

        Raises:
            TabletdError: the server was lost, or refused; the same chunk may be tried again.
        """
        if not self._tables.key.is_ordered:
            yield await self._whole()
            return
        last = after_key.values if after_key else None
        while True:
            began = time.monotonic()
            chunk = await self._chunk(last)
            busy_seconds = time.monotonic() - began
            yield chunk
            if chunk.last is None:
                return
            last = chunk.last.values
            self._adapt(busy_seconds)
            if self._options.load < 1.0:
                await asyncio.sleep(busy_seconds * (1.0 / self._options.load - 1.0))

    async def look(self, keys: Sequence[RowKey]) -> tuple[Difference, ...]:
        """Compare some rows, in a snapshot of now; returns what differs.

        Raises:
            TabletdError: the server was lost, or refused.
        """
        wanted = [key.values for key in keys]
        if not wanted:
            return ()
        if not self._tables.key.is_ordered:
            found = (await self._whole()).differences
            return tuple(one for one in found if one.key.values in set(wanted))
        async with self._snapshot() as session:
            matching = Matching(session, self._tables, self._scratch)
            return tuple(
                await matching.differences(
                    {side: one_of(self._tables.key.columns(side), wanted) for side in Side}
                )
            )

    def _adapt(self, busy_seconds: float) -> None:
        factor = self._options.chunk_seconds / max(busy_seconds, 0.001)
        wanted = self._rows * min(_GROWTH_MAX, max(1.0 / _GROWTH_MAX, factor))
        self._rows = int(min(_ROWS_MAX, max(_ROWS_MIN, wanted)))

    async def _chunk(self, last: Values | None) -> Chunk:
        async with self._snapshot() as session:
            end = await self._tables.end_of(session, last, self._rows)
            conditions = {side: self._between(side, last, end) for side in Side}
            old = await self._tables.checksum(session, Side.OLD, conditions[Side.OLD])
            new = await self._tables.checksum(session, Side.NEW, conditions[Side.NEW])
            found: list[Difference] = []
            if old != new:
                matching = Matching(session, self._tables, self._scratch)
                found = await matching.differences(conditions)
        names = tuple(column.name for column in self._tables.key.columns(Side.OLD))
        return self._told(RowKey(names, end) if end is not None else None, old.rows, found)

    async def _whole(self) -> Chunk:
        async with self._snapshot() as session:
            matching = Matching(session, self._tables, self._scratch)
            rows, found = await matching.by_hash()
        return self._told(None, rows, found)

    def _told(self, last: RowKey | None, rows: int, found: list[Difference]) -> Chunk:
        limit = self._options.differences_max
        return Chunk(last, rows, tuple(found[:limit]), too_many=len(found) > limit)

    def _between(self, side: Side, last: Values | None, end: Values | None) -> Condition:
        columns = self._tables.key.columns(side)
        parts = [after(columns, last)] if last is not None else []
        parts += [up_to(columns, end)] if end is not None else []
        if not parts:
            return _EVERYTHING
        params = [value for _, values in parts for value in values]
        return " AND ".join(sql for sql, _ in parts), params

    @asynccontextmanager
    async def _snapshot(self) -> AsyncGenerator[Session]:
        """Give a session in a transaction that sees both tables at one moment.

        It is rolled back: what it writes is only ever the scratch tables' rows.
        """
        async with self._pool.session(
            writable=True, timeout_seconds=_BORROW_SECONDS_MAX
        ) as session:
            session.drop_afterwards()
            if self._scratch is not None:
                await self._scratch.make(session)
            await self._tables.begin_snapshot(session)
            yield session
            await session.execute("ROLLBACK")


@asynccontextmanager
async def open_comparison(
    pool: Pool,
    migration: Migration,
    statement: ddl.Statement,
    old_table: str,
    new_table: str,
    options: VerifyOptions | None = None,
) -> AsyncGenerator[Comparison]:
    """Prepare the comparison of a table with its altered copy, and clear up after it.

    Args:
        pool: the daemon's own account, on a primary; one connection is used at a time.
        migration: in whose schema both are.
        statement: its ALTER TABLE.
        old_table: the table as it was.
        new_table: the copy.
        options: how.

    Raises:
        TabletdError: PREFLIGHT_REFUSED where the two have no key by which rows are found again; or
            the server was lost, or refused.
    """
    options = options or VerifyOptions()
    schema = migration.mysql_schema
    async with pool.session(writable=True) as session:
        tables, rows = await _read(session, schema, statement, old_table, new_table)
    scratch: Scratch | None = None
    converted = [pair for pair in tables.pairs if pair.is_converted]
    if converted:
        key_pairs = tables.key.pairs if any(pair in converted for pair in tables.key.pairs) else ()
        scratch = Scratch(
            schema,
            migration.id,
            tuple(dict.fromkeys((*key_pairs, *converted))),
            key_pairs,
            null_to_default=options.null_to_default,
        )
    try:
        yield Comparison(pool, tables, scratch, options, rows)
    finally:
        if scratch is not None:
            await scratch.remove(pool)


async def check_comparable(
    session: Session, schema: str, statement: ddl.Statement, old_table: str, new_table: str
) -> None:
    """Refuse what `open_comparison` would refuse; a copy without rows will do.

    Args:
        session: to the server.
        schema: of both.
        statement: the ALTER TABLE.
        old_table: the table as it is.
        new_table: any copy that has been altered.

    Raises:
        TabletdError: PREFLIGHT_REFUSED where the two have no key by which rows are found again.
    """
    await _read(session, schema, statement, old_table, new_table)


async def _read(
    session: Session, schema: str, statement: ddl.Statement, old_table: str, new_table: str
) -> tuple[Tables, int]:
    old = await read_columns(session, schema, old_table)
    new = await read_columns(session, schema, new_table)
    for columns, table in ((old, old_table), (new, new_table)):
        if not columns:
            raise TabletdError(Reason.TABLE_NOT_FOUND, f"there is no table {schema}.{table}")
    options = statement.alter_options
    lineage = Lineage(old, renamed_columns(options), dropped_columns(options))
    pairs = pair_columns(lineage, new.values())
    key = choose_key(
        pairs,
        await read_indexes(session, schema, old_table),
        await read_indexes(session, schema, new_table),
    )
    if key is None:
        raise TabletdError(
            Reason.PREFLIGHT_REFUSED,
            f"the rows of {schema}.{old_table} cannot be compared with those of the altered copy: "
            "there is no unique key without NULL whose columns are in both",
            hint="keep such a key, or submit with --verify=false",
        )
    estimate: Any = (await session.execute(_ESTIMATE, (schema, old_table))).scalar()
    names = {Side.OLD: old_table, Side.NEW: new_table}
    return Tables(schema, names, pairs, key), int(estimate or 0)
