"""Checks of the server: is it one that the tool can work on without losing anything?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from tabletd.errors import NotWritable, Reason, TabletdError
from tabletd.executor.preflight.facts import Facts
from tabletd.mysql.flavor import ServerInfo
from tabletd.mysql.variables import is_on

_LAST_WITH_STATISTICS_LOCK = (8, 0, 12)


class AboutServer(Protocol):
    """What is known of the server alone; fields as in `Facts`."""

    @property
    def server(self) -> ServerInfo: ...
    @property
    def variables(self) -> Mapping[str, str]: ...
    @property
    def allows_unsafe_cutover(self) -> bool: ...
    def is_on(self, variable: str) -> bool: ...


class AboutSettings(AboutServer, Protocol):
    """That, and what the operator has set there and here; fields as in `Facts`."""

    @property
    def filters(self) -> tuple[str, ...]: ...
    @property
    def has_configured_account(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class KnownServer:
    """Implements `AboutServer` where there is no migration to know facts of."""

    server: ServerInfo
    variables: Mapping[str, str]
    allows_unsafe_cutover: bool

    def is_on(self, variable: str) -> bool:
        return is_on(self.variables.get(variable))


ServerCheck = Callable[[AboutServer], None]


def writable(facts: Facts) -> None:
    """The server takes writes."""
    if facts.variables.get("read_only", "OFF").upper() not in ("OFF", "0"):
        raise NotWritable()


def reachable_by_tcp(facts: AboutServer) -> None:
    """The tools speak TCP only: gh-ost reads the binary log that way."""
    if facts.is_on("skip_networking"):
        raise TabletdError(
            Reason.PREFLIGHT_REFUSED,
            "the server does not listen on TCP (skip_networking), which the tools need",
            hint="start the server without skip_networking, with bind_address=127.0.0.1",
        )


def no_replication_filters(facts: AboutSettings) -> None:
    """What a filter leaves out never reaches the replicas, nor gh-ost."""
    if facts.filters:
        raise TabletdError(
            Reason.PREFLIGHT_REFUSED,
            f"the binary log is filtered ({', '.join(facts.filters)}): changes of the migration's "
            "own tables may be missing from it",
            hint="remove the filters from the server's configuration and restart it",
        )


def gh_ost_server(facts: AboutServer) -> None:
    """gh-ost works on this flavour and version.

    Measured: gh-ost 1.1.6 and later set `transaction_isolation`, which MariaDB has since 11.1 and
    MySQL since 5.7.20; on MariaDB 11.4 it takes the server for a MySQL 8.4. MySQL 8.0.12 keeps its
    rename waiting for a lock on column statistics.
    """
    if facts.server.is_mariadb:
        raise TabletdError(
            Reason.UNSUPPORTED_SERVER,
            f"gh-ost cannot serve {facts.server}: its releases set variables and read replication "
            "states that only MySQL has",
            hint="use the strategy pt-osc on MariaDB",
        )
    if "transaction_isolation" not in facts.variables:
        raise TabletdError(
            Reason.UNSUPPORTED_SERVER,
            f"gh-ost cannot serve {facts.server}: it needs the variable transaction_isolation, "
            "which MySQL has since 5.7.20",
            hint="use the strategy pt-osc, or upgrade the server",
        )
    is_stuck = (8, 0, 0) <= facts.server.version <= _LAST_WITH_STATISTICS_LOCK
    if is_stuck and not facts.allows_unsafe_cutover:
        raise TabletdError(
            Reason.UNSUPPORTED_SERVER,
            f"gh-ost cannot cut over on {facts.server}: the rename waits for ever for the server's "
            "lock on column statistics",
            hint="use the strategy pt-osc, or upgrade the server to 8.0.13 or later",
        )


def pt_osc_server(facts: AboutServer) -> None:
    """pt-online-schema-change works on this version: it refuses MySQL 8.0.14 to 8.0.17 itself."""
    if not facts.server.is_mariadb and (8, 0, 14) <= facts.server.version <= (8, 0, 17):
        raise TabletdError(
            Reason.UNSUPPORTED_SERVER,
            f"pt-online-schema-change refuses {facts.server}: this release can crash when a table "
            "with foreign keys is renamed (bug 96145)",
            hint="use the strategy gh-ost, or upgrade the server to 8.0.18 or later",
        )


def gh_ost_binary_log(facts: AboutServer) -> None:
    """gh-ost reads complete row images from the binary log."""
    if not facts.is_on("log_bin"):
        raise _binary_log("the binary log is off", "start the server with log_bin")
    if facts.is_on("log_bin_compress"):
        raise _binary_log(
            "the binary log is compressed (log_bin_compress), which gh-ost cannot read",
            "SET GLOBAL log_bin_compress = OFF, or use the strategy pt-osc",
        )
    for variable, needed in (("binlog_format", "ROW"), ("binlog_row_image", "FULL")):
        found = facts.variables.get(variable, "")
        if found.upper() != needed:
            raise _binary_log(
                f"{variable} is {found or 'not known to the server'}, {needed} is needed",
                f"SET GLOBAL {variable} = '{needed}', and let the open sessions reconnect",
            )
    if not facts.is_on("log_slave_updates") and not facts.is_on("log_replica_updates"):
        raise _binary_log(
            "log_slave_updates is off: the server's own binary log would miss what it replicates",
            "start the server with log_slave_updates",
        )


def _binary_log(found: str, hint: str) -> TabletdError:
    return TabletdError(
        Reason.PREFLIGHT_REFUSED, f"gh-ost cannot follow the table's changes: {found}", hint=hint
    )


def gh_ost_grants(facts: Facts) -> None:
    """gh-ost finds its rights in SHOW GRANTS by back quotes, which this mode takes away."""
    modes = facts.variables.get("sql_mode", "").upper().split(",")
    if "ANSI_QUOTES" not in modes or facts.has_configured_account:
        return
    raise TabletdError(
        Reason.PREFLIGHT_REFUSED,
        "sql_mode has ANSI_QUOTES: gh-ost does not recognise what its account may do, since the "
        "server then writes the schema's name between double quotes",
        hint="use the strategy pt-osc, or SET GLOBAL sql_mode without ANSI_QUOTES (sessions may "
        "set it for themselves)",
    )


def not_galera_for_gh_ost(facts: AboutServer) -> None:
    """The atomic cut-over needs LOCK TABLES to hold on the whole cluster."""
    if facts.is_on("wsrep_on"):
        raise TabletdError(
            Reason.UNSUPPORTED_SERVER,
            "the server is a Galera node: gh-ost's cut-over locks this node only, and writes "
            "through the others would be lost",
            hint="use the strategy pt-osc",
        )


def galera_for_pt_osc(facts: AboutServer) -> None:
    """DDL of pt-online-schema-change must run on all nodes in order."""
    method = facts.variables.get("wsrep_osu_method", "")
    if facts.is_on("wsrep_on") and method.upper() != "TOI":
        raise TabletdError(
            Reason.PREFLIGHT_REFUSED,
            f"the server is a Galera node with wsrep_OSU_method={method}, TOI is needed",
            hint="SET GLOBAL wsrep_OSU_method = 'TOI'",
        )


def lock_instrument(facts: Facts) -> None:
    """gh-ost can prove at the cut-over that its rename waits for the table itself.

    Without that proof writes that slip in between go into the old table (gh-ost's issue 1536).
    """
    if facts.has_lock_instrument or facts.allows_unsafe_cutover:
        return
    if facts.has_lock_instrument is None:
        raise TabletdError(
            Reason.PREFLIGHT_REFUSED,
            "performance_schema is off: gh-ost could not make sure at the cut-over that no write "
            "goes into the old table",
            hint="start the server with performance_schema=ON and "
            "performance_schema_instrument='wait/lock/metadata/sql/mdl=ON'",
        )
    raise TabletdError(
        Reason.PREFLIGHT_REFUSED,
        "the metadata-lock instrument is off, and tabletd may not switch it on: gh-ost could not "
        "make sure at the cut-over that no write goes into the old table",
        hint="UPDATE performance_schema.setup_instruments SET ENABLED='YES', TIMED='YES' "
        "WHERE NAME='wait/lock/metadata/sql/mdl'",
    )


def trigger_creators(facts: AboutSettings) -> None:
    """With a binary log the server wants SUPER for triggers, which the run's account never has."""
    if not facts.is_on("log_bin") or facts.is_on("log_bin_trust_function_creators"):
        return
    if facts.has_configured_account:
        return
    raise TabletdError(
        Reason.PREFLIGHT_REFUSED,
        "pt-online-schema-change makes triggers, and with the binary log on the server lets only "
        "SUPER make them, which no migration's account gets: log_bin_trust_function_creators "
        "is OFF, ON is needed",
        hint="SET GLOBAL log_bin_trust_function_creators = 1 (and in the configuration file)",
    )
