"""What one run stands on: a pair of servers, a daemon beside each, a proxy on every connection."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import tempfile
from collections.abc import AsyncGenerator, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import psutil
import pymysql

from tabletd.sandbox.accounts import create_daemon_account
from tabletd.sandbox.daemons import Daemon, gh_ost_path, restart_daemon, start_daemon
from tabletd.sandbox.ledger import is_serving
from tabletd.sandbox.releases import (
    REPLICATION_PASSWORD,
    REPLICATION_USER,
    ReleaseName,
    find_release,
)
from tabletd.sandbox.servers import LOOPBACK, free_ports
from tests.faults.disks import Disk, unmount
from tests.faults.faketime import Clock
from tests.faults.processes import processes_of
from tests.faults.programs import Program
from tests.faults.proxy import Proxy, mysql_login, proxy_to
from tests.support.processes import DIES_WITH_US
from tests.support.servers import RealServer
from tests.support.waiting import eventually

KEYSPACE: Final = "shop"
TABLE: Final = "orders"
WRITER: Final = ("app", "app-password")
# Another address of this machine, so that a proxy has the port that the server says is its own.
PROXY_HOST: Final = "127.0.0.2"
DIRECTORY_PREFIX: Final = "tabletd-faults-"
# Programs die with the thread that started them, so these threads end with this process only.
_STARTERS: Final = ThreadPoolExecutor(4, "starter")
_DISK_BYTES: Final = {"data": 420 << 20, "logs": 8 << 20, "tmp": 8 << 20}
_SETTINGS: Final = {
    "heartbeat_interval": "250ms",
    "health_check_interval": "1s",
    "throttle_threshold": "2s",
    "retain_artifacts": "0s",
    "table_gc_lifecycle": "drop",
    "gc_check_interval": "1s",
    "migration_check_interval": "2s",
    "stale_migration_minutes": "1",
    "shutdown_grace": "2s",
}

P = ParamSpec("P")
T = TypeVar("T")


class Need(StrEnum):
    """What a stage must have for a fault."""

    DATA_DISK = "data"
    LOG_DISK = "logs"
    TMP_DISK = "tmp"
    CLOCK = "clock"


DISKS: Final = frozenset({Need.DATA_DISK, Need.LOG_DISK, Need.TMP_DISK})


async def start(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call what starts a program, in a thread that lives as long as this process."""
    return await asyncio.get_running_loop().run_in_executor(
        _STARTERS, partial(function, *args, **kwargs)
    )


@dataclass
class Host:
    """A server, the daemon beside it, and the proxies before both.

    Attributes:
        name: of its files.
        server: what keeps the data.
        daemon: what looks after it; replaced when it is started again.
        run_directory: the daemon's.
        mysql: the way to the server, for daemon, tools and the other server.
        http: the way from hooks to the daemon.
        grpc: the way from clients to the daemon.
        daemon_was_ended: by a fault, so that it is to be started again.
        server_was_ended: likewise.
    """

    name: str
    server: RealServer
    daemon: Daemon
    run_directory: Path
    general_log: Path
    mysql: Proxy
    http: Proxy
    grpc: Proxy
    daemon_was_ended: bool = False
    server_was_ended: bool = False

    async def revive_daemon(self) -> None:
        """Start the daemon again, if it was ended."""
        self.daemon_was_ended = False
        if not self.daemon.is_running:
            self.daemon = await start(restart_daemon, self.daemon)

    async def revive_server(self) -> None:
        """Start the server again if it has ended or is about to, as a supervisor would."""
        if self.server_was_ended:
            self.server_was_ended = False
            await asyncio.to_thread(self.server.shut_down)
        if not self.server.server.is_running:
            await start(self.server.restart)


@dataclass
class Stage:
    """See the module.

    Attributes:
        directory: everything of this run.
        tool: the strategy of its migration.
        primary: the host that takes writes now.
        replica: the other one.
        writers: the way of the writers to the primary.
        program: the tool's program.
        disks: the small file systems there are.
        clock: that of servers and daemons, where it can be set.
        choices: for what a fault decides itself.
        rival: a second daemon beside the primary, while there is one.
        accounts: those of the servers before the migration.
        extra_tables: those of the schema that are the rig's own.
    """

    directory: Path
    tool: str
    primary: Host
    replica: Host
    writers: Proxy
    program: Program
    disks: dict[Need, Disk]
    clock: Clock | None
    choices: random.Random
    migration_uuid: str = ""
    rival: Daemon | None = None
    accounts: frozenset[str] = frozenset()
    notes: list[str] = field(default_factory=list[str])

    @property
    def hosts(self) -> tuple[Host, Host]:
        """Both."""
        return (self.primary, self.replica)

    def row(self) -> dict[str, Any] | None:
        """Read the migration's row from the primary; None when there is none."""
        try:
            rows = self.primary.server.records(
                "SELECT * FROM _vt.schema_migrations WHERE migration_uuid = %s",
                (self.migration_uuid,),
            )
        except pymysql.err.ProgrammingError:
            return None  # the table is gone
        return rows[0] if rows else None

    def definition(self, host: Host | None = None, table: str = TABLE) -> str:
        """Return how a server would create a table; empty when there is none."""
        server = (host or self.primary).server
        try:
            (row,) = server.query(f"SHOW CREATE TABLE `{table}`", database=KEYSPACE)
        except pymysql.err.ProgrammingError:
            return ""
        return str(row[1]).partition("\n")[2]

    def expected_definition(self, alteration: str) -> str:
        """Return the definition that an alteration leads to, by altering an empty copy."""
        copy = f"{TABLE}_altered"
        self.primary.server.script(
            f"CREATE TABLE `{copy}` LIKE `{TABLE}`",
            f"ALTER TABLE `{copy}` {alteration}",
            database=KEYSPACE,
        )
        definition = self.definition(table=copy)
        self.primary.server.script(f"DROP TABLE `{copy}`", database=KEYSPACE)
        return definition

    def account_names(self, host: Host) -> frozenset[str]:
        """Return every account of a server."""
        rows = host.server.query("SELECT user, host FROM mysql.user")
        return frozenset(f"{user}@{source}" for user, source in rows)

    async def start_rival(self) -> None:
        """Start a second daemon with the name, the run directory and the server of the first."""
        mine = self.primary
        self.rival = await start(
            start_daemon,
            mine.server.server,
            self.directory / "rival",
            alias=mine.daemon.alias,
            keyspace=KEYSPACE,
            settings={
                **_settings(mine.server, self.program, self.tool),
                "run_directory": str(mine.run_directory),
            },
            launcher=DIES_WITH_US,
        )

    async def stop_rival(self) -> None:
        """End the second daemon."""
        if self.rival is not None:
            await asyncio.to_thread(self.rival.terminate)
            self.rival = None

    def change_roles(self) -> None:
        """Make the replica the primary, with all that was committed, and turn the other round."""
        old, new = self.primary, self.replica
        old.server.script("SET GLOBAL read_only = 1")
        new.server.catch_up(60)
        new.server.script("STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = 0")
        new.server.primary = None
        self.primary, self.replica = new, old
        self.writers.upstream = (LOOPBACK, new.server.port)
        replicate(old.server, new.server)


def replicate(replica: RealServer, primary: RealServer) -> None:
    """Let a server replicate from another one, through the proxy."""
    source = (
        f"CHANGE MASTER TO MASTER_HOST='{PROXY_HOST}', MASTER_PORT={primary.port}, "
        f"MASTER_USER='{REPLICATION_USER}', MASTER_PASSWORD='{REPLICATION_PASSWORD}', "
        "MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=2, "
    )
    statements = ["SET GLOBAL read_only = 1", "SET GLOBAL slave_net_timeout = 5"]
    if replica.is_mariadb:
        statements += [
            "SET GLOBAL gtid_slave_pos = @@global.gtid_current_pos",
            source + "MASTER_USE_GTID=slave_pos",
        ]
    else:
        statements.append(source + "MASTER_AUTO_POSITION=1")
    replica.script(*statements, "START SLAVE")
    replica.primary = primary


def _settings(server: RealServer, program: Program, tool: str) -> dict[str, str]:
    key = "gh_ost_path" if tool == "gh-ost" else "pt_osc_path"
    return {
        **_SETTINGS,
        "mysql_host": PROXY_HOST,
        "mysql_port": str(server.port),
        key: str(program.path),
    }


def real_program(tool: str) -> Path | None:
    """Return the tool itself, None where it is not installed."""
    if tool == "gh-ost":
        return gh_ost_path()
    found = shutil.which("pt-online-schema-change")
    return Path(found) if found else None


def new_directory() -> Path:
    """Make the directory of a run, and sweep those that a killed process left."""
    root = Path(tempfile.gettempdir())
    for old in root.glob(f"{DIRECTORY_PREFIX}*"):
        owner = old.name.removeprefix(DIRECTORY_PREFIX).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            discard(old)
    return Path(tempfile.mkdtemp(prefix=f"{DIRECTORY_PREFIX}{os.getpid()}-", dir=root))


def discard(directory: Path) -> None:
    """Remove a run's directory with what is mounted in it."""
    for mounts in Path("/proc/mounts").read_text().splitlines():
        path = Path(mounts.split()[1])
        if directory in path.parents:
            unmount(path)
    shutil.rmtree(directory, ignore_errors=True)


class _Builder:
    """Puts a stage up."""

    def __init__(
        self, directory: Path, tool: str, release: ReleaseName, needs: Collection[Need]
    ) -> None:
        self._directory = directory
        self._tool = tool
        self._release = find_release(release)
        self._clock = Clock(directory / "clock") if Need.CLOCK in needs else None
        self._disks = {need: self._disk(need) for need in needs if need in DISKS}
        program = real_program(tool)
        assert program is not None, f"{tool} is not installed"
        (directory / "programs").mkdir()
        self._program = Program(directory / "programs" / program.name, program)

    async def build(self, stack: AsyncExitStack, choices: random.Random) -> Stage:
        servers = await asyncio.gather(
            *(start(self._start_server, name) for name in ("first", "second"))
        )
        ports = free_ports(4)
        proxies = [
            [
                await stack.enter_async_context(
                    proxy_to(
                        (LOOPBACK, server.port),
                        host=PROXY_HOST,
                        port=server.port,
                        owner_of=mysql_login,
                    )
                ),
                *[
                    await stack.enter_async_context(proxy_to((LOOPBACK, port)))
                    for port in ports[2 * index : 2 * index + 2]
                ],
            ]
            for index, server in enumerate(servers)
        ]
        writers = await stack.enter_async_context(proxy_to((LOOPBACK, servers[0].port)))
        await asyncio.to_thread(self._prepare, servers[0])
        # Before its daemon looks: it would take a server on its own for a primary.
        await asyncio.to_thread(replicate, servers[1], servers[0])
        daemons = await asyncio.gather(
            *(
                start(self._start_daemon, index, servers[index], ports, proxies)
                for index in range(2)
            )
        )
        primary, replica = (
            Host(
                name=server.server.directory.parent.name,
                server=server,
                daemon=daemon,
                run_directory=self._run_directory(index),
                general_log=self._general_log(server.server.directory.parent.name),
                mysql=mysql,
                http=http,
                grpc=grpc,
            )
            for index, (server, daemon, (mysql, http, grpc)) in enumerate(
                zip(servers, daemons, proxies, strict=True)
            )
        )
        return Stage(
            directory=self._directory,
            tool=self._tool,
            primary=primary,
            replica=replica,
            writers=writers,
            program=self._program,
            disks=self._disks,
            clock=self._clock,
            choices=choices,
        )

    def _disk(self, need: Need) -> Disk:
        places = {
            Need.DATA_DISK: self._directory / "first",
            Need.LOG_DISK: self._run_directory(0),
            Need.TMP_DISK: self._directory / "tmp",
        }
        return Disk(places[need], _DISK_BYTES[need])

    def _run_directory(self, index: int) -> Path:
        return self._directory / f"run-{index}"

    def _general_log(self, name: str) -> Path:
        return self._directory / f"{name}-general.log"

    def _start_server(self, name: str) -> RealServer:
        options = [
            "--log-output=FILE",
            "--general-log=1",
            f"--general-log-file={self._general_log(name)}",
        ]
        if Need.TMP_DISK in self._disks and name == "first":
            options.append(f"--tmpdir={self._disks[Need.TMP_DISK].path}")
        return RealServer(
            self._release,
            self._directory / name / "mysql",
            options=options,
            environment=self._clock.environment if self._clock else None,
        )

    def _prepare(self, primary: RealServer) -> None:
        user, password = WRITER
        primary.script(
            f"CREATE DATABASE {KEYSPACE} CHARACTER SET utf8mb4",
            f"CREATE USER '{user}'@'{LOOPBACK}' IDENTIFIED BY '{password}'",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON {KEYSPACE}.* TO '{user}'@'{LOOPBACK}'",
        )
        create_daemon_account(primary.server, keyspace=KEYSPACE)

    def _start_daemon(
        self, index: int, server: RealServer, ports: list[int], proxies: list[list[Proxy]]
    ) -> Daemon:
        clock = self._clock.environment if self._clock else {}
        # The new primary after a change of roles asks the former one for its lag.
        other = 1 - index
        return start_daemon(
            server.server,
            self._directory / f"daemon-{index}",
            alias=f"zone1-{100 + index:010d}",
            keyspace=KEYSPACE,
            settings={
                **_settings(server, self._program, self._tool),
                "run_directory": str(self._run_directory(index)),
                "callback_address": f"{LOOPBACK}:{proxies[index][1].port}",
                "replicas": f"{LOOPBACK}:{ports[2 * other + 1]}",
            },
            launcher=(*DIES_WITH_US, "env", *(f"{name}={value}" for name, value in clock.items())),
            ports=(ports[2 * index + 1], ports[2 * index]),
        )


@asynccontextmanager
async def open_stage(
    directory: Path,
    tool: str,
    release: ReleaseName,
    *,
    needs: Collection[Need] = (),
    seed: int = 0,
) -> AsyncGenerator[Stage]:
    """Put up a stage; at the end every process of it is ended, and its files stay."""
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, _end_processes, directory)
        builder = await asyncio.to_thread(_Builder, directory, tool, release, needs)
        stage = await builder.build(stack, random.Random(seed))
        stack.push_async_callback(asyncio.to_thread, _end_processes, directory)
        for host in stage.hosts:
            await eventually(partial(_serves, host.daemon), what=host.daemon.alias)
        await eventually(
            lambda: stage.primary.server.query(
                "SELECT 1 FROM information_schema.tables "
                "WHERE table_schema = '_vt' AND table_name = 'schema_migrations'"
            ),
            what="the daemon of the primary makes _vt.schema_migrations",
        )
        await asyncio.to_thread(stage.replica.server.catch_up)
        for host in stage.hosts:
            stage.accounts |= await asyncio.to_thread(stage.account_names, host)
        yield stage


async def _serves(daemon: Daemon) -> bool:
    return await asyncio.to_thread(is_serving, daemon.http)


def _end_processes(directory: Path) -> None:
    """End by force, twice: what is ended first may have been about to start something."""
    for _ in range(2):
        found = processes_of(directory)
        for process in found:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
                os.kill(process.pid, signal.SIGCONT)
        for process in found:
            with suppress(ChildProcessError):
                # Else it would stay a zombie for as long as this process makes runs.
                os.waitpid(process.pid, 0)
