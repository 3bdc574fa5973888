# ruff: noqa: S608  # all names go through mysql.quote, all values are parameters
"""The two tables of a comparison, and what is asked of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tabletd.executor.verify.expressions import (
    Side,
    cell_sql,
    checksum_sql,
    column_of,
    column_sql,
    digest_sql,
    key_sql,
    read_sql,
)
from tabletd.executor.verify.keys import SharedKey, Values, after, force_index, one_of
from tabletd.executor.verify.pairs import Pair
from tabletd.mysql.quote import identifier, marks
from tabletd.mysql.session import Session

Condition = tuple[str, list[Any]]

_STATEMENT_SECONDS_MAX: Final = 3600.0
_SNAPSHOT: Final = (
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT",
)
# Limits for the statements of users; 0: none. MySQL has one, MariaDB the other.
_LIMITS: Final = ("max_execution_time", "max_statement_time")


@dataclass(frozen=True, slots=True)
class Checksum:
    """Rows and their digests, put together."""

    rows: int
    digest: int


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it is found.

    Attributes:
        key: values of the key's columns.
        identity: digest of the key as the new table writes it.
        digest: of all compared values, as the new table writes them.
    """

    key: Values
    identity: str
    digest: str


class Tables:
    """Asks the old and the new table for the same things.

    Args:
        schema: of both.
        names: of the tables.
        pairs: the columns that are compared.
        key: by which rows are found again.
    """

    def __init__(
        self,
        schema: str,
        names: Mapping[Side, str],
        pairs: Sequence[Pair],
        key: SharedKey,
    ) -> None:
        self.pairs = tuple(pairs)
        self.key = key
        self._tables = {
            side: identifier(schema, name).replace("%", "%%") for side, name in names.items()
        }
        self._digest = {side: digest_sql(self.pairs, side) for side in Side}
        self._identity = {side: digest_sql(key.pairs, side) for side in Side}
        self._checksum = {side: checksum_sql(self.pairs, side) for side in Side}
        self._bucket = {side: f"{checksum_sql(key.pairs, side)} & 0xFFFF" for side in Side}
        self._unlimited: list[str] | None = None
        self._keys = {
            side: ", ".join(key_sql(column) for column in key.columns(side)) for side in Side
        }

    async def begin_snapshot(self, session: Session) -> None:
        """Begin a transaction that sees both tables at one moment."""
        if self._unlimited is None:
            limits = f"SHOW VARIABLES WHERE Variable_name IN ({marks(_LIMITS)})"
            found = await session.execute(limits, _LIMITS)
            self._unlimited = [f"SET SESSION {name} = 0" for name, _ in found.rows]
        for statement in (*self._unlimited, *_SNAPSHOT):
            await session.execute(statement)

    async def end_of(self, session: Session, last: Values | None, rows: int) -> Values | None:
        """Return the old table's key so many rows behind another; None: there are fewer."""
        columns = self.key.columns(Side.OLD)
        sql, params = after(columns, last) if last is not None else ("1 = 1", [])
        order = ", ".join(column_sql(column.name) for column in columns)
        result = await self._ask(
            session,
            f"SELECT {self._keys[Side.OLD]} FROM {self._from(Side.OLD)} WHERE {sql}"
            f" ORDER BY {order} LIMIT {rows - 1}, 1",
            params,
        )
        return tuple(result[0]) if result else None

    async def checksum(self, session: Session, side: Side, condition: Condition) -> Checksum:
        """Put the digests of some rows together."""
        sql, params = condition
        ((count, digest),) = await self._ask(
            session,
            f"SELECT COUNT(*), BIT_XOR({self._checksum[side]}) FROM {self._from(side)} WHERE {sql}",
            params,
        )
        return Checksum(int(count), int(digest))

    async def checksums(self, session: Session, side: Side) -> dict[int, Checksum]:
        """Put the digests of all rows together, by bucket."""
        result = await self._ask(
            session,
            f"SELECT {self._bucket[side]} AS bucket, COUNT(*),"
            f" BIT_XOR({self._checksum[side]})"
            f" FROM {self._tables[side]} GROUP BY bucket",
            [],
        )
        return {int(bucket): Checksum(int(count), int(digest)) for bucket, count, digest in result}

    async def rows(self, session: Session, side: Side, condition: Condition) -> list[Row]:
        """Return some rows."""
        sql, params = condition
        result = await self._ask(
            session,
            f"SELECT {self._identity[side]}, {self._digest[side]}, {self._keys[side]}"
            f" FROM {self._from(side)} WHERE {sql}",
            params,
        )
        return [Row(tuple(key), str(identity), str(digest)) for identity, digest, *key in result]

    def in_buckets(self, side: Side, buckets: Sequence[int]) -> Condition:
        """Return the condition for the rows of some buckets."""
        return f"({self._bucket[side]}) IN ({', '.join(map(str, buckets))})", []

    async def cells(
        self, session: Session, side: Side, keys: Sequence[Values]
    ) -> dict[Values, tuple[str, ...]]:
        """Return the digest of each compared value of some rows."""
        found = await self._by_key(
            session, side, [cell_sql(pair, side) for pair in self.pairs], keys
        )
        return {key: tuple(map(str, cells)) for key, cells in found.items()}

    async def values(
        self, session: Session, pairs: Sequence[Pair], keys: Sequence[Values]
    ) -> dict[Values, tuple[Any, ...]]:
        """Return the values of some columns of some rows of the old table."""
        columns = [read_sql(column_of(pair, Side.OLD)) for pair in pairs]
        return await self._by_key(session, Side.OLD, columns, keys)

    async def _by_key(
        self, session: Session, side: Side, expressions: Sequence[str], keys: Sequence[Values]
    ) -> dict[Values, tuple[Any, ...]]:
        sql, params = one_of(self.key.columns(side), keys)
        result = await self._ask(
            session,
            f"SELECT {', '.join([self._keys[side], *expressions])}"
            f" FROM {self._from(side)} WHERE {sql}",
            params,
        )
        width = len(self.key.pairs)
        return {tuple(row[:width]): tuple(row[width:]) for row in result}

    def _from(self, side: Side) -> str:
        index = force_index(self.key.index(side)) if self.key.is_ordered else ""
        return f"{self._tables[side]}{index}"

    async def _ask(self, session: Session, sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
        result = await session.execute(sql, params, timeout_seconds=_STATEMENT_SECONDS_MAX)
        return result.rows
