"""What the daemon's account needs for which feature, by server: one table, read by all who ask.

The script of `tabletd grants`, the accounts that migrations get and the sandbox's own accounts come
from it, so that what is documented, what is tried and what is used are the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from tabletd.mysql.flavor import Flavor, ServerInfo
from tabletd.mysql.quote import NAME_LENGTH_MAX, identifier

Version = tuple[int, int, int]

_MARIADB, _MYSQL = Flavor.MARIADB, Flavor.MYSQL
_SERVER: Final = "*.*"
_SIDECAR: Final = "`_vt`.*"
_KEYSPACE: Final = "each schema of the keyspace"


class Feature(StrEnum):
    """What the daemon does with its account; the values are the names for `--with`."""

    OWN_TABLES = "own-tables"
    HEALTH = "health"
    SCHEMA = "schema"
    DIRECT = "direct"
    TOOLS = "tools"
    ACCOUNTS = "accounts"
    GH_OST = "gh-ost"
    PT_OSC = "pt-osc"
    LOCK_HOLDERS = "lock-holders"
    PERMISSIONS = "permissions"
    FORCE_CUT_OVER = "force-cut-over"
    READ_ONLY = "read-only"
    UNLOGGED = "unlogged"
    DEFINERS = "definers"


@dataclass(frozen=True, slots=True)
class Right:
    """A privilege that servers call by different names.

    Attributes:
        names: flavour, first version and name, newest first.
        otherwise: its name on all other servers.
    """

    names: tuple[tuple[Flavor, Version, str], ...]
    otherwise: str

    def on(self, server: ServerInfo) -> str:
        """Return its name on a server."""
        for flavor, since, name in self.names:
            if server.flavor is flavor and server.version >= since:
                return name
        return self.otherwise


REPLICA_STATUS: Final = Right(
    (
        (_MARIADB, (10, 5, 9), "SLAVE MONITOR"),
        (_MARIADB, (10, 5, 2), "REPLICATION SLAVE ADMIN"),
    ),
    "REPLICATION CLIENT",
)
BINLOG_STATUS: Final = Right(((_MARIADB, (10, 5, 2), "BINLOG MONITOR"),), "REPLICATION CLIENT")
END_OTHERS: Final = Right(
    ((_MARIADB, (10, 5, 2), "CONNECTION ADMIN"), (_MYSQL, (8, 0, 0), "CONNECTION_ADMIN")), "SUPER"
)
SET_READ_ONLY: Final = Right(
    ((_MARIADB, (10, 5, 2), "READ_ONLY ADMIN"), (_MYSQL, (8, 0, 0), "SYSTEM_VARIABLES_ADMIN")),
    "SUPER",
)
LEAVE_OUT_OF_BINLOG: Final = Right(
    (
        (_MARIADB, (10, 5, 2), "BINLOG ADMIN"),
        (_MYSQL, (8, 0, 14), "SESSION_VARIABLES_ADMIN"),
        (_MYSQL, (8, 0, 0), "SYSTEM_VARIABLES_ADMIN"),
    ),
    "SUPER",
)
NAME_DEFINER: Final = Right(
    (
        (_MARIADB, (10, 5, 2), "SET USER"),
        (_MYSQL, (8, 2, 0), "SET_ANY_DEFINER"),
        (_MYSQL, (8, 0, 0), "SET_USER_ID"),
    ),
    "SUPER",
)
# What SUPER has always been for, and MySQL 8 still lets it be.
_ONCE_SUPER: Final = (END_OTHERS, SET_READ_ONLY, LEAVE_OUT_OF_BINLOG, NAME_DEFINER)

_OF_TOOLS: Final = (
    "ALTER",
    "CREATE",
    "DELETE",
    "DROP",
    "INDEX",
    "INSERT",
    "LOCK TABLES",
    "REFERENCES",
    "SELECT",
    "TRIGGER",
    "UPDATE",
)


@dataclass(frozen=True, slots=True)
class Need:
    """One line of the table.

    Attributes:
        feature: what it is for.
        purpose: the same in words, for people.
        rights: what is needed.
        on: of what.
        handed_on: a migration's account gets it as well, from the daemon's.
        since: first version of each flavour that has it; of one that is not named, none has.
    """

    feature: Feature
    purpose: str
    rights: tuple[str | Right, ...]
    on: str
    handed_on: bool = False
    since: tuple[tuple[Flavor, Version], ...] = ((_MARIADB, (0, 0, 0)), (_MYSQL, (0, 0, 0)))

    def exists_on(self, server: ServerInfo) -> bool:
        """Say whether a server has what it is about."""
        return any(
            server.flavor is flavor and server.version >= first for flavor, first in self.since
        )


def _in_performance_schema(
    feature: Feature, purpose: str, table: str, *since: tuple[Flavor, Version], tools: bool = False
) -> Need:
    on = f"performance_schema.{table}"
    return Need(feature, purpose, ("SELECT",), on, handed_on=tools, since=since)


_WITH_LOCK_TABLES: Final = ((_MARIADB, (10, 5, 2)), (_MYSQL, (5, 7, 3)))
_HOLDERS: Final = "who holds a table's lock that a migration waits for"
_GH_OST_LOCKS: Final = "gh-ost makes sure at its cut-over that no write is lost"

NEEDS: Final = (
    Need(
        Feature.OWN_TABLES,
        "its own tables: lease, heartbeats, queue of migrations, rules of the throttler",
        ("ALTER", "CREATE", "DELETE", "INSERT", "LOCK TABLES", "SELECT", "UPDATE"),
        _SIDECAR,
    ),
    Need(
        Feature.HEALTH,
        "role, lag and positions: the heartbeat, polling, ReplicationStatus, PrimaryStatus",
        (BINLOG_STATUS, REPLICA_STATUS),
        _SERVER,
    ),
    Need(
        Feature.HEALTH,
        "the throttler's metrics of InnoDB; other accounts' statements, to end those of a migration"
        " that was cancelled",
        ("PROCESS",),
        _SERVER,
    ),
    _in_performance_schema(
        Feature.HEALTH,
        "FullStatus tells the replication's own heartbeat",
        "replication_connection_configuration",
        (_MYSQL, (5, 7, 0)),
    ),
    Need(
        Feature.SCHEMA,
        "GetSchema, and the comparison of a table with its altered copy",
        ("SELECT", "SHOW VIEW"),
        _KEYSPACE,
    ),
    Need(
        Feature.DIRECT,
        "migrations that the server carries out by itself; old tables are renamed, emptied, "
        "dropped; what a tool left is removed",
        (
            "ALTER",
            "CREATE",
            "CREATE VIEW",
            "DELETE",
            "DROP",
            "INDEX",
            "INSERT",
            "REFERENCES",
            "TRIGGER",
            "UPDATE",
        ),
        _KEYSPACE,
    ),
    _in_performance_schema(
        Feature.TOOLS,
        "before a tool runs: is the instrument for metadata locks on?",
        "setup_instruments",
        (_MARIADB, (10, 0, 0)),
        (_MYSQL, (5, 6, 0)),
    ),
    Need(
        Feature.ACCOUNTS,
        "each migration has an account of its own, dropped at its end; accounts that were left",
        ("CREATE USER",),
        _SERVER,
    ),
    Need(Feature.ACCOUNTS, "accounts that were left are found", ("SELECT",), "mysql.user"),
    Need(
        Feature.GH_OST,
        "gh-ost reads the binary log as a replica does",
        ("REPLICATION SLAVE", BINLOG_STATUS),
        _SERVER,
        handed_on=True,
    ),
    Need(
        Feature.GH_OST,
        "gh-ost copies the table's rows, and swaps the tables",
        _OF_TOOLS,
        _KEYSPACE,
        handed_on=True,
    ),
    _in_performance_schema(
        Feature.GH_OST, _GH_OST_LOCKS, "setup_instruments", (_MYSQL, (5, 6, 0)), tools=True
    ),
    _in_performance_schema(
        Feature.GH_OST, _GH_OST_LOCKS, "metadata_locks", (_MYSQL, (5, 7, 3)), tools=True
    ),
    _in_performance_schema(
        Feature.GH_OST, _GH_OST_LOCKS, "threads", (_MYSQL, (5, 6, 0)), tools=True
    ),
    Need(
        Feature.GH_OST,
        "the instrument that gh-ost needs is switched on where it is off",
        ("UPDATE",),
        "performance_schema.setup_instruments",
        since=((_MYSQL, (5, 6, 0)),),
    ),
    Need(
        Feature.PT_OSC,
        "pt-online-schema-change asks each server that it watches for its replication",
        (REPLICA_STATUS,),
        _SERVER,
        handed_on=True,
    ),
    Need(
        Feature.PT_OSC,
        "pt-online-schema-change copies the table's rows, makes triggers, swaps the tables",
        _OF_TOOLS,
        _KEYSPACE,
        handed_on=True,
    ),
    _in_performance_schema(Feature.LOCK_HOLDERS, _HOLDERS, "setup_instruments", *_WITH_LOCK_TABLES),
    _in_performance_schema(Feature.LOCK_HOLDERS, _HOLDERS, "metadata_locks", *_WITH_LOCK_TABLES),
    _in_performance_schema(Feature.LOCK_HOLDERS, _HOLDERS, "threads", *_WITH_LOCK_TABLES),
    _in_performance_schema(
        Feature.LOCK_HOLDERS, _HOLDERS + ": of rows as well", "data_locks", (_MYSQL, (8, 0, 2))
    ),
    _in_performance_schema(
        Feature.LOCK_HOLDERS,
        "what the holder of a lock ran last",
        "events_statements_current",
        (_MYSQL, (5, 6, 0)),
    ),
    Need(Feature.PERMISSIONS, "GetPermissions, ValidatePermissions", ("SELECT",), "mysql.user"),
    Need(Feature.PERMISSIONS, "GetPermissions, ValidatePermissions", ("SELECT",), "mysql.db"),
    Need(
        Feature.FORCE_CUT_OVER,
        "a forced cut-over ends the connections that hold the table's lock",
        (END_OTHERS,),
        _SERVER,
    ),
    Need(
        Feature.READ_ONLY,
        "SetReadOnly, SetReadWrite, ChangeType set read_only",
        (SET_READ_ONLY,),
        _SERVER,
    ),
    Need(
        Feature.UNLOGGED,
        "ExecuteFetchAsDba with disable_binlogs",
        (LEAVE_OUT_OF_BINLOG,),
        _SERVER,
    ),
    Need(
        Feature.DEFINERS,
        "a view whose definer is another account is replaced, and its former self kept",
        (NAME_DEFINER,),
        _SERVER,
    ),
)
# Statements of other accounts' making are not for a daemon that nobody wants to do that.
_ONLY_WHEN_WANTED: Final = frozenset({Feature.UNLOGGED, Feature.DEFINERS})


@dataclass(frozen=True, slots=True)
class Grant:
    """One GRANT.

    Attributes:
        feature: what it is for.
        purpose: the same in words.
        privileges: as this server calls them.
        on: of what, quoted.
        schema: the schema in `on`, as it is; `*` for all.
        table: likewise.
        with_grant_option: so that it, and what is on schemas and tables, can be handed on.
    """

    feature: Feature
    purpose: str
    privileges: tuple[str, ...]
    on: str
    schema: str
    table: str
    with_grant_option: bool

    @property
    def what(self) -> str:
        """`<privileges> ON <object>`."""
        return f"{', '.join(self.privileges)} ON {self.on}"

    def sql(self, account: str) -> str:
        """Return the statement.

        Args:
            account: who gets it, quoted.
        """
        option = " WITH GRANT OPTION" if self.with_grant_option else ""
        return f"GRANT {self.what} TO {account}{option}"


def needs_super(feature: Feature, server: ServerInfo) -> bool:
    """Say whether a server has nothing smaller than SUPER for a feature."""
    return any(
        isinstance(right, Right) and right.on(server) == "SUPER"
        for need in NEEDS
        if need.feature is feature
        for right in need.rights
    )


def is_usual(feature: Feature, server: ServerInfo) -> bool:
    """Say whether the daemon is given a feature's privileges without being asked to."""
    return feature not in _ONLY_WHEN_WANTED and not needs_super(feature, server)


def grants_for(
    features: Collection[Feature],
    server: ServerInfo,
    schemas: Sequence[str],
    *,
    has_wildcards: bool = True,
) -> list[Grant]:
    """Return what the daemon's account needs for some features.

    Args:
        features: those that are on. Without `ACCOUNTS` nothing is handed on, and what only the
            tools need is theirs: see `grants_of_tool`.
        server: flavour and version.
        schemas: of the keyspace.
        has_wildcards: see `schema_object`.
    """
    found: list[Grant] = []
    for need in NEEDS:
        if need.feature not in features or not need.exists_on(server):
            continue
        if need.handed_on and Feature.ACCOUNTS not in features:
            continue
        found += _grants(need, server, schemas, has_wildcards)
    return found


def grants_of_tool(
    tool: Feature, server: ServerInfo, schemas: Sequence[str], *, has_wildcards: bool = True
) -> list[Grant]:
    """Return what the account needs that a tool works under; arguments as of `grants_for`."""
    return [
        replace(grant, with_grant_option=False)
        for need in NEEDS
        if need.feature is tool and need.handed_on and need.exists_on(server)
        for grant in _grants(need, server, schemas, has_wildcards)
    ]


def _grants(
    need: Need, server: ServerInfo, schemas: Sequence[str], has_wildcards: bool
) -> list[Grant]:
    names = (one.on(server) if isinstance(one, Right) else one for one in need.rights)
    privileges = tuple(dict.fromkeys(names))
    if need.on != _KEYSPACE:
        schema, _, table = need.on.replace("`", "").partition(".")
        # Who has it for the server may hand on whatever he has of a schema or a table as well.
        option = need.handed_on and need.on == _SERVER
        return [Grant(need.feature, need.purpose, privileges, need.on, schema, table, option)]
    found: list[Grant] = []
    for schema in dict.fromkeys(schemas):
        on = schema_object(schema, has_wildcards=has_wildcards)
        wanted = privileges
        if need.feature is Feature.GH_OST and on != schema_object(schema, has_wildcards=False):
            # It looks for the schema's name as it is, so a list of privileges on a name whose `_`
            # is escaped does not satisfy it; ALL PRIVILEGES on such a name does, and reaches this
            # schema only, where the unescaped name would reach others.
            wanted = ("ALL PRIVILEGES",)
        found.append(Grant(need.feature, need.purpose, wanted, on, schema, "*", False))
    return found


def schema_pattern(schema: str) -> str:
    """Return a schema's name as GRANT takes it: there `_` and `%` are wildcards."""
    return schema.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")


def schema_object(schema: str, *, has_wildcards: bool) -> str:
    """Return `` `schema`.* `` for GRANT, meaning this schema and no other.

    Args:
        schema: its name.
        has_wildcards: the server takes `_` and `%` for wildcards here (not under partial_revokes).
            A pattern that the escapes make too long for the server is left without them.
    """
    pattern = schema_pattern(schema) if has_wildcards else schema
    return f"{identifier(pattern if len(pattern) <= NAME_LENGTH_MAX else schema)}.*"


def covered_by_super(privilege: str, server: ServerInfo) -> bool:
    """Say whether SUPER, which an account may have had for long, is as good as a privilege."""
    if server.is_mariadb:
        # Since 10.11 SUPER is for less and less of it.
        return privilege == "SUPER"
    return any(right.on(server) == privilege for right in _ONCE_SUPER)
