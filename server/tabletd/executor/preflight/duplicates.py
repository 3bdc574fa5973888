"""Which unique keys an ALTER may break, and what two rows must not have in common then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tabletd.executor.columns import MOMENTS, NUMBERS, WORDS, Column, Family
from tabletd.executor.preflight.definition import Definition, UniqueKey


@dataclass(frozen=True, slots=True)
class Collision:
    """A unique key that rows may have in common once they are converted.

    Attributes:
        key: its name.
        parts: expressions over the columns as they are now; none: all rows are alike.
        unknown: a column whose values after the change cannot be said beforehand, or empty.
    """

    key: str
    parts: tuple[str, ...]
    unknown: str = ""


def possible_collisions(
    old: Definition,
    new: Definition,
    former_column: Callable[[str], Column | None],
    quote: Callable[[str], str],
) -> list[Collision]:
    """Return the unique keys that the table's own unique keys do not make sure of already.

    Args:
        old: the table.
        new: what it becomes.
        former_column: gives the column that one of these names in the new table was before.
        quote: makes a column's name part of a statement.
    """
    found: list[Collision] = []
    for key in new.unique_keys:
        if _is_implied(key, old, new, former_column):
            continue
        collision = _collision(key, new, former_column, quote)
        if collision is not None:
            found.append(collision)
    return found


def _is_implied(
    key: UniqueKey, old: Definition, new: Definition, former_column: Callable[[str], Column | None]
) -> bool:
    """Say whether a key of the table keeps rows apart that the new key has to keep apart."""
    kept: dict[str, int | None] = {}
    for name, prefix in key.parts:
        now, was = new.column(name), former_column(name)
        if now is not None and was is not None and _stays_distinct(was, now):
            kept[was.name.casefold()] = prefix
    for known in old.unique_keys:
        if all(
            name.casefold() in kept and _is_as_long(kept[name.casefold()], prefix)
            for name, prefix in known.parts
        ):
            return True
    return False


def _is_as_long(prefix: int | None, known: int | None) -> bool:
    return prefix is None or (known is not None and prefix >= known)


def _stays_distinct(was: Column, now: Column) -> bool:
    """Say whether different values that fit stay different."""
    if now.holds_as(was):
        return True
    if was.family is not now.family:
        return False
    if now.family is Family.TEXT:
        return now.collation == was.collation
    return now.family in (Family.INTEGER, Family.BINARY, Family.ENUM, Family.SET)


def _collision(
    key: UniqueKey,
    new: Definition,
    former_column: Callable[[str], Column | None],
    quote: Callable[[str], str],
) -> Collision | None:
    """Return what must not be alike; None where rows cannot be."""
    parts: list[str] = []
    for name, prefix in key.parts:
        now = new.column(name)
        if now is None or now.is_generated:
            return Collision(key.name, (), unknown=name or "an expression")
        was = former_column(name)
        if was is None:
            # A new column: numbered by the server, or NULL, or one value for all rows.
            if now.is_counted or (now.is_nullable and now.default in (None, "NULL")):
                return None
            continue
        converted = converted_value(was, now, quote(was.name))
        if not converted:
            return Collision(key.name, (), unknown=name)
        parts.append(f"LEFT({converted}, {prefix})" if prefix else converted)
    return Collision(key.name, tuple(parts))


def converted_value(was: Column, now: Column, sql: str) -> str:
    """Return an expression that is alike for values that the new column takes for one another.

    Empty where none is known.
    """
    if now.holds_as(was):
        return sql
    if now.family in (Family.TEXT, Family.ENUM) and (
        was.family in WORDS or was.family in (Family.INTEGER, Family.DECIMAL, Family.BINARY)
    ):
        return f"CONVERT({sql} USING {now.charset}) COLLATE {now.collation}"
    number = f"CAST({sql} AS DECIMAL(65,30))" if was.family is Family.TEXT else sql
    match now.family:
        case Family.INTEGER if was.family in NUMBERS or was.family is Family.TEXT:
            return sql if was.family is Family.INTEGER else f"ROUND({number})"
        case Family.DECIMAL if was.family in NUMBERS or was.family is Family.TEXT:
            return f"ROUND({number}, {now.scale})"
        case Family.FLOAT if now.data_type == "double" and was.family in NUMBERS:
            return f"({sql} + 0e0)"
        case Family.BINARY if was.family in (Family.BINARY, Family.TEXT):
            return f"CAST({sql} AS BINARY)"
        case Family.DATE if was.family in MOMENTS or was.family is Family.TEXT:
            return f"CAST({sql} AS DATE)"
        case Family.DATETIME | Family.TIMESTAMP if (
            was.family in MOMENTS or was.family is Family.TEXT
        ):
            return f"CAST({sql} AS DATETIME({now.fraction}))"
        case Family.TIME if was.family is Family.TIME:
            return f"CAST({sql} AS TIME({now.fraction}))"
        case _:
            return ""
