"""The columns of a table as the server describes them, and what an ALTER TABLE makes of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from tabletd.mysql.session import Session

_COLUMNS_SQL: Final = (
    "SELECT column_name AS name, data_type, column_type, character_maximum_length AS length,"
    " character_octet_length AS octets, numeric_precision AS digits, numeric_scale AS scale,"
    " datetime_precision AS fraction, character_set_name AS charset,"
    " collation_name AS collation, is_nullable, column_default AS value, extra"
    " FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
    " ORDER BY ordinal_position"
)
_MEMBER: Final = re.compile(r"'((?:[^']|'')*)'")


class Family(StrEnum):
    """Types that hold the same kind of values."""

    INTEGER = "integer"
    DECIMAL = "decimal"
    FLOAT = "float"
    TEXT = "text"
    BINARY = "binary"
    ENUM = "enum"
    SET = "set"
    DATE = "date"
    DATETIME = "datetime"
    TIMESTAMP = "timestamp"
    TIME = "time"
    YEAR = "year"
    BIT = "bit"
    JSON = "json"
    GEOMETRY = "geometry"
    OTHER = "other"


NUMBERS: Final = frozenset({Family.INTEGER, Family.DECIMAL, Family.FLOAT})
WORDS: Final = frozenset({Family.TEXT, Family.ENUM, Family.SET})
MOMENTS: Final = frozenset({Family.DATE, Family.DATETIME, Family.TIMESTAMP})
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
    **{
        name: Family(name)
        for name in ("enum", "set", "date", "datetime", "timestamp", "time", "year", "bit", "json")
    },
    **dict.fromkeys(
        (
            "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring",
            "multipolygon", "geometrycollection", "geomcollection",
        ),
        Family.GEOMETRY,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """A column as information_schema describes it.

    Attributes:
        name: as the server writes it.
        data_type: the type's name alone.
        column_type: with length, members and sign.
        length: characters at most; of a text type bytes at most.
        octets: bytes at most.
        digits: all digits of a number.
        scale: digits behind the point.
        fraction: digits of a second's fraction.
        charset: empty where it is no text.
        collation: empty where it is no text.
        is_nullable: whether it may be NULL.
        default: its default value; None: NULL, or none at all.
        extra: `auto_increment`, `VIRTUAL GENERATED` ...
    """

    name: str
    data_type: str
    column_type: str
    length: int = 0
    octets: int = 0
    digits: int = 0
    scale: int = 0
    fraction: int = 0
    charset: str = ""
    collation: str = ""
    is_nullable: bool = True
    default: str | None = None
    extra: str = ""

    @property
    def family(self) -> Family:
        """What kind of values it holds."""
        return _FAMILIES.get(self.data_type, Family.OTHER)

    @property
    def is_unsigned(self) -> bool:
        """Whether it holds no negative numbers."""
        return "unsigned" in self.column_type

    @property
    def is_counted(self) -> bool:
        """Whether the server numbers its rows."""
        return "auto_increment" in self.extra

    @property
    def is_generated(self) -> bool:
        """Whether the server computes it from others."""
        words = self.extra.upper().split()
        return bool({"VIRTUAL", "STORED", "PERSISTENT"} & set(words))

    @property
    def members(self) -> tuple[str, ...]:
        """The words of an ENUM or SET."""
        return tuple(word.replace("''", "'") for word in _MEMBER.findall(self.column_type))

    def holds_as(self, other: Column) -> bool:
        """Say whether both hold the same values, and tell the same values from one another."""
        return (self.column_type, self.collation) == (other.column_type, other.collation)


@dataclass(frozen=True, slots=True)
class Lineage:
    """Which column of a table becomes which of the altered one.

    Attributes:
        old: the table's columns by folded name.
        renamed: former names by new ones.
        dropped: names of columns that go, even if others of that name come.
    """

    old: Mapping[str, Column]
    renamed: Mapping[str, str]
    dropped: Collection[str]

    def former(self, name: str) -> Column | None:
        """Return what a column of the altered table was; None for a new one."""
        folded = name.casefold()
        for new, was in self.renamed.items():
            if new.casefold() == folded:
                return self.old.get(was.casefold())
        gone = {was.casefold() for was in (*self.renamed.values(), *self.dropped)}
        return None if folded in gone else self.old.get(folded)


async def read_columns(session: Session, schema: str, table: str) -> dict[str, Column]:
    """Read a table's columns by folded name, in their order; none where there is no such table."""
    rows = (await session.execute(_COLUMNS_SQL, (schema, table))).lower_dicts()
    return {column.name.casefold(): column for column in map(_column, rows)}


def _column(cells: Mapping[str, Any]) -> Column:
    return Column(
        name=_text(cells["name"]),
        data_type=_text(cells["data_type"]).lower(),
        column_type=_text(cells["column_type"]),
        **{name: int(cells[name] or 0) for name in ("length", "octets", "digits", "scale")},
        fraction=int(cells["fraction"] or 0),
        charset=_text(cells["charset"]),
        collation=_text(cells["collation"]),
        is_nullable=_text(cells["is_nullable"]).upper() == "YES",
        default=None if cells["value"] is None else _text(cells["value"]),
        extra=_text(cells["extra"]),
    )


def _text(cell: object) -> str:
    """MySQL 8 gives some of these columns as bytes."""
    return cell.decode() if isinstance(cell, bytes) else str(cell or "")
