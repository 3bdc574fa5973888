"""By which key two tables are gone along, and the conditions that cut them into ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tabletd.executor.columns import Column, Family
from tabletd.executor.verify.expressions import Side, column_of, column_sql
from tabletd.executor.verify.pairs import Pair
from tabletd.mysql.quote import identifier, marks
from tabletd.mysql.session import Session

_KEYS: Final = (
    "SELECT index_name AS name, non_unique AS non_unique, column_name AS column_name,"
    " sub_part AS sub_part, index_type AS type"
    " FROM information_schema.statistics WHERE table_schema = %s AND table_name = %s"
    " ORDER BY index_name <> 'PRIMARY', index_name, seq_in_index"
)
_PRIMARY: Final = "PRIMARY"
# Longer values of the same type stand in the same order: (old, new).
_KEEP_ORDER: Final = frozenset(
    {
        (Family.INTEGER, Family.INTEGER),
        (Family.INTEGER, Family.DECIMAL),
        (Family.DECIMAL, Family.DECIMAL),
        (Family.DATE, Family.DATETIME),
        (Family.DATETIME, Family.DATETIME),
        (Family.TIMESTAMP, Family.TIMESTAMP),
        (Family.TIME, Family.TIME),
    }
)
_PADDED: Final = frozenset({"char", "binary"})

Values = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """A key of a table; `columns` are names, `has_prefix` says whether one is only a beginning."""

    name: str
    is_unique: bool
    columns: tuple[str, ...]
    has_prefix: bool


@dataclass(frozen=True, slots=True)
class SharedKey:
    """A key by which a row of the old table is found again in the new one.

    Attributes:
        pairs: its columns.
        old_index: the key's name in the old table.
        new_index: an index of the new table that begins with the same columns; empty: none.
        is_ordered: both tables can be cut into the same ranges.
    """

    pairs: tuple[Pair, ...]
    old_index: str
    new_index: str
    is_ordered: bool

    def index(self, side: Side) -> str:
        """Return the index by which a side is gone along; empty: none."""
        return self.old_index if side is Side.OLD else self.new_index

    def columns(self, side: Side) -> tuple[Column, ...]:
        """Return the key's columns on one side."""
        return tuple(column_of(pair, side) for pair in self.pairs)


async def read_indexes(session: Session, schema: str, table: str) -> tuple[Index, ...]:
    """Read a table's keys, the primary key first."""
    rows = (await session.execute(_KEYS, (schema, table))).dicts()
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(str(row["name"]), []).append(row)
    return tuple(
        Index(
            name,
            is_unique=not int(parts[0]["non_unique"]),
            columns=tuple(str(part["column_name"] or "") for part in parts),
            has_prefix=any(part["sub_part"] is not None for part in parts),
        )
        for name, parts in found.items()
        if str(parts[0]["type"]).upper() == "BTREE"
    )


def choose_key(
    pairs: Sequence[Pair], old: Sequence[Index], new: Sequence[Index]
) -> SharedKey | None:
    """Choose the key that two tables are compared by.

    One whose ranges are the same in both tables goes before others, the primary key before unique
    ones, one of few columns before one of many.

    Returns:
        None where no unique key without NULL has all its columns in both tables.
    """
    by_old = {pair.old.name.casefold(): pair for pair in pairs}
    shared: list[SharedKey] = []
    for index in old:
        mapped = [by_old.get(name.casefold()) for name in index.columns]
        kept = tuple(pair for pair in mapped if pair is not None and not pair.old.is_nullable)
        if not index.is_unique or len(kept) != len(index.columns):
            continue
        counterpart = _counterpart(kept, new)
        is_ordered = (
            bool(counterpart) and not index.has_prefix and all(map(_keeps_order, kept))
        )  # fmt: skip
        shared.append(SharedKey(kept, index.name, counterpart, is_ordered))
    return min(shared, key=_preference, default=None)


def _preference(key: SharedKey) -> tuple[bool, bool, int]:
    return not key.is_ordered, key.old_index != _PRIMARY, len(key.pairs)


def _counterpart(pairs: Sequence[Pair], indexes: Sequence[Index]) -> str:
    wanted = [pair.new.name.casefold() for pair in pairs]
    for index in indexes:
        beginning = [name.casefold() for name in index.columns[: len(wanted)]]
        if beginning == wanted and not index.has_prefix:
            return index.name
    return ""


def _keeps_order(pair: Pair) -> bool:
    """Whether equal bounds cut both columns at the same place."""
    old, new = pair.old, pair.new
    if old.family in (Family.JSON, Family.GEOMETRY, Family.OTHER):
        return old.column_type == new.column_type and old.family is Family.OTHER
    if new.holds_as(old):
        return True
    if old.family is new.family is Family.TEXT:
        return old.collation == new.collation and new.data_type not in _PADDED
    if old.family is new.family is Family.BINARY:
        return not _PADDED & {old.data_type, new.data_type}
    is_wide_enough = new.scale >= old.scale and new.fraction >= old.fraction
    return (old.family, new.family) in _KEEP_ORDER and is_wide_enough


def after(columns: Sequence[Column], values: Values) -> tuple[str, list[Any]]:
    """Return the condition, with its parameters, for keys behind one."""
    return _beyond(columns, values, ">", ">")


def up_to(columns: Sequence[Column], values: Values) -> tuple[str, list[Any]]:
    """Return the condition, with its parameters, for a key and those before it."""
    return _beyond(columns, values, "<", "<=")


def _beyond(
    columns: Sequence[Column], values: Values, operator: str, last: str
) -> tuple[str, list[Any]]:
    """Compare key after key: servers find no range for a comparison of tuples."""
    alternatives: list[str] = []
    params: list[Any] = []
    for count in range(1, len(columns) + 1):
        head = [f"{column_sql(column.name)} = %s" for column in columns[: count - 1]]
        sign = last if count == len(columns) else operator
        head.append(f"{column_sql(columns[count - 1].name)} {sign} %s")
        alternatives.append(f"({' AND '.join(head)})")
        params += values[:count]
    return f"({' OR '.join(alternatives)})", params


def one_of(columns: Sequence[Column], keys: Sequence[Values]) -> tuple[str, list[Any]]:
    """Return the condition, with its parameters, for any of some keys."""
    params = [value for key in keys for value in key]
    if len(columns) == 1:
        return f"{column_sql(columns[0].name)} IN ({marks(keys)})", params
    one = " AND ".join(f"{column_sql(column.name)} = %s" for column in columns)
    return f"({' OR '.join([f'({one})'] * len(keys))})", params


def force_index(name: str) -> str:
    """Return the words that keep the server to one index; empty for none."""
    return f" FORCE INDEX ({identifier(name).replace('%', '%%')})" if name else ""
