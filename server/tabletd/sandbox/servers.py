"""Start, look after and end throw-away database servers on loopback.

Everything here blocks: it serves commands and test fixtures. In an event loop call it through
`asyncio.to_thread`.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from tabletd.errors import Reason, TabletdError
from tabletd.sandbox.ports import candidates
from tabletd.sandbox.releases import (
    REPLICATION_PASSWORD,
    REPLICATION_USER,
    Release,
    ReleaseName,
    template_directory,
)

_BOOT_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 20.0
_START_ATTEMPTS: Final = 4
_START_TIME_TOLERANCE: Final = 0.05
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True)
class ProcessIdentity:
    """A process that cannot be mistaken for a later one of the same pid."""

    pid: int
    start_time: float

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """Read the identity of a running process.

        Raises:
            psutil.NoSuchProcess: it is gone already.
        """
        return cls(pid, psutil.Process(pid).create_time())

    def process(self) -> psutil.Process | None:
        """Return the process, or None when it has ended."""
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.start_time) > _START_TIME_TOLERANCE:
                return None
            if process.status() != psutil.STATUS_ZOMBIE:
                return process
        except psutil.NoSuchProcess:
            return None
        # A zombie whose other threads are still on their way out holds its locks; its parent is
        # told about the end, by a wait for it, only after the last of them.
        try:
            reaped, _ = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return None
        return None if reaped else process

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the process has ended."""
        process = self.process()
        if process is not None:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def end(self, within_seconds: float) -> None:
        """End the process by SIGTERM, and by SIGKILL when it takes longer than the limit."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        if not self.wait(within_seconds):
            self.signal(signal.SIGKILL)
            self.wait(within_seconds)

    def wait(self, within_seconds: float) -> bool:
        """Wait for the end of the process; return whether it has ended."""
        deadline = time.monotonic() + within_seconds
        while self.process() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True


@dataclass(frozen=True)
class Server:
    """One running throw-away server.

    Attributes:
        release: what it is.
        directory: everything of it: data, socket, log. Gone after `stop`.
        port: TCP port on 127.0.0.1; also its `server_id`.
        identity: its process.
        options: options on top of the usual ones, kept for a restart.
    """

    release: Release
    directory: Path
    port: int
    identity: ProcessIdentity
    options: tuple[str, ...] = ()

    @property
    def host(self) -> str:
        """The address it listens on."""
        return LOOPBACK

    @property
    def socket(self) -> Path:
        """Its Unix socket, on which `root` needs no password."""
        return self.directory / "mysql.sock"

    @property
    def error_log(self) -> Path:
        """What the server writes about itself."""
        return self.directory / "error.log"

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self.identity.process() is not None

    def sql(self, text: str) -> str:
        """Run statements as `root` by the `mariadb` program; return tab-separated rows.

        Raises:
            TabletdError: MYSQL_ERROR with the program's own words.
        """
        command = [
            client_program(),
            "--no-defaults",
            "--batch",
            "--skip-column-names",
            "--default-character-set=utf8mb4",
            "--user=root",
            f"--socket={self.socket}",
        ]
        done = subprocess.run(
            command, input=text.encode(), capture_output=True, check=False, timeout=60
        )
        if done.returncode != 0:
            raise TabletdError(
                Reason.MYSQL_ERROR,
                f"{self.release.name} on port {self.port}: {done.stderr.decode().strip()}",
            )
        return done.stdout.decode().rstrip("\n")

    def replicate_from(self, primary: Server) -> None:
        """Make this server a read-only GTID replica of another one, from its first event on."""
        source = (
            f"CHANGE MASTER TO MASTER_HOST='{primary.host}', MASTER_PORT={primary.port}, "
            f"MASTER_USER='{REPLICATION_USER}', MASTER_PASSWORD='{REPLICATION_PASSWORD}', "
            "MASTER_CONNECT_RETRY=1, "
        )
        source += (
            "MASTER_USE_GTID=slave_pos" if self.release.is_mariadb else "MASTER_AUTO_POSITION=1"
        )
        self.sql(f"SET GLOBAL read_only=1; {source}; START SLAVE;")

    def pause(self) -> None:
        """Freeze the server: it answers nothing until `resume`."""
        self.identity.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on."""
        self.identity.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the process as a crash does; data and directory stay."""
        self.identity.signal(signal.SIGKILL)
        self.identity.wait(_STOP_SECONDS)

    def shut_down(self) -> None:
        """End the process in good order; data and directory stay."""
        self.identity.end(_STOP_SECONDS)

    def stop(self) -> None:
        """End the process and remove everything of it."""
        # Nothing is worth a slow shutdown: the data goes with it.
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def log_tail(self, lines: int = 30) -> str:
        """Return the last lines of the server's own log."""
        try:
            text = self.error_log.read_text(errors="replace")
        except OSError as error:
            return str(error)
        return "\n".join(text.splitlines()[-lines:])


def client_program() -> str:
    """Return the path of the `mariadb` client program.

    Raises:
        TabletdError: TOOL_MISSING.
    """
    found = shutil.which("mariadb") or shutil.which("mysql")
    if found is None:
        raise TabletdError(
            Reason.TOOL_MISSING,
            "the program mariadb is not installed",
            hint="apt-get install --no-install-recommends mariadb-client",
        )
    return found


def free_port() -> int:
    """Return a TCP port of loopback that nobody listens on at this moment."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return TCP ports of loopback, all different, that nobody listens on at this moment.

    Raises:
        TabletdError: TOOL_FAILED when so many are not to be had.
    """
    ports: list[int] = []
    with ExitStack() as stack:
        for port in candidates():
            probe = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            with suppress(OSError):
                probe.bind((LOOPBACK, port))
                ports.append(port)
            if len(ports) == count:
                return ports
    raise TabletdError(Reason.TOOL_FAILED, f"no {count} ports are free on {LOOPBACK}")


def start_server(
    release: Release,
    directory: Path,
    *,
    options: Sequence[str] = (),
    launcher: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    port: int | None = None,
) -> Server:
    """Start a server on a fresh copy of its release's template, ready to answer.

    Args:
        release: what to start.
        directory: a directory to make for it; its path must leave room for a socket's name.
        options: server options that follow, and so override, the usual ones.
        launcher: words before the command, for instance `("setpriv", "--pdeathsig", "KILL")`.
        environment: variables on top of ours.
        port: the TCP port; None takes a free one.

    Raises:
        TabletdError: TOOL_FAILED when it does not come up; the text holds the end of its log.
    """
    if len(str(directory)) > 90:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"{directory} is too long for a Unix socket inside it",
            hint="choose a directory of at most 90 characters",
        )
    template = template_directory(release)
    directory.mkdir(parents=True, mode=0o700)
    _copy(template, directory / "data")
    failure = ""
    for _ in range(_START_ATTEMPTS if port is None else 1):
        chosen = free_port() if port is None else port
        server = _launch(release, directory, chosen, tuple(options), launcher, environment)
        if _wait_until_ready(server):
            return server
        failure = server.log_tail()
        server.kill()
        if "Address already in use" not in failure:
            break
    shutil.rmtree(directory, ignore_errors=True)
    raise TabletdError(Reason.TOOL_FAILED, f"{release.name} does not start:\n{failure}")


def restart_server(
    server: Server,
    *,
    options: Sequence[str] | None = None,
    launcher: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Server:
    """Start a server again on its own data and port, after `kill` or `shut_down`.

    Raises:
        TabletdError: TOOL_FAILED when it does not come up.
    """
    chosen = server.options if options is None else tuple(options)
    again = _launch(server.release, server.directory, server.port, chosen, launcher, environment)
    if not _wait_until_ready(again):
        failure = again.log_tail()
        again.kill()
        raise TabletdError(Reason.TOOL_FAILED, f"{server.release.name} does not start:\n{failure}")
    return again


def _copy(template: Path, datadir: Path) -> None:
    subprocess.run(
        ["cp", "--archive", "--reflink=auto", str(template), str(datadir)], check=True, timeout=60
    )


def _launch(
    release: Release,
    directory: Path,
    port: int,
    options: tuple[str, ...],
    launcher: Sequence[str],
    environment: Mapping[str, str] | None,
) -> Server:
    command = [
        *launcher,
        str(release.mysqld),
        *release.server_options(),
        f"--datadir={directory / 'data'}",
        f"--socket={directory / 'mysql.sock'}",
        f"--pid-file={directory / 'mysqld.pid'}",
        f"--tmpdir={directory}",
        f"--bind-address={LOOPBACK}",
        f"--port={port}",
        f"--server-id={port}",
        "--skip-name-resolve",
        "--log-bin=binlog",
        "--binlog-format=ROW",
        "--log-slave-updates=1",
        # pt-osc makes triggers, and no migration's account gets SUPER.
        "--log-bin-trust-function-creators=1",
        # Accounts without SUPER, such as that of a migration, may create triggers.
        "--log-bin-trust-function-creators=1",
        "--relay-log=relay",
        *_replication_options(release),
        *options,
    ]
    with (directory / "error.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**release.process_environment(), **(environment or {})},
            start_new_session=True,
        )
    # The server outlives this object: whoever ends it does so by its identity.
    process.returncode = 0
    return Server(release, directory, port, ProcessIdentity.of(process.pid), options)


def _replication_options(release: Release) -> list[str]:
    if release.is_mariadb:
        options = ["--gtid-strict-mode=1"]
        if release.name is ReleaseName.MARIADB_114:
            # Without it gh-ost reads coordinates that compare as old and waits for ever.
            options.append("--binlog-legacy-event-pos=1")
        return options
    return [
        "--gtid-mode=ON",
        "--enforce-gtid-consistency=ON",
        "--master-info-repository=TABLE",
        "--relay-log-info-repository=TABLE",
        # gh-ost looks at metadata locks before it swaps the tables.
        "--performance-schema-instrument=wait/lock/metadata/sql/mdl=ON",
    ]


def _wait_until_ready(server: Server) -> bool:
    deadline = time.monotonic() + _BOOT_SECONDS
    while time.monotonic() < deadline:
        if not server.is_running:
            return False
        if _greets(server.socket):
            return True
        time.sleep(0.02)
    return False


def _greets(path: Path) -> bool:
    """Return whether a server says hello on the socket; it does so once it takes statements."""
    if not path.exists():
        return False
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.settimeout(5)
        try:
            probe.connect(os.fspath(path))
            return len(probe.recv(5)) == 5
        except OSError:
            return False
