# ruff: noqa: S608  # all names go through mysql.quote, all values are parameters
"""Old values converted to the new definition by the server itself.

Two tables: one has the old definition of some columns, one the new one, neither a key of theirs.
Values go into the first as they were read, and from there into the second as a tool would carry
them. All of it is rolled back with the snapshot that the values came from: nothing but the empty
tables ever gets into the binary log. They are ordinary tables, since temporary ones need another
privilege and get into the log of some formats.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from tabletd.errors import TabletdError
from tabletd.executor.columns import Column, Family
from tabletd.executor.names import TableGCState, create_gc_uuid, gc_table_name
from tabletd.executor.verify.expressions import Side, cell_sql, column_of, column_sql, digest_sql
from tabletd.executor.verify.pairs import Pair
from tabletd.mysql.errors import MySQLError
from tabletd.mysql.pool import Pool
from tabletd.mysql.quote import identifier, marks
from tabletd.mysql.session import Session

# With the migration's id in the name: by both the sweeper knows what a killed daemon has left.
SCRATCH_COMMENT: Final = "tabletd: values are converted here to be compared"
_LEFT: Final = (
    "SELECT table_name FROM information_schema.tables"
    " WHERE table_schema = %s AND table_comment = %s AND table_name LIKE %s"
)
# What follows the migration's id in the name of such a table.
_VARYING: Final = "0123456789abcdef_20060102150405_"
_AS_READ: Final = "SET sql_mode = 'ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION'"
# Zero dates are values like others here: whether they may stay, the tool has been told.
_AS_CARRIED: Final = (
    "SET time_zone = @@global.time_zone, sql_mode = CONCAT('STRICT_ALL_TABLES,ALLOW_INVALID_DATES',"
    " IF(FIND_IN_SET('TIME_TRUNCATE_FRACTIONAL', @@global.sql_mode), ',TIME_TRUNCATE_FRACTIONAL',"
    " ''))"
)
_AGAIN_IN_UTC: Final = "SET time_zone = '+00:00'"
_ZERO_VALUES: Final = {
    Family.TEXT: "",
    Family.BINARY: "",
    Family.JSON: "null",
    Family.DATE: "0000-00-00",
    Family.DATETIME: "0000-00-00",
    Family.TIMESTAMP: "0000-00-00",
}

# Seen: MariaDB 10.11 makes NULL the first choice; MariaDB 11.4, MySQL 5.7 and 8.0 none of them.
_NO_CHOICE: Final = "IF(VERSION() LIKE '10.%%MariaDB%%', 1, 0)"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Converted:
    """A row of the old table in the new definition.

    Attributes:
        identity: digest of the key's values; empty where the key is not converted.
        cells: digest of each converted pair's value; empty where the row does not fit.
        refusal: the server's words where the row does not fit.
    """

    identity: str
    cells: tuple[str, ...]
    refusal: str = ""


class Scratch:
    """The two tables of one comparison.

    Args:
        schema: where they are made.
        migration_id: of the row that they belong to; part of their names.
        pairs: what is converted.
        key_pairs: the key's columns, all of which are in `pairs`; empty: they keep their values.
        null_to_default: as in `VerifyOptions`.
    """

    def __init__(
        self,
        schema: str,
        migration_id: int,
        pairs: Sequence[Pair],
        key_pairs: Sequence[Pair],
        *,
        null_to_default: bool,
    ) -> None:
        self.pairs = tuple(pairs)
        self._schema = schema
        self._migration_id = migration_id
        self._key_pairs = tuple(key_pairs)
        self._null_to_default = null_to_default
        self._number = _free_name(pairs)
        self._next = 0
        self._names = dict.fromkeys(Side, "")

    async def make(self, session: Session) -> None:
        """Make the tables, before any snapshot begins that is to see them.

        Args:
            session: outside of a transaction.

        Raises:
            MySQLError: MISSING_GRANT, or another refusal.
        """
        await drop_scratch(session, self._schema, self._migration_id)
        for side in Side:
            gc_uuid = create_gc_uuid(self._migration_id)
            name = gc_table_name(TableGCState.DROP, gc_uuid, datetime.now(UTC))
            self._names[side] = identifier(self._schema, name).replace("%", "%%")
            definitions = [
                f"{column_sql(self._number)} BIGINT UNSIGNED NOT NULL PRIMARY KEY",
                *(_definition(column_of(pair, side)) for pair in self.pairs),
            ]
            await session.execute(
                f"CREATE TABLE {self._names[side]} ({', '.join(definitions)})"
                " ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COMMENT = %s",
                (SCRATCH_COMMENT,),
            )

    async def remove(self, pool: Pool) -> None:
        """Drop the tables; what that meets is only logged."""
        try:
            async with pool.session(writable=True) as session:
                await drop_scratch(session, self._schema, self._migration_id)
        except TabletdError as error:
            _logger.warning("scratch tables in %s are not dropped: %s", self._schema, error)

    async def convert(self, session: Session, rows: Sequence[Sequence[Any]]) -> list[Converted]:
        """Convert rows.

        Args:
            session: in the transaction that is going to be rolled back.
            rows: for each the values of `pairs`, read by `read_sql`.
        """
        number = column_sql(self._number)
        first, self._next = self._next, self._next + len(rows)
        numbers = range(first, self._next)
        await self._take(session, numbers, rows)
        refusals = await self._carry(session, numbers)
        if self._null_to_default:
            await self._fill(session)
        identity = digest_sql(self._key_pairs, Side.NEW) if self._key_pairs else "''"
        cells = ", ".join([identity, *(cell_sql(pair, Side.NEW) for pair in self.pairs)])
        result = await session.execute(
            f"SELECT {number}, {cells} FROM {self._names[Side.NEW]} WHERE {number} >= %s", (first,)
        )
        found = {
            int(number): Converted(str(identity), tuple(map(str, cells)))
            for number, identity, *cells in result.rows
        }
        return [
            found.get(number) or Converted("", (), refusals.get(number, "it does not fit"))
            for number in numbers
        ]

    async def _take(
        self, session: Session, numbers: Sequence[int], rows: Sequence[Sequence[Any]]
    ) -> None:
        names = [column_sql(self._number), *(column_sql(pair.old.name) for pair in self.pairs)]
        one = f"({marks(names)})"
        await session.execute(_AS_READ)
        await session.execute(
            f"INSERT INTO {self._names[Side.OLD]} ({', '.join(names)})"
            f" VALUES {', '.join([one] * len(rows))}",
            [value for number, row in zip(numbers, rows, strict=True) for value in (number, *row)],
        )

    async def _carry(self, session: Session, numbers: Sequence[int]) -> dict[int, str]:
        """Carry rows over; returns the server's words for each that it refuses."""
        await session.execute(_AS_CARRIED)
        refusals: dict[int, str] = {}
        number = column_sql(self._number)
        olds = ", ".join([number, *(column_sql(pair.old.name) for pair in self.pairs)])
        news = ", ".join([number, *(column_sql(pair.new.name) for pair in self.pairs)])
        sql = (
            f"INSERT INTO {self._names[Side.NEW]} ({news})"
            f" SELECT {olds} FROM {self._names[Side.OLD]} WHERE {number}"
        )
        try:
            await session.execute(f"{sql} >= %s", (numbers[0],))
        except MySQLError:
            for one in numbers:
                try:
                    await session.execute(f"{sql} = %s", (one,))
                except MySQLError as error:
                    refusals[one] = error.message
        await session.execute(_AGAIN_IN_UTC)
        return refusals

    async def _fill(self, session: Session) -> None:
        await session.execute(_AS_READ)
        for pair in self.pairs:
            if pair.old.is_nullable and not pair.new.is_nullable:
                name = column_sql(pair.new.name)
                value = _NO_CHOICE if pair.new.data_type == "enum" else "%s"
                params = () if value is _NO_CHOICE else (_ZERO_VALUES.get(pair.new.family, 0),)
                await session.execute(
                    f"UPDATE {self._names[Side.NEW]} SET {name} = {value} WHERE {name} IS NULL",
                    params,
                )


async def drop_scratch(session: Session, schema: str, migration_id: int) -> None:
    """Drop the scratch tables of a migration, those of a daemon before this one too.

    Raises:
        TabletdError: the server was lost, or refused.
    """
    a_name = gc_table_name(TableGCState.DROP, create_gc_uuid(migration_id), datetime.now(UTC))
    beginning = a_name[: -len(_VARYING)].replace("_", "\\_")
    found = await session.execute(_LEFT, (schema, SCRATCH_COMMENT, f"{beginning}%"))
    for (name,) in found.rows:
        await session.execute(f"DROP TABLE IF EXISTS {identifier(schema, str(name))}")


def _definition(column: Column) -> str:
    texts = f" CHARACTER SET {column.charset} COLLATE {column.collation}" if column.charset else ""
    return f"{column_sql(column.name)} {_type(column)}{texts} NULL"


def _type(column: Column) -> str:
    return column.column_type.replace("%", "%%")


def _free_name(pairs: Sequence[Pair]) -> str:
    taken = {name.casefold() for pair in pairs for name in (pair.old.name, pair.new.name)}
    name = "number"
    while name in taken:
        name = f"_{name}"
    return name
