"""What the server says before a migration: gathered once, read by every check."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tabletd.errors import Reason, TabletdError
from tabletd.executor.ddl import Statement
from tabletd.executor.leftover import migration_of_trigger
from tabletd.executor.migration import Migration
from tabletd.mysql.errors import MySQLError
from tabletd.mysql.flavor import ServerInfo, server_info, show_primary_status_sql
from tabletd.mysql.quote import identifier, marks
from tabletd.mysql.session import Session
from tabletd.mysql.variables import global_variables, is_on

VARIABLES: Final = (
    "binlog_format",
    "binlog_row_image",
    "datadir",
    "hostname",
    "log_bin",
    "log_bin_compress",
    "log_bin_trust_function_creators",
    "log_slave_updates",
    "log_replica_updates",
    "partial_revokes",
    "performance_schema",
    "port",
    "read_only",
    "server_id",
    "skip_networking",
    "sql_mode",
    "transaction_isolation",
    "wsrep_on",
    "wsrep_osu_method",
)
_CATALOGUE_SECONDS_MAX: Final = 600.0  # old servers open every table to answer

_TABLE_SQL: Final = (
    "SELECT table_name AS name, table_type AS kind, engine, table_rows, data_length, index_length "
    "FROM information_schema.tables WHERE table_schema = %s AND table_name = %s"
)
_KEYS_SQL: Final = (
    "SELECT s.index_name AS name, s.non_unique, s.sub_part, s.nullable, c.data_type "
    "FROM information_schema.statistics s LEFT JOIN information_schema.columns c "
    "ON c.table_schema = s.table_schema AND c.table_name = s.table_name "
    "AND c.column_name = s.column_name "
    "WHERE s.table_schema = %s AND s.table_name = %s ORDER BY s.index_name, s.seq_in_index"
)
_TRIGGERS_SQL: Final = (
    "SELECT trigger_name AS name, action_statement AS body FROM information_schema.triggers "
    "WHERE event_object_schema = %s AND event_object_table = %s"
)
_FOREIGN_KEYS_SQL: Final = (
    "SELECT DISTINCT constraint_name, referenced_table_name "
    "FROM information_schema.key_column_usage "
    "WHERE table_schema = %s AND table_name = %s AND referenced_table_name IS NOT NULL"
)
_CHILDREN_SQL: Final = (
    "SELECT DISTINCT table_schema, table_name FROM information_schema.key_column_usage "
    "WHERE referenced_table_schema = %s AND referenced_table_name = %s"
)
# The catalogue is in utf8mb3: other characters are shown as a question mark.
_QUESTIONABLE_SQL: Final = (
    "SELECT column_name AS name FROM information_schema.columns WHERE table_schema = %s "
    "AND table_name = %s AND LOCATE('?', column_default) > 0 "
    "AND character_set_name IN ('utf8mb4', 'utf16', 'utf16le', 'utf32', 'gb18030')"
)
_INSTRUMENT_SQL: Final = (
    "SELECT enabled, timed FROM performance_schema.setup_instruments "
    "WHERE name = 'wait/lock/metadata/sql/mdl'"
)


@dataclass(frozen=True, slots=True)
class KeyPart:
    """A column of a key, or an expression, which has no type.

    Attributes:
        data_type: the type's name alone, lower case.
        is_nullable: it may be NULL.
        is_prefix: only its beginning is in the key.
    """

    data_type: str
    is_nullable: bool
    is_prefix: bool


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the table."""

    is_unique: bool
    parts: tuple[KeyPart, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """The table to be altered.

    Attributes:
        name: as the server writes it.
        kind: information_schema's table_type.
        engine: storage engine, upper case.
        rows: the server's estimate.
        size_bytes: data and indexes.
        keys: all keys.
        triggers: their names.
        triggers_of_migrations: those of them by which a run of ours keeps its new table up to date;
            they are gone when it has ended.
        foreign_keys: `name -> referenced table` of its own.
        children: `schema.table` of the tables whose foreign keys refer to it.
        unshown_defaults: columns whose default SHOW CREATE TABLE does not show as it is.
    """

    name: str
    kind: str
    engine: str
    rows: int
    size_bytes: int
    keys: tuple[Key, ...] = ()
    triggers: tuple[str, ...] = ()
    triggers_of_migrations: tuple[str, ...] = ()
    foreign_keys: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    unshown_defaults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolFacts:
    """The tool's program.

    Attributes:
        path: where it is looked for.
        answer: what it said of its version; None when it could not be run.
        failure: why it could not be run.
        has_required_flags: it has the flags without which it may lose rows.
    """

    path: str
    answer: str | None
    failure: str = ""
    has_required_flags: bool = True


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the checks look at.

    Attributes:
        migration: the row.
        statement: its statement, read.
        arguments: the user's options as the tool will get them.
        server: flavour and version.
        variables: global variables that the server has, by lower-case name.
        table: None when there is none of that name.
        tool: the tool's program.
        filters: replication filters of the binary log, in words.
        has_lock_instrument: MySQL's metadata-lock instrument is on; None: it has none.
        disk_free_bytes: free space where the data is; None: not on this machine.
        taken_names: names that the run may want and that exist already.
        reserved_names: names that the run cannot do without.
        allows_unsafe_cutover: the operator's `allow_unsafe_cutover`.
        has_configured_account: the tool works under an account of the operator.
    """

    migration: Migration
    statement: Statement
    arguments: tuple[str, ...]
    server: ServerInfo
    variables: Mapping[str, str]
    table: Table | None
    tool: ToolFacts
    filters: tuple[str, ...] = ()
    has_lock_instrument: bool | None = None
    disk_free_bytes: int | None = None
    taken_names: tuple[str, ...] = ()
    reserved_names: tuple[str, ...] = ()
    allows_unsafe_cutover: bool = False
    has_configured_account: bool = False

    def is_on(self, variable: str) -> bool:
        """Say whether a server variable is there and on."""
        return is_on(self.variables.get(variable))

    @property
    def options(self) -> frozenset[str]:
        """The names of the user's options, with their leading dashes."""
        return frozenset(argument.partition("=")[0] for argument in self.arguments)

    @property
    def table_name(self) -> str:
        """`schema.table` for messages."""
        return f"{self.migration.mysql_schema}.{self.migration.mysql_table}"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What is gathered from the server alone; fields as in `Facts`."""

    server: ServerInfo
    variables: Mapping[str, str]
    table: Table | None
    filters: tuple[str, ...]
    has_lock_instrument: bool | None
    disk_free_bytes: int | None
    taken_names: tuple[str, ...]


async def gather(session: Session, schema: str, table: str, names: tuple[str, ...]) -> ServerFacts:
    """Ask the server.

    Args:
        session: of the daemon's own account.
        schema: of the table.
        table: to be altered.
        names: names that the run wants for its own tables.

    Raises:
        TabletdError: MISSING_GRANT or another MySQLError; MySQLUnavailable.
    """
    server = await server_info(session)
    variables = await global_variables(session, *VARIABLES)
    return ServerFacts(
        server=server,
        variables=variables,
        table=await _table(session, schema, table),
        filters=await replication_filters(session, server),
        has_lock_instrument=await lock_instrument(session, variables),
        disk_free_bytes=await asyncio.to_thread(_disk_free_bytes, variables),
        taken_names=await _taken(session, schema, names),
    )


async def lock_instrument(session: Session, variables: Mapping[str, str]) -> bool | None:
    """Say whether MySQL's metadata-lock instrument is on; None when there is no telling."""
    if variables.get("performance_schema", "OFF").upper() not in ("ON", "1"):
        return None
    try:
        row = (await session.execute(_INSTRUMENT_SQL)).one()
    except MySQLError as error:
        if error.reason is Reason.MISSING_GRANT:
            raise TabletdError(
                Reason.MISSING_GRANT,
                f"cannot see whether the metadata-lock instrument is on: {error.message}",
                hint="GRANT SELECT, UPDATE ON performance_schema.setup_instruments "
                "to tabletd's account",
            ) from error
        raise
    return None if row is None else all(str(cell).upper() == "YES" for cell in row.values())


async def _table(session: Session, schema: str, table: str) -> Table | None:
    place = (schema, table)
    found = (await session.execute(_TABLE_SQL, place)).lower_dicts()
    if not found:
        return None
    row = found[0]
    key_rows = (await session.execute(_KEYS_SQL, place)).lower_dicts()
    triggers = await session.execute(_TRIGGERS_SQL, place)
    foreign = await session.execute(_FOREIGN_KEYS_SQL, place)
    children = await session.execute(_CHILDREN_SQL, place, timeout_seconds=_CATALOGUE_SECONDS_MAX)
    return Table(
        name=str(row["name"]),
        kind=str(row["kind"]).upper(),
        engine=str(row["engine"] or "").upper(),
        rows=int(row["table_rows"] or 0),
        size_bytes=int(row["data_length"] or 0) + int(row["index_length"] or 0),
        keys=_keys(key_rows),
        triggers=tuple(str(name) for name, _ in triggers.rows),
        triggers_of_migrations=tuple(
            str(name) for name, body in triggers.rows if migration_of_trigger(str(body))
        ),
        foreign_keys=tuple(f"{name} -> {referenced}" for name, referenced in foreign.rows),
        children=tuple(f"{child_schema}.{child}" for child_schema, child in children.rows),
        unshown_defaults=await _unshown_defaults(session, schema, table),
    )


async def _unshown_defaults(session: Session, schema: str, table: str) -> tuple[str, ...]:
    """Name the columns whose default holds, or may hold, what the catalogue writes as `?`."""
    unshown: list[str] = []
    for (name,) in (await session.execute(_QUESTIONABLE_SQL, (schema, table))).rows:
        sql = (
            f"SELECT DEFAULT({identifier(str(name))}) "  # noqa: S608  # names only
            f"FROM {identifier(schema, table)} LIMIT 1"
        )
        try:
            found = (await session.execute(sql)).scalar()
        except MySQLError:
            found = None  # MySQL 8 does not tell the value of an expression
        # Of a table without rows it cannot be asked.
        if found is None or any(ord(sign) > 0xFFFF for sign in str(found)):
            unshown.append(str(name))
    return tuple(unshown)


def _keys(rows: list[dict[str, Any]]) -> tuple[Key, ...]:
    parts: dict[str, list[KeyPart]] = {}
    unique: dict[str, bool] = {}
    for row in rows:
        name = str(row["name"])
        unique[name] = int(row["non_unique"]) == 0
        part = KeyPart(
            data_type=str(row["data_type"] or "").lower(),
            is_nullable=str(row["nullable"] or "").upper() == "YES",
            is_prefix=row["sub_part"] is not None,
        )
        parts.setdefault(name, []).append(part)
    return tuple(Key(unique[name], tuple(found)) for name, found in parts.items())


async def replication_filters(session: Session, server: ServerInfo) -> tuple[str, ...]:
    """Return the filters of the server's binary log, in words."""
    rows = (await session.execute(show_primary_status_sql(server))).lower_dicts()
    words = {"binlog_do_db": "binlog-do-db", "binlog_ignore_db": "binlog-ignore-db"}
    return tuple(
        f"{words[name]}={value}"
        for row in rows
        for name, value in row.items()
        if name in words and value
    )


async def _taken(session: Session, schema: str, names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        return ()
    sql = (
        "SELECT table_name FROM information_schema.tables "  # noqa: S608  # marks only
        f"WHERE table_schema = %s AND table_name IN ({marks(names)})"
    )
    found = await session.execute(sql, (schema, *names), timeout_seconds=_CATALOGUE_SECONDS_MAX)
    # In whatever letters it is there: a server may fold them.
    existing = {str(name).lower() for (name,) in found.rows}
    return tuple(name for name in names if name.lower() in existing)


def _disk_free_bytes(variables: Mapping[str, str]) -> int | None:
    """Free space at the data directory, when it is on this very machine and may be read."""
    datadir = Path(variables.get("datadir", "/nonexistent"))
    if variables.get("hostname") != socket.gethostname():
        return None
    try:
        # Another container may have the same host name and path: InnoDB's own file must be there.
        if not (datadir / "ibdata1").exists():
            return None
        space = os.statvfs(datadir)
    except OSError:
        return None
    return space.f_bavail * space.f_frsize
