"""Makes the `_vt` schema what it is declared to be, whichever version made it before."""

from __future__ import annotations

import logging
from importlib import resources
from typing import Final

from tabletd.errors import NotWritable
from tabletd.mysql.errors import MySQLError
from tabletd.mysql.quote import identifier
from tabletd.mysql.session import Session
from tabletd.mysql.sidecar.declaration import (
    ColumnFacts,
    DeclaredTable,
    KeyFacts,
    normal_default,
    normal_type,
    parse_declaration,
)
from tabletd.mysql.variables import as_text, is_read_only

SIDECAR_SCHEMA: Final = "_vt"
ALTER_TIMEOUT_SECONDS: Final = 60.0
_DATABASE_EXISTS: Final = 1007

_COLUMNS_SQL: Final = (
    "SELECT table_name, column_name, column_type, is_nullable, column_default, extra"
    " FROM information_schema.columns WHERE table_schema = %s"
)
_KEYS_SQL: Final = (
    "SELECT table_name, index_name, non_unique, column_name, COALESCE(sub_part, 0)"
    " FROM information_schema.statistics WHERE table_schema = %s"
    " ORDER BY table_name, index_name, seq_in_index"
)

_logger = logging.getLogger(__name__)


def _declared_tables() -> tuple[DeclaredTable, ...]:
    folder = resources.files(__package__ or "")
    names = (
        "heartbeat.sql",
        "lease.sql",
        "schema_migrations.sql",
        "throttled_apps.sql",
        "throttler_config.sql",
    )
    return tuple(parse_declaration((folder / name).read_text("utf-8")) for name in names)


DECLARED_TABLES: Final = _declared_tables()


async def ensure_sidecar(session: Session) -> None:
    """Create `_vt` and its tables, or upgrade them, by at most one ALTER for each table.

    Columns and keys that are not ours stay; nothing is written when all is as declared.

    Args:
        session: of an account that may CREATE and ALTER in `_vt`.

    Raises:
        NotWritable: the server is read-only; nothing was written.
        MySQLError: a missing grant, or rows that do not fit a narrower column.
    """
    if await is_read_only(session):
        raise NotWritable()
    await _ensure_schema(session)
    for table, changes in await pending_changes(session):
        if not changes:
            await session.execute(table.create_sql, timeout_seconds=ALTER_TIMEOUT_SECONDS)
            continue
        _logger.info("upgrading %s.%s: %s", SIDECAR_SCHEMA, table.name, "; ".join(changes))
        await session.execute(
            f"ALTER TABLE {identifier(SIDECAR_SCHEMA, table.name)} {', '.join(changes)}",
            timeout_seconds=ALTER_TIMEOUT_SECONDS,
        )


async def pending_changes(session: Session) -> list[tuple[DeclaredTable, list[str]]]:
    """Return the tables that are not as declared, and the parts of the ALTER TABLE; none: absent.

    Raises:
        MySQLError: a missing grant.
    """
    columns, keys = await _actual_columns(session), await _actual_keys(session)
    pending: list[tuple[DeclaredTable, list[str]]] = []
    for table in DECLARED_TABLES:
        if table.name not in columns:
            pending.append((table, []))
            continue
        changes = changes_to(table, columns[table.name], keys.get(table.name, {}))
        if changes:
            pending.append((table, changes))
    return pending


def changes_to(
    table: DeclaredTable, columns: dict[str, ColumnFacts], keys: dict[str, KeyFacts]
) -> list[str]:
    """Return the parts of the ALTER TABLE that makes the table what it should be."""
    changes: list[str] = []
    for name, facts in table.columns.items():
        if name not in columns:
            changes.append(f"ADD COLUMN {table.clauses[name]}")
        elif columns[name] != facts:
            changes.append(f"MODIFY COLUMN {table.clauses[name]}")
    for name, key in table.keys.items():
        if keys.get(name) == key:
            continue
        if name in keys:
            is_primary = name == "PRIMARY"
            changes.append("DROP PRIMARY KEY" if is_primary else f"DROP KEY {identifier(name)}")
        changes.append(f"ADD {table.clauses[name]}")
    return changes


async def _ensure_schema(session: Session) -> None:
    # CREATE ... IF NOT EXISTS is written to the binary log even when it does nothing.
    found = await session.execute(
        "SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", (SIDECAR_SCHEMA,)
    )
    if found.rows:
        return
    try:
        await session.execute(f"CREATE DATABASE {identifier(SIDECAR_SCHEMA)}")
    except MySQLError as error:
        if error.errno != _DATABASE_EXISTS:
            raise


async def _actual_columns(session: Session) -> dict[str, dict[str, ColumnFacts]]:
    tables: dict[str, dict[str, ColumnFacts]] = {}
    result = await session.execute(_COLUMNS_SQL, (SIDECAR_SCHEMA,))
    for table, column, column_type, is_nullable, default, extra in result.rows:
        tables.setdefault(as_text(table), {})[as_text(column).lower()] = ColumnFacts(
            type=normal_type(as_text(column_type)),
            is_nullable=as_text(is_nullable) == "YES",
            default=None if default is None else normal_default(as_text(default)),
            is_auto_increment="auto_increment" in as_text(extra).lower(),
        )
    return tables


async def _actual_keys(session: Session) -> dict[str, dict[str, KeyFacts]]:
    parts: dict[str, dict[str, list[tuple[str, int]]]] = {}
    unique: dict[tuple[str, str], bool] = {}
    result = await session.execute(_KEYS_SQL, (SIDECAR_SCHEMA,))
    for table, key, non_unique, column, length in result.rows:
        parts.setdefault(as_text(table), {}).setdefault(as_text(key), []).append(
            (as_text(column).lower(), int(length))
        )
        unique[as_text(table), as_text(key)] = not int(non_unique)
    return {
        table: {key: KeyFacts(unique[table, key], tuple(found)) for key, found in keys.items()}
        for table, keys in parts.items()
    }
