"""Roles that move between the two servers of a pair, as a fail-over tool moves them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import psutil

from tabletd.sandbox.daemons import Daemon, restart_daemon
from tests.support.daemons import KEYSPACE, TabletPair
from tests.support.servers import RealServer

_HISTORY: Final = "_vt.test_history"
_RECORD: Final = (
    f"INSERT INTO {_HISTORY} (migration_uuid, status, tablet, tablet_failure, retries)"
    " VALUES (NEW.migration_uuid, NEW.migration_status, NEW.tablet, NEW.tablet_failure,"
    " NEW.retries)"
)


def switch_roles(tablets: TabletPair) -> None:
    """Let replica and primary change their roles in good order; nothing is lost."""
    hand_over(tablets.servers.primary, tablets.servers.replica)
    _rename(tablets)


def hand_over(former: RealServer, promoted: RealServer) -> None:
    """Make a replica the primary of the server that was its own; nothing is lost."""
    former.script("SET GLOBAL read_only = 1")
    promoted.catch_up()
    promote(promoted)
    follow(former, promoted)


def promote(server: RealServer) -> None:
    """Make a replica a primary."""
    server.script("STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = 0")
    server.primary = None


def follow(server: RealServer, primary: RealServer) -> None:
    """Make a former primary, which is read-only, a replica by GTID."""
    if server.is_mariadb:
        server.script("SET GLOBAL gtid_slave_pos = @@global.gtid_binlog_pos")
    server.server.replicate_from(primary.server)
    server.primary = primary


def crash_primary(tablets: TabletPair) -> None:
    """Let the primary's machine go in the middle of it, but for the tools; promote the replica.

    Everything stands still before the crash until the replica has all, so that the former primary
    can follow without being built anew.
    """
    servers, daemon = tablets.servers, tablets.primary
    tools = processes_of(daemon)
    daemon.pause()
    for tool in tools:
        with suppress(psutil.NoSuchProcess):  # a hook, perhaps
            tool.suspend()
    servers.catch_up()
    servers.primary.kill()
    daemon.kill()
    for tool in tools:
        with suppress(psutil.NoSuchProcess):
            tool.resume()
    promote(servers.replica)


def bring_back(tablets: TabletPair) -> None:
    """Start the crashed primary and its daemon again, as a replica of the promoted one.

    For `daemons.from_starter`.
    """
    servers = tablets.servers
    servers.primary.restart(options=["--read-only=1"])
    follow(servers.primary, servers.replica)
    tablets.primary = restart_daemon(tablets.primary)
    _rename(tablets)


def _rename(tablets: TabletPair) -> None:
    servers = tablets.servers
    servers.primary, servers.replica = servers.replica, servers.primary
    tablets.primary, tablets.replica = tablets.replica, tablets.primary


def processes_of(daemon: Daemon) -> list[psutil.Process]:
    """Return the tools and wrappers in the private directories of a daemon."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        mark = str(daemon.run_directory)
        if process.pid != daemon.identity.pid and any(mark in word for word in command):
            found.append(process)
    return found


@dataclass(frozen=True)
class Passed:
    """A state that a row went through."""

    status: str
    tablet: str
    tablet_failure: int
    retries: int


def keep_history(server: RealServer) -> None:
    """Have the server note each state of each row from now on, on both servers."""
    server.script(
        f"CREATE TABLE {_HISTORY} (n INT NOT NULL AUTO_INCREMENT PRIMARY KEY,"
        " migration_uuid VARCHAR(64), status VARCHAR(64), tablet VARCHAR(64),"
        " tablet_failure INT, retries INT)",
        f"CREATE TRIGGER _vt.test_history_update AFTER UPDATE ON _vt.schema_migrations"
        f" FOR EACH ROW {_RECORD}",
    )


def history(server: RealServer, migration_uuid: str) -> list[Passed]:
    """Return the states of a row in their order, each once."""
    rows = server.query(
        f"SELECT status, tablet, tablet_failure, retries FROM {_HISTORY}"
        " WHERE migration_uuid = %s ORDER BY n",
        (migration_uuid,),
    )
    return list(dict.fromkeys(Passed(*row) for row in rows))


def forget_history(server: RealServer) -> None:
    """Take the trigger and its table away."""
    server.script(
        "DROP TRIGGER IF EXISTS _vt.test_history_update", f"DROP TABLE IF EXISTS {_HISTORY}"
    )


def everything_left(tablets: TabletPair) -> list[str]:
    """Name what any migration left, on both servers and in both daemons' directories."""
    found = tablets.traces()
    for daemon in (tablets.primary, tablets.replica):
        runs = daemon.run_directory / "runs"
        found += [f"directory {path}" for path in (runs.iterdir() if runs.is_dir() else ())]
        found += [f"process {process.pid} of {daemon.alias}" for process in processes_of(daemon)]
    replica = tablets.servers.replica
    triggers = replica.query(
        "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = %s",
        (KEYSPACE,),
    )
    tables = replica.query(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = %s", (KEYSPACE,)
    )
    users = replica.query("SELECT user FROM mysql.user WHERE user LIKE 'tabletd\\_%%'")
    found += [f"trigger {name} on the replica" for (name,) in triggers]
    found += [f"table {name} on the replica" for (name,) in tables if name not in tablets.tables]
    found += [f"account {name} on the replica" for (name,) in users]
    return list(dict.fromkeys(found))
