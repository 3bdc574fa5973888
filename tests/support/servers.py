"""Real servers for the tests: started once per run, brought back to a known state per test."""

from __future__ import annotations

import uuid
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pymysql
import pytest
from pymysql.connections import Connection

from tabletd.errors import TabletdError
from tabletd.sandbox.releases import Release, ReleaseName, find_release, tools_directory
from tabletd.sandbox.servers import ProcessIdentity, Server, restart_server, start_server
from tests.support.processes import DIES_WITH_US
from tests.support.waiting import eventually_blocking

_OWN_SCHEMAS: Final = frozenset({"information_schema", "mysql", "performance_schema", "sys"})
# What moves by itself, or says where replication stands.
_MOVING_VARIABLES: Final = ("gtid_", "innodb_buffer_pool_load", "timestamp")

_LOCK_PLUGIN: Final = "metadata_lock_info.so"

Row = tuple[Any, ...]


def _plugin_options(release: Release) -> tuple[str, ...]:
    """Where the plugins are that `scripts/setup.sh` took out of a package that is not installed."""
    plugins = tools_directory() / "mariadb-plugins"
    if release.name is ReleaseName.MARIADB and plugins.is_dir():
        return (f"--plugin-dir={plugins}",)
    return ()


class RealServer:
    """A server of the tests; every method blocks for a few milliseconds at most.

    Attributes:
        primary: the server that it replicates from, None for a primary.
    """

    def __init__(
        self,
        release: Release,
        directory: Path,
        *,
        primary: RealServer | None = None,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.server: Server = start_server(
            release,
            directory,
            options=(*_plugin_options(release), *options),
            launcher=DIES_WITH_US,
            environment=environment,
        )
        self.primary = primary
        self._environment = environment
        self._options = tuple(options)
        if primary is not None:
            self.server.replicate_from(primary.server)
        self._variables = self._global_variables()
        self._accounts = self._account_names()

    @property
    def release(self) -> Release:
        """What it is."""
        return self.server.release

    @property
    def is_mariadb(self) -> bool:
        """MariaDB rather than MySQL."""
        return self.server.release.is_mariadb

    @property
    def host(self) -> str:
        """The address it listens on: 127.0.0.1."""
        return self.server.host

    @property
    def port(self) -> int:
        """Its TCP port, also its server_id."""
        return self.server.port

    @property
    def socket(self) -> str:
        """Its Unix socket; `root` has no password on it, nor on 127.0.0.1."""
        return str(self.server.socket)

    @property
    def identity(self) -> ProcessIdentity:
        """Its process."""
        return self.server.identity

    def connect(
        self,
        database: str | None = None,
        *,
        user: str = "root",
        password: str = "",
        autocommit: bool = True,
    ) -> Connection[Any]:
        """Open a blocking connection over the socket; close it with `contextlib.closing`."""
        return pymysql.connect(
            unix_socket=self.socket,
            user=user,
            password=password,
            database=database,
            charset="utf8mb4",
            autocommit=autocommit,
            connect_timeout=60,
            ssl_disabled=True,  # reading the certificates of the system takes 20 ms
            read_timeout=60,
        )

    def query(
        self, sql: str, params: Sequence[object] = (), *, database: str | None = None
    ) -> list[Row]:
        """Run one statement as root and return its rows."""
        with closing(self.connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute(sql, params or None)
            return list(cursor.fetchall())

    def records(
        self, sql: str, params: Sequence[object] = (), *, database: str | None = None
    ) -> list[dict[str, Any]]:
        """Run one statement as root and return its rows by column name."""
        with closing(self.connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute(sql, params or None)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def scalar(
        self, sql: str, params: Sequence[object] = (), *, database: str | None = None
    ) -> Any:
        """Run one statement as root and return the first cell, None where there is no row."""
        rows = self.query(sql, params, database=database)
        return rows[0][0] if rows else None

    def script(self, *statements: str, database: str | None = None) -> None:
        """Run statements one after the other in one connection as root."""
        with closing(self.connect(database)) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def create_database(self, prefix: str = "test") -> str:
        """Create a schema with a name of its own and return the name."""
        name = f"{prefix}_{uuid.uuid4().hex[:12]}"
        self.query(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        return name

    def gtid_executed(self) -> str:
        """Return all transactions that this server has, as the server writes them."""
        variable = "gtid_current_pos" if self.is_mariadb else "gtid_executed"
        return str(self.scalar(f"SELECT @@global.{variable}")).replace("\n", "")

    def kill(self) -> None:
        """End it as a crash does."""
        self.server.kill()

    def logs(self) -> dict[str, str]:
        """Return the end of its log, by what it is of."""
        return {f"server on port {self.port}": self.server.log_tail(20)}

    def shut_down(self) -> None:
        """End it in good order."""
        self.server.shut_down()

    def restart(self, *, options: Sequence[str] | None = None) -> None:
        """Start it again on its data, port and socket."""
        self.server = restart_server(
            self.server,
            options=None if options is None else (*_plugin_options(self.release), *options),
            launcher=DIES_WITH_US,
            environment=self._environment,
        )

    def pause(self) -> None:
        """Freeze it."""
        self.server.pause()

    def resume(self) -> None:
        """Let it go on."""
        self.server.resume()

    def stop(self) -> None:
        """End it and remove its directory."""
        self.server.stop()

    @contextmanager
    def telling_lock_holders(self) -> Generator[None]:
        """Let a MariaDB tell who holds metadata locks; MySQL does it by itself."""
        if not self.is_mariadb:
            yield
            return
        if not (Path(str(self.scalar("SELECT @@plugin_dir"))) / _LOCK_PLUGIN).exists():
            pytest.skip(f"no {_LOCK_PLUGIN}: run scripts/setup.sh mariadb-plugins")
        self.query(f"INSTALL SONAME '{_LOCK_PLUGIN}'")
        try:
            yield
        finally:
            self.query(f"UNINSTALL SONAME '{_LOCK_PLUGIN}'")

    def replication(self) -> dict[str, Any] | None:
        """Return the row of SHOW SLAVE STATUS, None on a primary."""
        rows = self.records("SHOW SLAVE STATUS")
        return rows[0] if rows else None

    def catch_up(self, within_seconds: float = 60.0) -> None:
        """Wait until this replica has applied all that its primary has now.

        Raises:
            AssertionError: it has not within the time.
        """
        assert self.primary is not None
        if self.is_mariadb:
            position = self.primary.scalar("SELECT @@global.gtid_binlog_pos")
            result = self.scalar("SELECT MASTER_GTID_WAIT(%s, %s)", (position, within_seconds))
        else:
            position = self.primary.gtid_executed()
            wait = "SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s)"
            result = self.scalar(wait, (position, within_seconds))
        assert result == 0, f"the replica has not reached {position}: {self.replication()}"

    def reset(self) -> None:
        """Bring the server to the state in which it was started, whatever a test did to it.

        Its own schemas, accounts, global variables, connections and its role are put back; for a
        replica see `Pair.reset`.
        """
        self.resume()
        usual = (*_plugin_options(self.release), *self._options)
        if self.server.is_running and self.server.options != usual:
            self.server.shut_down()
        if not self.server.is_running:
            self.restart(options=self._options)
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            self._end_other_connections(cursor)
            if self.primary is None:
                cursor.execute("SHOW SLAVE STATUS")
                if cursor.fetchall():
                    cursor.execute("STOP SLAVE")
                    cursor.execute("RESET SLAVE ALL")
                cursor.execute("SET GLOBAL read_only = 0")
        self._restore_variables()
        if self.primary is not None:
            return
        schemas = {str(row[0]) for row in self.query("SHOW DATABASES")} - _OWN_SCHEMAS
        drops = [f"DROP DATABASE `{name}`" for name in sorted(schemas)]
        new_accounts = sorted(self._account_names() - self._accounts)
        drops += [f"DROP USER '{user}'@'{host}'" for user, host in new_accounts]
        self.script(*drops)
        if not self.is_mariadb:
            self.query(
                "UPDATE performance_schema.setup_instruments SET ENABLED='YES', TIMED='YES' "
                "WHERE NAME='wait/lock/metadata/sql/mdl'"
            )

    def _end_other_connections(self, cursor: Any) -> None:
        cursor.execute(
            "SELECT id FROM information_schema.processlist WHERE user NOT IN "
            "('system user', 'event_scheduler', 'repl') AND id <> CONNECTION_ID()"
        )
        for (connection_id,) in cursor.fetchall():
            try:
                cursor.execute(f"KILL {connection_id}")
            except pymysql.MySQLError as error:
                if error.args[0] != 1094:  # it has gone by itself
                    raise

    def _global_variables(self) -> dict[str, str]:
        rows = self.query("SHOW GLOBAL VARIABLES")
        return {
            str(name): str(value)
            for name, value in rows
            if not str(name).startswith(_MOVING_VARIABLES)
        }

    def _restore_variables(self) -> None:
        now = self._global_variables()
        changed = {name: old for name, old in self._variables.items() if now.get(name) != old}
        for name, value in changed.items():
            word: object = int(value) if value.lstrip("-").isdigit() else value
            try:
                self.query(f"SET GLOBAL {name} = %s", (word,))
            except pymysql.MySQLError as error:
                if error.args[0] != 1238:  # not a variable that anybody can set
                    raise

    def _account_names(self) -> set[tuple[str, str]]:
        return {(str(user), str(host)) for user, host in self.query(_ACCOUNTS_SQL)}


# A replica that is only behind is there at once; a new one is cheaper than a longer wait.
_MEND_SECONDS_MAX: Final = 5.0
_ACCOUNTS_SQL: Final = "SELECT user, host FROM mysql.user"


class Pair:
    """A primary and its replica by GTID."""

    def __init__(self, primary: RealServer, replica: RealServer, directory: Path) -> None:
        self.primary = primary
        self.replica = replica
        self._directory = directory

    def logs(self) -> dict[str, str]:
        """Return the ends of both logs."""
        return {**self.primary.logs(), **self.replica.logs()}

    def catch_up(self, within_seconds: float = 60.0) -> None:
        """Wait until the replica has all that the primary has now."""
        self.replica.catch_up(within_seconds)

    def reset(self) -> None:
        """Put both back; a replica that went its own way is replaced by a new one."""
        self.primary.reset()
        try:
            self._mend_replica()
        except (AssertionError, pymysql.MySQLError, TabletdError):
            self._replace_replica()

    def _mend_replica(self) -> None:
        self.replica.reset()
        state = self.replica.replication()
        assert state is not None
        assert int(state["Master_Port"]) == self.primary.port
        if "No" in (state["Slave_IO_Running"], state["Slave_SQL_Running"]):
            self.replica.script("STOP SLAVE", "START SLAVE")
        self.catch_up(_MEND_SECONDS_MAX)
        eventually_blocking(self._both_threads_run, _MEND_SECONDS_MAX)
        assert self.replica.gtid_executed() == self.primary.gtid_executed()

    def _both_threads_run(self) -> bool:
        state = self.replica.replication() or {}
        return state.get("Slave_IO_Running") == "Yes" == state.get("Slave_SQL_Running")

    def _replace_replica(self) -> None:
        self.replica.stop()
        # Else the new one would have to apply whatever all tests before this one have written.
        self.primary.query("RESET MASTER")
        if self.primary.is_mariadb:
            try:
                self.primary.query("SET GLOBAL gtid_slave_pos = ''")
            except pymysql.MySQLError as error:
                # Somebody writes already: what is in the new binary log is the position.
                if error.args[0] != 1948:
                    raise
        directory = self._directory / f"replica-{uuid.uuid4().hex[:8]}"
        self.replica = RealServer(self.primary.release, directory, primary=self.primary)
        self.catch_up()


def missing_release(name: ReleaseName) -> str:
    """Return why a release cannot be started here, '' when it can."""
    try:
        find_release(name)
    except TabletdError as error:
        return str(error)
    return ""
