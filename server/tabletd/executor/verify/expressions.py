"""The expressions by which the values of two columns are compared on the server.

Each pair is written in the form of its new type, injective there: two new values that differ are
written differently. The old value is written in the same form by an expression that needs no
conversion of a column. Where the two texts are equal, the values are; where they are not, the old
value may still be converted to the new one ('07' to 7), which only the server knows (`scratch`).

Sessions are in UTC; the tools turn DATETIME into TIMESTAMP and back in the server's time zone.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from tabletd.executor.columns import MOMENTS, NUMBERS, Column, Family
from tabletd.executor.verify.pairs import Pair
from tabletd.mysql.quote import identifier

_UTC: Final = "'+00:00'"
_SERVER_ZONE: Final = "@@global.time_zone"
_EXACT_NUMBERS: Final = frozenset({Family.INTEGER, Family.DECIMAL})
_CHOICES: Final = frozenset({Family.ENUM, Family.SET})
# May hold a comma.
_FREE: Final = frozenset({Family.TEXT, Family.BINARY, *_CHOICES, Family.OTHER})
# Their values may be longer than what a function of the server may return.
_LONG: Final = frozenset(
    {"text", "mediumtext", "longtext", "blob", "mediumblob", "longblob", "json"}
)
_DECIMAL_DIGITS_MAX: Final = 65
# Equal to nothing. A bare UUID() makes MariaDB take all that it stands beside for a UUID.
_NOTHING: Final = "MD5(UUID())"


class Side(StrEnum):
    """One of the two tables."""

    OLD = "old"
    NEW = "new"


def column_sql(name: str) -> str:
    """Return a quoted name for a statement with parameters."""
    return identifier(name).replace("%", "%%")


def column_of(pair: Pair, side: Side) -> Column:
    """Return a pair's column on one side."""
    return pair.old if side is Side.OLD else pair.new


def checksum_sql(pairs: Sequence[Pair], side: Side) -> str:
    """Return a number of 32 bits for the values of a row, to be put together with others by XOR.

    CRC32 alone would not see values that changed places between rows: it is linear, so that they
    cancel out. The second one is taken of the first one's decimal digits.
    """
    return f"COALESCE(CRC32(CRC32({_row(pairs, side, 'CRC32')})), CRC32(UUID()))"


def digest_sql(pairs: Sequence[Pair], side: Side) -> str:
    """Return the digest of the values of a row."""
    return f"COALESCE(MD5({_row(pairs, side, 'MD5')}), {_NOTHING})"


def cell_sql(pair: Pair, side: Side) -> str:
    """Return the digest of one value; NULL has one of its own."""
    return f"COALESCE(MD5({_value(pair, side, 'MD5')}), 'none')"


def _row(pairs: Sequence[Pair], side: Side, function: str) -> str:
    """Return the text of a row: its values, one behind the other."""
    return f"CONCAT_WS(',', {', '.join(_value(pair, side, function) for pair in pairs)})"


def _value(pair: Pair, side: Side, function: str) -> str:
    """Return the expression of a pair's value on one side, which for NULL is a letter.

    Of a value that may be long or hold a comma, only what a function makes of its bytes. One that
    is too long for the server's functions, which then give NULL, is equal to nothing.
    """
    name = column_sql(column_of(pair, side).name)
    value = _whole(pair, side, name)
    if _is_long(pair.old) or _is_long(pair.new):
        value = f"COALESCE({function}({value}), {_NOTHING})"
    elif {pair.old.family, pair.new.family} & _FREE:
        value = f"{function}({value})"
    is_nullable = pair.old.is_nullable or pair.new.is_nullable
    return f"IF(ISNULL({name}), 'n', {value})" if is_nullable else value


def _is_long(column: Column) -> bool:
    return column.data_type in _LONG or column.family in (Family.GEOMETRY, Family.OTHER)


def read_sql(column: Column) -> str:
    """Return the expression by which a value is fetched to be sent back exactly as it was."""
    name = column_sql(column.name)
    match column.family:
        case Family.FLOAT:
            return f"({name} + 0e0)"
        case Family.BIT | Family.ENUM | Family.SET:
            return f"CAST({name} AS UNSIGNED)"
        case Family.JSON | Family.OTHER:
            return f"CAST({name} AS CHAR)"
        case Family.TEXT:
            return f"CAST({name} AS BINARY)"
        case _:
            return name


def key_sql(column: Column) -> str:
    """Return the expression by which a key's value is fetched, comparable with the column."""
    return column_sql(column.name) if column.family is Family.TEXT else read_sql(column)


def _whole(pair: Pair, side: Side, name: str) -> str:
    old, new = pair.old, pair.new
    column = column_of(pair, side)
    if side is Side.OLD and (converted := _converted(old, new, name)):
        return converted
    if old.family in _CHOICES and _is_same(old, new):
        return f"CAST({name} AS UNSIGNED)"
    if old.family is new.family is Family.TEXT and old.charset == new.charset:
        return name
    if new.family is Family.FLOAT and old.family in NUMBERS:
        return f"({name} + 0e0)"
    return _plain(column, name, is_bytes=Family.BINARY in (old.family, new.family))


def _plain(column: Column, name: str, *, is_bytes: bool) -> str:
    match column.family:
        case Family.TEXT | Family.ENUM | Family.SET if not is_bytes:
            return f"CONVERT({name} USING utf8mb4)"
        case Family.INTEGER | Family.DECIMAL if "zerofill" in column.column_type:
            return f"({name} + 0)"
        case Family.BIT:
            return f"CAST({name} AS UNSIGNED)"
        case Family.JSON:
            return f"CAST({name} AS CHAR)"
        case Family.GEOMETRY:
            return f"CONCAT(ST_SRID({name}), ' ', ST_AsBinary({name}))"
        case Family.OTHER:
            return f"HEX({name})"
        case _:
            return name


def _converted(old: Column, new: Column, name: str) -> str:
    """Return the old value in the form of the new type, where that form is another one.

    Rounds and pads as the server does when it stores a value. Never cuts off what does not fit.
    """
    if _is_same(old, new):
        return ""
    if old.family in _EXACT_NUMBERS and new.family in _EXACT_NUMBERS and old.scale != new.scale:
        return f"CAST({name} AS DECIMAL({_DECIMAL_DIGITS_MAX},{new.scale}))"
    if old.family is Family.TEXT and new.family is Family.JSON:
        document = f"IF(JSON_VALID({name}), CAST({name} AS JSON), NULL)"
        return f"CAST({document} AS CHAR)"
    if old.family is Family.TIME and new.family is Family.TIME:
        return f"CAST({name} AS TIME({new.fraction}))"
    if old.family in MOMENTS and new.family in MOMENTS:
        return _moment(old, new, name)
    return ""


def _moment(old: Column, new: Column, name: str) -> str:
    if old.family is Family.TIMESTAMP and new.family is not Family.TIMESTAMP:
        name = f"CONVERT_TZ({name}, {_UTC}, {_SERVER_ZONE})"
    elif new.family is Family.TIMESTAMP and old.family is not Family.TIMESTAMP:
        name = f"CONVERT_TZ({name}, {_SERVER_ZONE}, {_UTC})"
    if new.family is Family.DATE:
        return f"CAST({name} AS DATE)"
    return f"CAST({name} AS DATETIME({new.fraction}))"


def _is_same(old: Column, new: Column) -> bool:
    return (old.column_type, old.charset) == (new.column_type, new.charset)
