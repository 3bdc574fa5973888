"""A real server and a daemon beside it, made so that whatever they do can be judged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import grpc.aio
import psutil

from tabletd.access.passwords import PasswordHash
from tabletd.config import Config
from tabletd.executor.hooks import token_hash
from tabletd.sandbox.daemons import Daemon, start_daemon
from tabletd.sandbox.ledger import is_serving
from tests.fuzz.field import OPERATOR, PATIENCE_SECONDS, ping
from tests.fuzz.grammars import UUIDS
from tests.fuzz.oracles import GeneralLog, of_log
from tests.support.processes import DIES_WITH_US
from tests.support.servers import RealServer
from tests.support.waiting import eventually

_KEYSPACE: Final = "shop"
_ACCOUNT: Final = "fuzzed"
_AUDIT: Final = "audit.log"
_USERS: Final = {"olga": "operator", "daemon": "admin"}
_STATUSES: Final = ("queued", "ready", "running", "failed", "cancelled", "complete")
# The queue's own limits would answer in place of what reads the inputs.
_LIMITS: Final = {"grpc_changes_per_second": "0", "queued_migrations_max": "0"}
_KEPT: Final = ((1, "nobody's business"),)
_TOUCHED: Final = (
    "SELECT rows_read, rows_changed FROM information_schema.table_statistics "
    "WHERE table_schema = 'secret' AND rows_read + rows_changed > 0"
)
_HELD: Final = "SET NEW.postpone_launch = 1"
_ROW: Final = (
    "INSERT INTO _vt.schema_migrations (migration_uuid, keyspace, shard, mysql_schema, mysql_table,"
    " migration_statement, strategy, options, migration_status, liveness_timestamp,"
    " completed_timestamp, run_token_hash, ddl_action, log_path, artifacts, message,"
    " removed_unique_key_names, dropped_no_default_column_names, expanded_column_names,"
    " revertible_notes, removed_foreign_key_names, special_plan, component_throttled,"
    " reason_throttled, stage) VALUES (%s, 'shop', '0', 'shop', 't', 'alter table t add x int',"
    " 'gh-ost', '', %s, NOW(), IF(%s, NOW(6), NULL), %s, 'alter', '', '', '', '', '', '', '', '',"
    " '', '', '', '')"
)


class Stage:
    """Implements `field.Field` by a daemon of its own.

    Attributes:
        daemon: it.
        server: the server beside it.
        statements: that the daemon's account ran.
        audit: its audit log.
    """

    def __init__(
        self, server: RealServer, daemon: Daemon, statements: GeneralLog, audit: Path
    ) -> None:
        self.server = server
        self.daemon = daemon
        self.statements = statements
        self.audit = audit
        self.grpc = daemon.grpc
        self.http = daemon.http
        self.channel = grpc.aio.insecure_channel(daemon.grpc)
        self._log_offset = 0
        self._beat: object = None

    async def look(self) -> list[str]:
        """Ask for a Ping, wait for a heartbeat, read the log and the server's statements."""
        if not self.daemon.is_running:
            return [f"the daemon is gone: {self.daemon.log_tail(5)}"]
        answer = await ping(self.grpc, OPERATOR)
        found = [answer] if answer else []
        if not await self._has_beaten():
            found.append("no heartbeat was written")
        return found + await asyncio.to_thread(self._read_logs)

    async def _has_beaten(self) -> bool:
        async def is_newer() -> bool:
            sql = "SELECT MAX(ts) FROM _vt.heartbeat"
            beat: object = await asyncio.to_thread(self.server.scalar, sql)
            is_new = beat is not None and beat != self._beat
            self._beat = beat
            return is_new

        try:
            return await eventually(is_newer, PATIENCE_SECONDS)
        except AssertionError:
            return False

    def _read_logs(self) -> list[str]:
        with self.daemon.log.open("rb") as file:
            file.seek(self._log_offset)
            data = file.read()
        self._log_offset += len(data)
        lines = data.decode("utf-8", "replace").splitlines()
        found = of_log(lines) + self.statements.news()
        tables = [str(name) for (name,) in self.server.query(f"SHOW TABLES IN {_KEYSPACE}")]
        if tables != ["t"]:
            found.append(f"the schema's tables are {tables}")
        return found + self._look_at_the_secret()

    def _look_at_the_secret(self) -> list[str]:
        """Ask the server who read or changed the table that is none of the daemon's business."""
        with self.server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(_TOUCHED)
            touched = cursor.fetchall()
            cursor.execute("SELECT id, note FROM secret.kept")
            kept = cursor.fetchall()
            cursor.execute("FLUSH TABLE_STATISTICS")
        found = [f"secret.kept: rows {reads} read, {changes} changed" for reads, changes in touched]
        return found if kept == _KEPT else [*found, f"secret.kept: {kept}"]

    async def renew(self) -> None:
        """Put the queue back: one migration of each state, with a token that is known."""
        await asyncio.to_thread(self._renew)

    def _renew(self) -> None:
        rows = [
            (uuid, status, status in ("failed", "cancelled", "complete"), token_hash("right"))
            for uuid, status in zip(UUIDS, _STATUSES * 3, strict=False)
        ]
        connection = self.server.connect()
        with connection, connection.cursor() as cursor:
            cursor.execute("DELETE FROM _vt.schema_migrations")
            cursor.executemany(_ROW, rows)

    def resident_bytes(self) -> int:
        """Return the memory of the daemon."""
        return int(psutil.Process(self.daemon.identity.pid).memory_info().rss)


@asynccontextmanager
async def staged(server: RealServer, directory: Path) -> AsyncGenerator[Stage]:
    """Start a daemon beside a server that is as good as new; it ends with the block."""
    await asyncio.to_thread(_prepare, server)
    log = directory / "general.log"
    daemon = await asyncio.to_thread(_start, server, directory, log)
    stage = Stage(server, daemon, GeneralLog(log, _ACCOUNT), directory / _AUDIT)
    try:
        await eventually(lambda: is_serving(daemon.http), what="the daemon serves")
        await eventually(lambda: _has_queue(server), what="the daemon makes its tables")
        await asyncio.to_thread(_hold_migrations, server)
        await stage.renew()
        yield stage
    finally:
        await stage.channel.close()
        await asyncio.to_thread(daemon.terminate)
        await asyncio.to_thread(server.script, "SET GLOBAL general_log = 0")


def _prepare(server: RealServer) -> None:
    server.script(
        f"CREATE DATABASE {_KEYSPACE} CHARACTER SET utf8mb4",
        f"CREATE TABLE {_KEYSPACE}.t (id BIGINT PRIMARY KEY, note VARCHAR(20))",
        "CREATE DATABASE secret",
        "CREATE TABLE secret.kept (id BIGINT PRIMARY KEY, note VARCHAR(20))",
        'INSERT INTO secret.kept VALUES (1, "nobody\'s business")',
        "SET GLOBAL userstat = 1",
        f"CREATE USER {_ACCOUNT}@'%' IDENTIFIED BY '{_ACCOUNT}'",
        f"GRANT ALL PRIVILEGES ON *.* TO {_ACCOUNT}@'%' WITH GRANT OPTION",
    )


def _hold_migrations(server: RealServer) -> None:
    """Keep each migration in the queue, whatever is said: an input must never really run."""
    for event in ("INSERT", "UPDATE"):
        server.script(
            f"CREATE TRIGGER _vt.hold_{event.lower()} BEFORE {event} ON _vt.schema_migrations "
            f"FOR EACH ROW {_HELD}"
        )


def _has_queue(server: RealServer) -> bool:
    sql = (
        "SELECT 1 FROM information_schema.tables "
        "WHERE table_schema = '_vt' AND table_name = 'schema_migrations'"
    )
    return bool(server.query(sql))


def _start(server: RealServer, directory: Path, log: Path) -> Daemon:
    directory.mkdir(parents=True, exist_ok=True)
    server.query("SET GLOBAL general_log_file = %s", (str(log),))
    server.script("SET GLOBAL general_log = 1")
    users, login = directory / "users.json", directory / "login.json"
    for path in (users, login):
        path.touch(mode=0o600)
    users.write_text(
        json.dumps(
            [
                {"Username": name, "PasswordHash": str(PasswordHash.make(name, n=2)), "Role": role}
                for name, role in _USERS.items()
            ]
        )
    )
    login.write_text(json.dumps({"Username": "daemon", "Password": "daemon"}))
    settings = {
        "mysql_user": _ACCOUNT,
        "mysql_password": _ACCOUNT,
        "heartbeat_interval": "250ms",
        "health_check_interval": "1s",
        "grpc_auth_mode": "static",
        "grpc_auth_static_password_file": str(users),
        "grpc_auth_static_client_creds": str(login),
        "default_online_strategy": "gh-ost",
        "shutdown_grace": "2s",
        "audit_log": str(directory / _AUDIT),
        **{key: value for key, value in _LIMITS.items() if key in Config.model_fields},
    }
    return start_daemon(
        server.server,
        directory / "tabletd",
        alias="zone1-0000000100",
        keyspace=_KEYSPACE,
        settings=settings,
        launcher=DIES_WITH_US,
    )
