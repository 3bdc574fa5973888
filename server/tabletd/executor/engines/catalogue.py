"""What the server's catalogue says of a table or a view."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from tabletd.errors import Reason
from tabletd.mysql.errors import MySQLError
from tabletd.mysql.quote import identifier, marks
from tabletd.mysql.session import Session

ABSENT: Final = "absent"
_ANALYZE_SECONDS_MAX: Final = 600.0
_MOVING: Final = re.compile(r" AUTO_INCREMENT=\d+")
_KINDS: Final = (
    "SELECT table_name AS name, table_type AS type, @@lower_case_table_names AS folded"
    " FROM information_schema.tables WHERE table_schema = %s AND table_name IN ({marks})"
)
_KEPT_TYPES: Final = frozenset({"BASE TABLE", "SYSTEM VERSIONED"})
_FOREIGN_KEYS: Final = (
    "SELECT constraint_name AS name FROM information_schema.referential_constraints"
    " WHERE (constraint_schema = %s AND table_name = %s)"
    " OR (unique_constraint_schema = %s AND referenced_table_name = %s)"
)


@dataclass(frozen=True, slots=True)
class View:
    """A view as the server writes it.

    Attributes:
        statement: CREATE VIEW, with the name as the server chose to write it.
        collation: collation_connection of the session that made it.
    """

    statement: str
    collation: str


async def definition(session: Session, schema: str, table: str) -> str:
    """Return how the server writes a table or view, without the counter that moves by itself.

    `ABSENT` where there is none of that name.
    """
    try:
        row = (await session.execute(f"SHOW CREATE TABLE {identifier(schema, table)}")).rows[0]
    except MySQLError as error:
        if error.reason is Reason.TABLE_NOT_FOUND:
            return ABSENT
        raise
    return _MOVING.sub("", str(row[1]))


async def analyze(session: Session, schema: str, table: str) -> None:
    """Bring the server's estimate of a table's rows up to date; a missing table is no fault.

    Without the binary log: a replica has estimates of its own.
    """
    await session.execute(
        f"ANALYZE NO_WRITE_TO_BINLOG TABLE {identifier(schema, table)}",
        timeout_seconds=_ANALYZE_SECONDS_MAX,
    )


async def kinds(session: Session, schema: str, names: Collection[str]) -> dict[str, str]:
    """Return the TABLE_TYPE of those of the names that exist, as they were asked for."""
    if not names:
        return {}
    sql = _KINDS.format(marks=marks(names))
    rows = (await session.execute(sql, (schema, *names))).dicts()
    exact = {str(row["name"]): str(row["type"]) for row in rows}
    if any(row["folded"] for row in rows):
        folded = {name.casefold(): kind for name, kind in exact.items()}
        return {name: folded[name.casefold()] for name in names if name.casefold() in folded}
    return {name: exact[name] for name in names if name in exact}


async def is_view(session: Session, schema: str, name: str) -> bool:
    """Tell whether there is a view of a name."""
    return (await kinds(session, schema, [name])).get(name) == "VIEW"


async def is_table(session: Session, schema: str, name: str) -> bool:
    """Tell whether there is a table, which can be kept under another name."""
    return (await kinds(session, schema, [name])).get(name) in _KEPT_TYPES


async def view(session: Session, schema: str, name: str) -> View:
    """Return a view's definition."""
    found = (await session.execute(f"SHOW CREATE VIEW {identifier(schema, name)}")).rows[0]
    return View(statement=str(found[1]), collation=str(found[3]))


async def has_foreign_keys(session: Session, schema: str, table: str) -> bool:
    """Tell whether a table refers to others, or others to it."""
    keys = (schema, table, schema, table)
    return bool((await session.execute(_FOREIGN_KEYS, keys)).rows)
