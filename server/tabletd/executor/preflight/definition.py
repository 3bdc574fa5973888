"""The columns and unique keys of a table and of its copy that has been altered already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tabletd.executor.columns import Column, read_columns
from tabletd.mysql.session import Session

_KEYS_SQL: Final = (
    "SELECT index_name AS name, column_name, sub_part FROM information_schema.statistics"
    " WHERE table_schema = %s AND table_name = %s AND non_unique = 0"
    " ORDER BY index_name, seq_in_index"
)


@dataclass(frozen=True, slots=True)
class UniqueKey:
    """A unique key; `parts` are (column, characters of a prefix or None), no column: an expression.

    Attributes:
        name: `PRIMARY` for the primary key.
        parts: in order.
    """

    name: str
    parts: tuple[tuple[str, int | None], ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """Columns by folded name, in order, and unique keys."""

    columns: Mapping[str, Column]
    unique_keys: tuple[UniqueKey, ...]

    def column(self, name: str) -> Column | None:
        """Return a column by its name in any letters."""
        return self.columns.get(name.casefold())

    @property
    def row_key(self) -> tuple[str, ...]:
        """Columns that tell a row from all others: of the primary key first; empty for none."""
        for key in sorted(self.unique_keys, key=lambda key: key.name != "PRIMARY"):
            found = [self.column(name) for name, prefix in key.parts if prefix is None]
            whole = [column for column in found if column is not None and not column.is_nullable]
            if len(whole) == len(key.parts):
                return tuple(column.name for column in whole)
        return ()


async def read_definition(session: Session, schema: str, table: str) -> Definition:
    """Ask the server for a table's columns and unique keys."""
    columns = await read_columns(session, schema, table)
    parts: dict[str, list[tuple[str, int | None]]] = {}
    for name, column, prefix in (await session.execute(_KEYS_SQL, (schema, table))).rows:
        parts.setdefault(str(name), []).append((str(column or ""), prefix))
    return Definition(
        columns=columns,
        unique_keys=tuple(UniqueKey(name, tuple(found)) for name, found in parts.items()),
    )
