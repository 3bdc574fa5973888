"""Which column of the new table continues which of the old one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from tabletd.mysql.session import Session

_COLUMNS: Final = (
    "SELECT column_name AS name, data_type AS data_type, column_type AS type,"
    " character_set_name AS charset, collation_name AS collation, is_nullable AS nullable,"
    " numeric_scale AS scale, datetime_precision AS fraction, extra AS extra,"
    " generation_expression AS expression"
    " FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
    " ORDER BY ordinal_position"
)


class Family(StrEnum):
    """Types that are read, compared and converted alike."""

    INTEGER = "integer"
    DECIMAL = "decimal"
    FLOAT = "float"
    TEXT = "text"
    BINARY = "binary"
    DATE = "date"
    DATETIME = "datetime"
    TIMESTAMP = "timestamp"
    TIME = "time"
    YEAR = "year"
    CHOICE = "choice"
    BIT = "bit"
    JSON = "json"
    GEOMETRY = "geometry"
    OTHER = "other"


_FAMILIES: Final[Mapping[str, Family]] = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint"), Family.INTEGER),
    "decimal": Family.DECIMAL,
    **dict.fromkeys(("float", "double"), Family.FLOAT),
    **dict.fromkeys(
        ("char", "varchar", "tinytext", "text", "mediumtext", "longtext"), Family.TEXT
    ),
    **dict.fromkeys(
        ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), Family.BINARY
    ),
    **{name: Family(name) for name in ("date", "datetime", "timestamp", "time", "year", "bit")},
    **dict.fromkeys(("enum", "set"), Family.CHOICE),
    "json": Family.JSON,
    **dict.fromkeys(
        (
            "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring",
            "multipolygon", "geometrycollection", "geomcollection",
        ),
        Family.GEOMETRY,
    ),
}  # fmt: skip
_LONG: Final = frozenset(
    {"text", "mediumtext", "longtext", "blob", "mediumblob", "longblob", "json"}
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column, by information_schema.

    Attributes:
        name: as the server writes it.
        data_type: without its length, lower case.
        type: whole, as in a definition ("int(10) unsigned", "enum('a','b')").
        charset: of texts; empty for others.
        collation: of texts; empty for others.
        is_nullable: takes NULL.
        scale: digits behind the point.
        fraction: digits of a second.
        is_generated: computed by the server.
    """

    name: str
    data_type: str
    type: str
    charset: str = ""
    collation: str = ""
    is_nullable: bool = True
    scale: int = 0
    fraction: int = 0
    is_generated: bool = False

    @property
    def family(self) -> Family:
        """How it is compared."""
        return _FAMILIES.get(self.data_type, Family.OTHER)

    @property
    def is_long(self) -> bool:
        """Whether its values may be longer than what a function of the server may return."""
        return self.data_type in _LONG or self.family in (Family.GEOMETRY, Family.OTHER)


@dataclass(frozen=True, slots=True)
class Pair:
    """A column of both tables."""

    old: Column
    new: Column

    @property
    def is_converted(self) -> bool:
        """Whether the server may have to turn old values into others."""
        return (
            (self.old.type, self.old.charset) != (self.new.type, self.new.charset)
            or (self.old.is_nullable and not self.new.is_nullable)
        )  # fmt: skip


async def read_columns(session: Session, schema: str, table: str) -> tuple[Column, ...]:
    """Read a table's columns in their order; none where there is no such table."""
    rows = (await session.execute(_COLUMNS, (schema, table))).dicts()
    return tuple(_column(row) for row in rows)


def _column(row: dict[str, Any]) -> Column:
    extra = str(row["extra"] or "").upper()
    words = extra.replace("DEFAULT_GENERATED", "").split()
    return Column(
        name=str(row["name"]),
        data_type=str(row["data_type"]).lower(),
        type=str(row["type"]),
        charset=str(row["charset"] or ""),
        collation=str(row["collation"] or ""),
        is_nullable=str(row["nullable"]).upper() == "YES",
        scale=int(row["scale"] or 0),
        fraction=int(row["fraction"] or 0),
        is_generated=bool({"GENERATED", "VIRTUAL", "PERSISTENT"} & set(words)),
    )


def pair_columns(
    old: Sequence[Column],
    new: Sequence[Column],
    *,
    renamed: Mapping[str, str],
    dropped: Collection[str],
) -> tuple[Pair, ...]:
    """Pair the columns that have to carry the same values, in the old table's order.

    Left out are new columns, dropped ones (also where one of the same name is added), and those
    that the server computes in the new table.

    Args:
        old: of the former table.
        new: of the altered one.
        renamed: the former name of each column that has another one, by the new name.
        dropped: names of the columns that the ALTER drops.
    """
    olds = {column.name.casefold(): column for column in old}
    formers = {name.casefold(): former.casefold() for name, former in renamed.items()}
    moved = set(formers.values())
    gone = {name.casefold() for name in dropped}
    by_old: dict[str, Pair] = {}
    for column in new:
        name = column.name.casefold()
        former = formers.get(name, name)
        if name not in formers and (name in gone or name in moved):
            continue
        if former in olds and not column.is_generated:
            by_old[former] = Pair(olds[former], column)
    return tuple(by_old[name] for name in olds if name in by_old)
