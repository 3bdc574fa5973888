"""Compares two tables chunk by chunk, each in one snapshot of both.

At full speed several chunks are compared at a time, each on a connection and in a snapshot of its
own: what is proven of a chunk is the same, in less time.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
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
# On two cores the third has work for them while another waits for the disk.
_CHUNKS_AT_ONCE: Final = 3
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
        self._busy_seconds = 0.0
        self._matching_alone = asyncio.Lock()

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
        load = self._options.load
        at_once = _CHUNKS_AT_ONCE if load == 1.0 else 1
        start = asyncio.get_running_loop().create_future()
        start.set_result(after_key.values if after_key else None)
        # No TaskGroup: where a later chunk fails, it would cancel whoever has been given this one.
        begun: deque[asyncio.Task[Chunk]] = deque()
        try:
            while True:
                while len(begun) < at_once:
                    end = asyncio.get_running_loop().create_future()
                    begun.append(asyncio.create_task(self._chunk(start, end), name="verify: chunk"))
                    start = end
                chunk = await begun.popleft()
                yield chunk
                if chunk.last is None:
                    return
                await asyncio.sleep(self._busy_seconds * (1.0 / load - 1.0))
        finally:
            for task in begun:
                task.cancel()
            await asyncio.gather(*begun, return_exceptions=True)

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
        async with self._snapshot() as session, self._matching(session) as matching:
            return tuple(
                await matching.differences(
                    {side: one_of(self._tables.key.columns(side), wanted) for side in Side}
                )
            )

    async def _chunk(
        self, start: asyncio.Future[Values | None], end: asyncio.Future[Values | None]
    ) -> Chunk:
        """Compare the rows behind `start`; `end` is told as soon as it is known, for the next."""
        after_values = await start
        async with self._snapshot() as session:
            began = time.monotonic()
            last = await self._tables.end_of(session, after_values, self._rows)
            if last is not None:
                end.set_result(last)
            conditions = {side: self._between(side, after_values, last) for side in Side}
            old = await self._tables.checksum(session, Side.OLD, conditions[Side.OLD])
            new = await self._tables.checksum(session, Side.NEW, conditions[Side.NEW])
            found: list[Difference] = []
            if old != new:
                async with self._matching(session) as matching:
                    found = await matching.differences(conditions)
        self._adapt(time.monotonic() - began)
        names = tuple(column.name for column in self._tables.key.columns(Side.OLD))
        return self._told(RowKey(names, last) if last is not None else None, old.rows, found)

    def _adapt(self, busy_seconds: float) -> None:
        self._busy_seconds = busy_seconds
        factor = self._options.chunk_seconds / max(busy_seconds, 0.001)
        wanted = self._rows * min(_GROWTH_MAX, max(1.0 / _GROWTH_MAX, factor))
        self._rows = int(min(_ROWS_MAX, max(_ROWS_MIN, wanted)))

    async def _whole(self) -> Chunk:
        async with self._snapshot() as session, self._matching(session) as matching:
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
            await self._tables.begin_snapshot(session)
            yield session
            await session.execute("ROLLBACK")

    @asynccontextmanager
    async def _matching(self, session: Session) -> AsyncGenerator[Matching]:
        """Have a session look at rows one by one, and end its snapshot.

        One session at a time: its locks on the scratch tables last until the end, and another one
        may wait for locks no longer than the server's `innodb_lock_wait_timeout`.
        """
        async with self._matching_alone:
            yield Matching(session, self._tables, self._scratch)
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
        pool: the daemon's own account, on a primary; up to three connections are used, one where
            `options.load` is less than 1.
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
    scratch = _scratch(migration, tables, options)
    try:
        if scratch is not None:
            async with pool.session(writable=True) as session:
                await scratch.make(session)
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


def _scratch(migration: Migration, tables: Tables, options: VerifyOptions) -> Scratch | None:
    converted = [pair for pair in tables.pairs if pair.is_converted]
    if not converted:
        return None
    key_pairs = tables.key.pairs if any(pair in converted for pair in tables.key.pairs) else ()
    return Scratch(
        migration.mysql_schema,
        migration.id,
        tuple(dict.fromkeys((*key_pairs, *converted))),
        key_pairs,
        null_to_default=options.null_to_default,
    )


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
