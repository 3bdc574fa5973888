"""Which values of a column do not fit its new definition, said as a condition of the server.

The bounds are those of the types, and what is text is judged by the server's own conversion. What
a strict server takes although it changes (a float rounded to an integer) fits; what it cuts off
with a note, does not: the tools fail at that, or lose it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tabletd.executor.columns import MOMENTS, NUMBERS, WORDS, Column, Family
from tabletd.mysql.quote import marks

_INTEGER_BITS: Final = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
_FLOAT_MAX: Final = "3.402823466e38"
_NUMBER: Final = r"^[[:space:]]*[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?[[:space:]]*$"
_OPAQUE: Final = frozenset({Family.BIT, Family.GEOMETRY, Family.OTHER})
_UNICODE: Final = frozenset({"utf8mb4", "utf16", "utf16le", "utf32", "gb18030"})
_UNICODE_BASIC: Final = frozenset({"utf8", "utf8mb3", "ucs2"})
_BY_BYTES: Final = ("tinytext", "text", "mediumtext", "longtext")


@dataclass(frozen=True, slots=True)
class Condition:
    """What is true of a value that does not fit; no SQL: every value fits."""

    sql: str = ""
    values: tuple[object, ...] = ()


FITS: Final = Condition()


def misfit(old: Column, new: Column, sql: str) -> Condition | None:
    """Return what is true of the values that do not fit; None where it is not known.

    Args:
        old: the column.
        new: what it becomes.
        sql: the column's quoted name.
    """
    value = _value_misfit(old, new, sql)
    if value is None or not (old.is_nullable and not new.is_nullable):
        return value
    both = f"({value.sql} OR {sql} IS NULL)" if value.sql else f"{sql} IS NULL"
    return Condition(both, value.values)


def _value_misfit(old: Column, new: Column, sql: str) -> Condition | None:
    if (old.column_type, old.charset) == (new.column_type, new.charset):
        return FITS
    match new.family:
        case Family.INTEGER:
            return _for_integer(old, new, sql)
        case Family.DECIMAL:
            return _for_decimal(old, new, sql)
        case Family.FLOAT:
            return _for_float(old, new, sql)
        case Family.TEXT:
            return _for_text(old, new, sql)
        case Family.BINARY:
            return _for_binary(old, new, sql)
        case Family.ENUM if old.family in WORDS - {Family.SET}:
            return _for_enum(old, new, sql)
        case Family.SET if old.family is Family.SET:
            return _for_set(old, new, sql)
        case Family.DATE | Family.DATETIME | Family.TIMESTAMP if old.family in MOMENTS:
            return _for_date(old, new, sql)
        case Family.DATE | Family.DATETIME | Family.TIMESTAMP if old.family is Family.TEXT:
            read = f"CAST({sql} AS DATETIME(6))"
            return _any_of(f"({sql} IS NOT NULL AND {read} IS NULL)", *_beyond(new, read))
        case Family.TIME if old.family is Family.TIME:
            return FITS
        case Family.JSON if old.family is Family.TEXT:
            return Condition(f"NOT JSON_VALID({sql})")
        case _:
            return None


def _any_of(*conditions: str, values: tuple[object, ...] = ()) -> Condition:
    return Condition(" OR ".join(filter(None, conditions)), values)


def integer_range(column: Column) -> tuple[int, int]:
    """Return the least and the greatest number of an integer column."""
    bits = _INTEGER_BITS[column.data_type]
    return (0, 2**bits - 1) if column.is_unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _for_integer(old: Column, new: Column, sql: str) -> Condition | None:
    low, high = integer_range(new)
    if old.family is Family.INTEGER:
        old_low, old_high = integer_range(old)
        below = f"{sql} < {low}" if old_low < low else ""
        return _any_of(below, f"{sql} > {high}" if old_high > high else "")
    if old.family in (Family.DECIMAL, Family.FLOAT):
        return _any_of(f"ROUND({sql}) < {low}", f"ROUND({sql}) > {high}")
    if old.family is Family.TEXT:
        number = f"ROUND(CAST({sql} AS DECIMAL(65,30)))"
        return _any_of(_no_number(sql), f"{number} < {low}", f"{number} > {high}")
    return FITS if old.family is Family.YEAR and high >= 2155 else None


def _for_decimal(old: Column, new: Column, sql: str) -> Condition | None:
    bound = 10 ** (new.digits - new.scale)
    number = f"CAST({sql} AS DECIMAL(65,30))" if old.family is Family.TEXT else sql
    if old.family not in (*NUMBERS, Family.TEXT):
        return None
    too_long = f"ABS(ROUND({number}, {new.scale})) >= {bound}"
    if old.family is Family.INTEGER and max(map(abs, integer_range(old))) < bound:
        too_long = ""
    room = (new.digits - new.scale) - (old.digits - old.scale)
    if old.family is Family.DECIMAL and (room > 0 or (room == 0 and old.scale <= new.scale)):
        too_long = ""
    is_cut = old.family is Family.TEXT or old.scale > new.scale
    is_cut = is_cut and old.family is not Family.FLOAT
    return _any_of(
        _no_number(sql) if old.family is Family.TEXT else "",
        too_long,
        f"ROUND({number}, {new.scale}) <> {number}" if is_cut else "",
        f"{number} < 0" if new.is_unsigned and not old.is_unsigned else "",
    )


def _for_float(old: Column, new: Column, sql: str) -> Condition | None:
    if old.family not in (*NUMBERS, Family.TEXT):
        return None
    number = f"({sql} + 0e0)"
    is_wide = old.data_type == "double" or old.family in (Family.DECIMAL, Family.TEXT)
    return _any_of(
        _no_number(sql) if old.family is Family.TEXT else "",
        f"ABS({number}) > {_FLOAT_MAX}" if new.data_type == "float" and is_wide else "",
        f"{number} < 0" if new.is_unsigned and not old.is_unsigned else "",
    )


def _no_number(sql: str) -> str:
    return f"{sql} NOT REGEXP '{_NUMBER}'"


def _for_text(old: Column, new: Column, sql: str) -> Condition | None:
    if old.family in _OPAQUE:
        return None
    is_bytes = old.family is Family.BINARY
    text = sql if old.family in WORDS else f"CONVERT({sql} USING {new.charset})"
    same_charset = old.charset == new.charset
    too_long = ""
    if new.data_type in _BY_BYTES:
        if not same_charset or old.octets > new.octets:
            too_long = f"LENGTH(CONVERT({sql} USING {new.charset})) > {new.octets}"
    elif old.length > new.length or old.family not in (*WORDS, Family.BINARY):
        too_long = f"CHAR_LENGTH({text}) > {new.length}"
    lossy = ""
    if is_bytes:
        lossy = (
            f"NOT (CAST(CONVERT({sql} USING {new.charset}) AS BINARY) <=> CAST({sql} AS BINARY))"
        )
    elif old.charset and not same_charset and not _includes(new.charset, old.charset):
        back = f"CONVERT(CONVERT({sql} USING {new.charset}) USING {old.charset})"
        lossy = f"NOT (CAST({back} AS BINARY) <=> CAST({sql} AS BINARY))"
    return _any_of(too_long, lossy)


def _includes(charset: str, other: str) -> bool:
    if charset in _UNICODE or other == "ascii":
        return True
    return charset in _UNICODE_BASIC and other not in _UNICODE


def _for_binary(old: Column, new: Column, sql: str) -> Condition | None:
    if old.family in _OPAQUE or old.family in (Family.JSON, Family.YEAR):
        return None
    if old.octets and old.octets <= new.octets:
        return FITS
    return Condition(f"LENGTH({sql}) > {new.octets}")


def _for_enum(old: Column, new: Column, sql: str) -> Condition:
    if old.family is Family.ENUM and set(old.members) <= set(new.members):
        return Condition(f"{sql} = ''") if "" not in new.members else FITS
    return Condition(f"CAST({sql} AS CHAR) NOT IN ({marks(new.members)})", new.members)


def _for_set(old: Column, new: Column, sql: str) -> Condition:
    gone = tuple(member for member in old.members if member not in new.members)
    return _any_of(*(f"FIND_IN_SET(%s, {sql}) > 0" for _ in gone), values=gone)


def _for_date(old: Column, new: Column, sql: str) -> Condition:
    return _any_of(*_beyond(new, sql) if old.data_type != new.data_type else ())


def _beyond(new: Column, moment: str) -> tuple[str, ...]:
    """A date takes no time of day, a timestamp only the seconds that 31 bits count (in UTC)."""
    if new.data_type == "date":
        return (f"TIME_TO_SEC({moment}) <> 0", f"MICROSECOND({moment}) <> 0")
    if new.data_type == "timestamp":
        return (
            f"(YEAR({moment}) > 0 AND {moment} < '1970-01-01 00:00:01')",
            f"{moment} > '2038-01-19 03:14:07.999999'",
        )
    return ()
