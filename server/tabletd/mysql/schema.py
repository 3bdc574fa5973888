"""The definitions of a schema's tables and views, in the form that Vitess passes around."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tabletd.mysql.errors import MySQLError
from tabletd.mysql.quote import identifier
from tabletd.mysql.result import Column
from tabletd.mysql.session import Session
from tabletd.mysql.variables import as_text

DATABASE_PLACEHOLDER: Final = "`{{.DatabaseName}}`"
_BASE_TABLE: Final = "BASE TABLE"
_VIEW: Final = "VIEW"
_NO_SUCH_TABLE: Final = 1146


@dataclass(frozen=True)
class TableDefinition:
    """One table or view.

    Attributes:
        name: its name.
        schema: its CREATE text, without the next AUTO_INCREMENT value; a view's names the schema
            by a placeholder.
        type: `BASE TABLE` or `VIEW`.
        columns: names in order.
        primary_key_columns: names in the key's order.
        data_length: bytes, by the server's estimate.
        row_count: by the server's estimate.
        fields: the columns as a result describes them.
    """

    name: str
    schema: str
    type: str
    columns: tuple[str, ...] = ()
    primary_key_columns: tuple[str, ...] = ()
    data_length: int = 0
    row_count: int = 0
    fields: tuple[Column, ...] = ()


@dataclass(frozen=True)
class SchemaDefinition:
    """A schema: its CREATE text with a placeholder for the name, and its tables by name."""

    database_schema: str
    table_definitions: tuple[TableDefinition, ...]


async def describe_schema(
    session: Session,
    database: str,
    tables: Sequence[str] = (),
    exclude_tables: Sequence[str] = (),
    *,
    include_views: bool = False,
    table_schema_only: bool = False,
) -> SchemaDefinition:
    """Read the definitions of a schema.

    Args:
        session: any session.
        database: the schema.
        tables: only these: names, or regular expressions (of the server's own dialect) that begin
            with a slash; empty: all.
        exclude_tables: not these, written likewise.
        include_views: views too.
        table_schema_only: leave columns, keys and sizes out.

    Raises:
        MySQLError: TABLE_NOT_FOUND for an unknown schema, INVALID_REQUEST for a bad expression.
    """
    created = await session.execute(f"SHOW CREATE DATABASE {identifier(database)}")
    text = as_text(created.rows[0][1])
    rows = await _list_tables(session, database, tables, exclude_tables, include_views)
    keys = {} if table_schema_only else await _primary_keys(session, database)
    definitions: list[TableDefinition] = []
    for name, kind, data_length, row_count in rows:
        try:
            definition = await _describe(session, database, as_text(name), as_text(kind))
            if not table_schema_only:
                definition = await _with_columns(
                    session, database, definition, keys, data_length, row_count
                )
        except MySQLError as error:
            if error.errno == _NO_SUCH_TABLE:
                continue  # dropped or renamed since it was listed
            raise
        definitions.append(definition)
    return SchemaDefinition(
        database_schema=text.replace(identifier(database), DATABASE_PLACEHOLDER, 1),
        table_definitions=tuple(definitions),
    )


async def _list_tables(
    session: Session,
    database: str,
    tables: Sequence[str],
    exclude_tables: Sequence[str],
    include_views: bool,
) -> list[tuple[Any, ...]]:
    # MariaDB lists tables with system versioning under a type of their own; sequences are left out.
    conditions = ["table_schema = %s", "table_type IN ('BASE TABLE', 'SYSTEM VERSIONED', %s)"]
    params: list[str] = [database, _VIEW if include_views else _BASE_TABLE]
    if tables:
        conditions.append(f"({' OR '.join(_matches(entry) for entry in tables)})")
        params += [entry.strip("/") for entry in tables]
    for entry in exclude_tables:
        conditions.append(f"NOT {_matches(entry)}")
        params.append(entry.strip("/"))
    sql = (
        "SELECT table_name, table_type, COALESCE(data_length, 0), COALESCE(table_rows, 0)"  # noqa: S608 - placeholders
        f" FROM information_schema.tables WHERE {' AND '.join(conditions)}"
    )
    result = await session.execute(sql, params)
    return sorted(result.rows, key=lambda row: as_text(row[0]))


def _matches(entry: str) -> str:
    # The server evaluates expressions: a malicious one meets its limits, not our event loop.
    operator = "REGEXP" if entry.startswith("/") else "="
    return f"CONVERT(table_name USING utf8mb4) COLLATE utf8mb4_bin {operator} %s"


async def _primary_keys(session: Session, database: str) -> dict[str, tuple[str, ...]]:
    result = await session.execute(
        "SELECT table_name, column_name FROM information_schema.statistics"
        " WHERE table_schema = %s AND index_name = 'PRIMARY' ORDER BY table_name, seq_in_index",
        (database,),
    )
    keys: dict[str, tuple[str, ...]] = {}
    for table, column in result.rows:
        name = as_text(table)
        keys[name] = (*keys.get(name, ()), as_text(column))
    return keys


async def _describe(session: Session, database: str, name: str, kind: str) -> TableDefinition:
    what = _VIEW if kind == _VIEW else "TABLE"
    created = await session.execute(f"SHOW CREATE {what} {identifier(database, name)}")
    text = as_text(created.rows[0][1])
    if kind == _VIEW:
        text = text.replace(identifier(database), DATABASE_PLACEHOLDER)
        return TableDefinition(name, text, _VIEW)
    return TableDefinition(name, _without_auto_increment(text), _BASE_TABLE)


async def _with_columns(
    session: Session,
    database: str,
    definition: TableDefinition,
    keys: dict[str, tuple[str, ...]],
    data_length: Any,
    row_count: Any,
) -> TableDefinition:
    table = identifier(database, definition.name)
    empty = await session.execute(f"SELECT * FROM {table} WHERE 1 = 0")  # noqa: S608 - quoted
    return replace(
        definition,
        columns=tuple(column.name for column in empty.columns),
        primary_key_columns=keys.get(definition.name, ()),
        data_length=int(data_length),
        row_count=int(row_count),
        fields=empty.columns,
    )


def _without_auto_increment(text: str) -> str:
    """Remove the next AUTO_INCREMENT value from a CREATE TABLE text.

    Only among the table's options, which follow the last line that begins with a parenthesis: a
    column's comment may say anything.
    """
    columns, parenthesis, options = text.rpartition("\n)")
    return columns + parenthesis + re.sub(r" AUTO_INCREMENT=\d+", "", options, count=1)
