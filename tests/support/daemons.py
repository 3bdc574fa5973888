"""A primary and a replica with a daemon beside each, as real processes driven over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import grpc.aio
import psutil
import pytest

from tabletd.mysql.pool import Pool
from tabletd.mysql.settings import MySQLSettings
from tabletd.sandbox.accounts import create_daemon_account
from tabletd.sandbox.book import Book
from tabletd.sandbox.daemons import Daemon, restart_daemon, start_daemon
from tabletd.sandbox.ledger import is_serving
from tabletd.sandbox.vexec_client import VExecClient, vexec_client
from tabletd.sandbox.workload import Workload, load, verify_table
from tabletd_pb import tabletmanagerdata_pb2, tabletmanagerservice_pb2_grpc
from tests.support.logs import daemon_logs
from tests.support.processes import DIES_WITH_US
from tests.support.servers import Pair, RealServer
from tests.support.waiting import PATIENCE_SECONDS, eventually, eventually_blocking

KEYSPACE: Final = "shop"
# An account without SUPER: a read-only server takes nothing from it.
WRITER: Final = "writer"
# Daemons die with the thread that started them: not one of an event loop's own, which end with the
# test.
_STARTER: Final = ThreadPoolExecutor(1, "daemon starter")
_SETTINGS: Final = {
    "heartbeat_interval": "250ms",
    "health_check_interval": "1s",
    "throttle_threshold": "1s",
    # Nothing is kept, so that whatever is found after a migration was forgotten.
    "retain_artifacts": "0s",
    "table_gc_lifecycle": "drop",
    "gc_check_interval": "1s",
    "shutdown_grace": "2s",
}


async def from_starter(start: Callable[[TabletPair], None], tablets: TabletPair) -> None:
    """Have servers or daemons started by the thread that they live as long as."""
    await asyncio.get_running_loop().run_in_executor(_STARTER, start, tablets)


class TabletPair:
    """A pair of servers and their daemons; the schema and keyspace are `shop`.

    Attributes:
        servers: the two servers.
        primary: the daemon beside the primary.
        replica: the daemon beside the replica.
        tables: the tables of the schema that the test itself made.
    """

    def __init__(
        self, servers: Pair, directory: Path, *, settings: Mapping[str, str] | None = None
    ) -> None:
        self.servers = servers
        self.tables: set[str] = set()
        servers.reset()
        servers.primary.script(f"CREATE DATABASE {KEYSPACE} CHARACTER SET utf8mb4")
        servers.primary.script(
            f"CREATE USER {WRITER}@'%'", f"GRANT ALL PRIVILEGES ON {KEYSPACE}.* TO {WRITER}@'%'"
        )
        create_daemon_account(servers.primary.server, keyspace=KEYSPACE, settings=settings)
        servers.catch_up()
        self._accounts = self._account_names()
        self.replica = self._start(
            servers.replica, directory / "replica", "zone1-0000000101", settings or {}
        )
        addresses = {"replicas": self.replica.grpc, **(settings or {})}
        self.primary = self._start(
            servers.primary, directory / "primary", "zone1-0000000100", addresses
        )

    @staticmethod
    def _start(
        server: RealServer, directory: Path, alias: str, settings: Mapping[str, str]
    ) -> Daemon:
        return start_daemon(
            server.server,
            directory,
            alias=alias,
            keyspace=KEYSPACE,
            settings={**_SETTINGS, **settings},
            launcher=DIES_WITH_US,
        )

    async def restart_primary(self) -> None:
        """Start the primary's daemon again."""
        loop = asyncio.get_running_loop()
        self.primary = await loop.run_in_executor(_STARTER, restart_daemon, self.primary)

    def stop(self) -> None:
        """End both daemons, and the tools that would go on without them."""
        for daemon in (self.primary, self.replica):
            daemon.resume()
            daemon.terminate()
        kill(self.tool_processes())

    def heal(self) -> None:
        """Bring both back to work after whatever a test did, and forget its tables."""
        self.replica.resume()
        self.primary.resume()
        self.servers.primary.script("SET GLOBAL read_only = 0")
        self.servers.replica.script("SET GLOBAL read_only = 1", "START SLAVE")
        if not self.primary.is_running:
            self.primary = restart_daemon(self.primary)
        if not self.replica.is_running:
            self.replica = restart_daemon(self.replica)
        for trigger in self.triggers():
            self.servers.primary.script(f"DROP TRIGGER IF EXISTS {KEYSPACE}.`{trigger}`")
        for table in self._table_names():
            self.servers.primary.script(f"DROP TABLE IF EXISTS {KEYSPACE}.`{table}`")
        self.tables.clear()
        self.servers.catch_up()
        wait_until_serving(self)

    def logs(self) -> dict[str, str]:
        """Return the ends of both daemons' logs, and of what their last tools wrote."""
        return daemon_logs({daemon.alias: daemon for daemon in (self.primary, self.replica)})

    def traces(self, migration_uuid: str = "") -> list[str]:
        """Name what a migration left behind: nothing should be found once it is over.

        Looks for triggers, tables that no test made, accounts, run directories, processes.
        """
        found = [f"trigger {name}" for name in self.triggers()]
        found += [f"table {name}" for name in sorted(self._table_names() - self.tables)]
        accounts = sorted(self._account_names() - self._accounts)
        found += [f"account {account}" for account in accounts]
        runs = self.primary.run_directory / "runs"
        if runs.is_dir():
            found += [f"directory {path.name}" for path in sorted(runs.iterdir())]
        found += [f"process {' '.join(command)[:120]}" for command in self.tool_commands()]
        if migration_uuid:
            nonce = self.servers.primary.scalar(
                "SELECT run_nonce FROM _vt.schema_migrations WHERE migration_uuid = %s",
                (migration_uuid,),
            )
            found += [f"run_nonce {nonce}"] if nonce else []
        return found

    async def leaves_no_trace(
        self, migration_uuid: str = "", within_seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Wait until nothing is left of a migration.

        Raises:
            AssertionError: something stayed; the text names it.
        """
        traces: list[str] = []

        async def is_clean() -> bool:
            nonlocal traces
            traces = await asyncio.to_thread(self.traces, migration_uuid)
            return not traces

        try:
            await eventually(is_clean, within_seconds)
        except AssertionError:
            raise AssertionError(f"left behind: {traces}") from None

    def tool_processes(self) -> list[psutil.Process]:
        """Find the migration tools (and their wrappers) that work for the primary's daemon."""
        marks = (str(self.primary.directory), f"P={self.servers.primary.port}")
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            if process.pid == self.primary.identity.pid:
                continue
            command = _command_of(process)
            if any(mark in word for word in command for mark in marks):
                found.append(process)
        return found

    def tools(self) -> list[psutil.Process]:
        """Find the tools alone, and not what one of them has forked to start a hook."""
        found = {one.pid: one for one in self.tool_processes() if is_tool(_command_of(one))}
        return [one for one in found.values() if _parent_of(one) not in found]

    def tool_commands(self) -> list[list[str]]:
        """Return the argument lists of those processes."""
        return [command for process in self.tool_processes() if (command := _command_of(process))]

    def triggers(self) -> set[str]:
        """Return the names of all triggers in the schema."""
        rows = self.servers.primary.query(
            "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = %s",
            (KEYSPACE,),
        )
        return {str(name) for (name,) in rows}

    def _table_names(self) -> set[str]:
        rows = self.servers.primary.query(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = %s", (KEYSPACE,)
        )
        return {str(name) for (name,) in rows}

    def _account_names(self) -> set[str]:
        rows = self.servers.primary.query("SELECT user, host FROM mysql.user")
        return {f"{user}@{host}" for user, host in rows}

    def errant_transactions(self) -> str:
        """Return the transactions that the replica has and the primary has not; '' is right."""
        replica, primary = self.servers.replica, self.servers.primary
        if not primary.is_mariadb:
            subtract = "SELECT GTID_SUBTRACT(%s, %s)"
            return str(primary.scalar(subtract, (replica.gtid_executed(), primary.gtid_executed())))
        # What the replica wrote while it was the primary, the other one has got from it.
        known = _binlog_state(primary)
        return ",".join(
            f"{domain}-{server}-{number}"
            for (domain, server), number in _binlog_state(replica).items()
            if server == replica.port and number > known.get((domain, server), 0)
        )


def _binlog_state(server: RealServer) -> dict[tuple[int, int], int]:
    """Return the last number of each domain and server in a MariaDB's binary log."""
    state = str(server.scalar("SELECT @@global.gtid_binlog_state"))
    found = (map(int, gtid.split("-")) for gtid in state.split(",") if gtid)
    return {(domain, writer): number for domain, writer, number in found}


def _command_of(process: psutil.Process) -> list[str]:
    try:
        return [] if process.status() == psutil.STATUS_ZOMBIE else process.cmdline()
    except psutil.Error:
        return []


def _parent_of(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.Error:
        return 0


def kill(processes: Iterable[psutil.Process]) -> None:
    """End processes by force; some may have ended with others of them."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


class LiveTable:
    """A table that writers keep changing, and their book.

    Attributes:
        name: the table in the schema of the pair.
        book: what the writers saw committed.
        workload: the writers.
    """

    def __init__(
        self,
        servers: Pair,
        name: str,
        book: Book,
        group: asyncio.TaskGroup,
        user: str,
        transactions_per_second: float,
    ) -> None:
        self.name = name
        self.book = book
        self._servers = servers
        self._group = group
        self._user = user
        self._transactions_per_second = transactions_per_second
        self._turns = 0
        self._begin()

    def _begin(self) -> None:
        """Let writers begin, on the server that is the primary now."""
        pool = _pool_to(self._servers.primary, self._user)
        self._turns += 1
        self.workload = Workload(
            pool,
            KEYSPACE,
            self.name,
            self.book,
            transactions_per_second=self._transactions_per_second,
            seed=self._turns,
        )
        self._stop = asyncio.Event()
        self._writing = self._group.create_task(self._write(pool, self.workload, self._stop))

    @staticmethod
    async def _write(pool: Pool, workload: Workload, stop: asyncio.Event) -> None:
        await pool.open()
        try:
            await workload.run(stop)
        finally:
            await pool.close()

    async def settle(self) -> None:
        """End the writers."""
        self._stop.set()
        await asyncio.wait({self._writing})

    async def follow_primary(self) -> None:
        """Let the writers go over to the server that is the primary now."""
        await self.settle()
        self._begin()

    async def keeps_being_written(self, commits: int = 20) -> None:
        """Wait until the writers have committed some more."""
        wanted = self.workload.counts.committed + commits
        await eventually(lambda: self.workload.counts.committed >= wanted, what="writers go on")

    async def equals_its_book(self) -> None:
        """End the writers; compare every row on primary and replica with what was committed.

        Raises:
            AssertionError: a row differs.
        """
        await self.settle()
        async with _open_pool(self._servers.primary) as primary_pool:
            on_primary = await verify_table(primary_pool, KEYSPACE, self.name, self.book)
        assert on_primary.holds, f"primary: {on_primary}"
        await asyncio.to_thread(self._servers.catch_up)
        async with _open_pool(self._servers.replica) as replica_pool:
            on_replica = await verify_table(replica_pool, KEYSPACE, self.name, self.book)
        assert on_replica.holds, f"replica: {on_replica}"
        assert on_replica.checksum == on_primary.checksum


@asynccontextmanager
async def live_table(
    pair: TabletPair,
    name: str,
    rows: int,
    *,
    transactions_per_second: float = 100.0,
    user: str = "root",
) -> AsyncGenerator[LiveTable]:
    """Make a table and write to it for the length of a block, or until it is settled."""
    async with _open_pool(pair.servers.primary) as pool:
        book = await load(pool, KEYSPACE, name, rows)
    pair.tables.add(name)
    async with asyncio.TaskGroup() as group:
        table = LiveTable(pair.servers, name, book, group, user, transactions_per_second)
        try:
            yield table
        finally:
            await table.settle()


@asynccontextmanager
async def _open_pool(server: RealServer) -> AsyncGenerator[Pool]:
    pool = _pool_to(server, "root")
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


def _pool_to(server: RealServer, user: str) -> Pool:
    settings = MySQLSettings(host=server.host, port=server.port, user=user, password="")
    return Pool(settings, name="Writers", size_max=6)


@asynccontextmanager
async def connected(daemon: Daemon) -> AsyncGenerator[VExecClient]:
    """Drive a daemon over gRPC for the length of a block."""
    async with vexec_client(daemon.grpc, KEYSPACE) as client:
        yield client


def wait_until_serving(pair: TabletPair, within_seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until both daemons serve and the primary's has made its tables."""
    for daemon in (pair.primary, pair.replica):
        eventually_blocking(
            partial(is_serving, daemon.http), within_seconds, f"{daemon.alias} serves"
        )
    eventually_blocking(
        lambda: pair.servers.primary.query(
            "SELECT 1 FROM information_schema.tables "
            "WHERE table_schema = '_vt' AND table_name = 'schema_migrations'"
        ),
        within_seconds,
        "the daemon of the primary makes _vt.schema_migrations",
    )


EACH_TOOL: Final = (
    pytest.param(("mysql57_tablets", "gh-ost"), id="gh-ost on MySQL 5.7"),
    pytest.param(("mariadb_tablets", "pt-osc"), id="pt-osc on MariaDB"),
)
EVERY_CASE: Final = (
    *EACH_TOOL,
    pytest.param(("mysql57_tablets", "pt-osc"), id="pt-osc on MySQL 5.7"),
)


@dataclass(frozen=True)
class Case:
    """One tool on one pair.

    Attributes:
        tablets: the pair and its daemons.
        strategy: the tool.
        slow: options that make a table of 20,000 rows last far longer than any test.
        brief: options that make a table of 5,000 rows last for some seconds.
    """

    tablets: TabletPair
    strategy: str

    def logs(self) -> dict[str, str]:
        """Return the logs of the pair."""
        return self.tablets.logs()

    @property
    def slow(self) -> str:
        if self.strategy == "gh-ost":
            return "--chunk-size=20 --nice-ratio=20"
        return "--chunk-size=20 --chunk-time=0 --sleep=0.1"

    @property
    def brief(self) -> str:
        if self.strategy == "gh-ost":
            return "--chunk-size=50 --nice-ratio=8"
        return "--chunk-size=50 --chunk-time=0 --sleep=0.03"


def is_tool(command: list[str]) -> bool:
    """Tell the tool itself from the wrapper that it runs under."""
    return any(word.endswith(("/gh-ost", "/pt-online-schema-change")) for word in command[:2])


async def command(tablets: TabletPair, migration_uuid: str, words: str) -> None:
    """Send `ALTER VITESS_MIGRATION ... words` to the primary's daemon; it must change the row."""
    request = tabletmanagerdata_pb2.ExecuteQueryRequest(
        query=f"alter vitess_migration '{migration_uuid}' {words}".encode(),
        db_name=KEYSPACE,
        max_rows=10,
    )
    async with grpc.aio.insecure_channel(tablets.primary.grpc) as channel:
        stub = tabletmanagerservice_pb2_grpc.TabletManagerStub(channel)
        answer = await stub.ExecuteQuery(request, timeout=60)
    assert answer.result.rows_affected == 1, words


async def copying(client: VExecClient, migration_uuid: str) -> None:
    """Wait until the real run of a migration is copying rows."""

    async def has_copied() -> bool:
        record = await client.migration(migration_uuid)
        assert record["migration_status"] in {"queued", "ready", "running"}, record["message"]
        return int(record["rows_copied"] or 0) > 0

    await eventually(has_copied)


def columns(server: RealServer, table: str) -> dict[str, str]:
    """Return the type of each column of a table of the pair's schema."""
    rows = server.query(
        "SELECT column_name, column_type FROM information_schema.columns "
        "WHERE table_schema = %s AND table_name = %s",
        (KEYSPACE, table),
    )
    return {str(name): str(kind) for name, kind in rows}
