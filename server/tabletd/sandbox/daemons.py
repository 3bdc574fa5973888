"""Start, look after and end the `tabletd serve` processes of a sandbox or a test.

Everything here blocks: in an event loop call it through `asyncio.to_thread`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tabletd.config import ENVIRONMENT_PREFIX
from tabletd.errors import Reason, TabletdError
from tabletd.sandbox.accounts import DAEMON_PASSWORD, DAEMON_USER
from tabletd.sandbox.releases import tools_directory
from tabletd.sandbox.servers import LOOPBACK, ProcessIdentity, Server, free_port

_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 30.0
_GH_OST: Final = "gh-ost-1.1.10/gh-ost"


@dataclass(frozen=True)
class Daemon:
    """One running daemon.

    Attributes:
        alias: its tablet alias.
        directory: its configuration, log and run directory.
        grpc_port: on 127.0.0.1; the same after a restart.
        http_port: likewise.
        identity: its process.
        launcher: words before the command, kept for a restart.
    """

    alias: str
    directory: Path
    grpc_port: int
    http_port: int
    identity: ProcessIdentity
    launcher: tuple[str, ...] = ()

    @property
    def grpc(self) -> str:
        """The address of its gRPC port."""
        return f"{LOOPBACK}:{self.grpc_port}"

    @property
    def http(self) -> str:
        """The address of its HTTP port."""
        return f"{LOOPBACK}:{self.http_port}"

    @property
    def log(self) -> Path:
        """What it writes about itself."""
        return self.directory / "tabletd.log"

    @property
    def run_directory(self) -> Path:
        """Where its migrations keep their files."""
        return self.directory / "run"

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self.identity.process() is not None

    def terminate(self) -> None:
        """Ask it to end, and wait until it has; by force when it takes longer than 30 s."""
        self.identity.end(_STOP_SECONDS)

    def kill(self) -> None:
        """End it as a crash does."""
        self.identity.signal(signal.SIGKILL)
        self.identity.wait(_STOP_SECONDS)

    def pause(self) -> None:
        """Freeze it: it answers nothing until `resume`."""
        self.identity.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen daemon go on."""
        self.identity.signal(signal.SIGCONT)

    def log_tail(self, lines: int = 40) -> str:
        """Return the last lines of its log."""
        with suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return "(no log)"


def gh_ost_path() -> Path | None:
    """Return the gh-ost program of the sandbox, or None where there is none."""
    built = tools_directory() / _GH_OST
    if os.access(built, os.X_OK):
        return built
    found = shutil.which("gh-ost")
    return Path(found) if found else None


def start_daemon(
    server: Server,
    directory: Path,
    *,
    alias: str,
    keyspace: str,
    shard: str = "0",
    settings: Mapping[str, str] | None = None,
    launcher: Sequence[str] = (),
    ports: tuple[int, int] | None = None,
) -> Daemon:
    """Start a daemon beside a server, with both ports open.

    Args:
        server: the server; the daemon logs in over TCP, as the account of `create_daemon_account`
            unless `settings` name another.
        directory: a directory to make for it.
        alias: cell and uid of the tablet.
        keyspace: also the name of its schema.
        shard: the shard's name.
        settings: configuration keys on top of the sandbox's own.
        launcher: words before the command, for instance `("setpriv", "--pdeathsig", "KILL")`.
        ports: of gRPC and HTTP; None: free ones.

    Raises:
        TabletdError: TOOL_FAILED when it does not come up; the text holds the end of its log.
    """
    directory.mkdir(parents=True, mode=0o700)
    grpc_port, http_port = ports or (free_port(), free_port())
    gh_ost = gh_ost_path()
    settings = settings or {}
    account = {"mysql_user": DAEMON_USER, "mysql_password": DAEMON_PASSWORD}
    merged = {
        "tablet_alias": alias,
        "keyspace": keyspace,
        "shard": shard,
        "mysql_host": server.host,
        "mysql_port": str(server.port),
        **(account if "mysql_user" not in settings else {}),
        "grpc_port": str(grpc_port),
        "http_port": str(http_port),
        "run_directory": str(directory / "run"),
        **({"gh_ost_path": str(gh_ost)} if gh_ost else {}),
        **settings,
    }
    configuration = directory / "tabletd.toml"
    configuration.touch(mode=0o600)
    # A TOML basic string is written like a JSON string.
    configuration.write_text(
        "".join(f"{key} = {json.dumps(value)}\n" for key, value in merged.items())
    )
    return _launch(alias, directory, grpc_port, http_port, tuple(launcher))


def restart_daemon(daemon: Daemon) -> Daemon:
    """Start a daemon again with its own configuration and ports, after `terminate` or `kill`.

    Raises:
        TabletdError: TOOL_FAILED when it does not come up.
    """
    return _launch(
        daemon.alias, daemon.directory, daemon.grpc_port, daemon.http_port, daemon.launcher
    )


def _launch(
    alias: str, directory: Path, grpc_port: int, http_port: int, launcher: tuple[str, ...]
) -> Daemon:
    configuration = directory / "tabletd.toml"
    command = [*launcher, sys.executable, "-m", "tabletd", "serve", "--config", str(configuration)]
    # The configuration of a daemon that the caller may run for himself is not this one's.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)
    }
    with (directory / "tabletd.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=directory,
            start_new_session=True,
        )
    # It outlives this object: whoever ends it does so by its identity.
    process.returncode = 0
    identity = ProcessIdentity.of(process.pid)
    daemon = Daemon(alias, directory, grpc_port, http_port, identity, launcher)
    deadline = time.monotonic() + _START_SECONDS
    while not (_listens(grpc_port) and _listens(http_port)):
        if not daemon.is_running or time.monotonic() > deadline:
            daemon.kill()
            raise TabletdError(
                Reason.TOOL_FAILED, f"tabletd {alias} does not start:\n{daemon.log_tail()}"
            )
        time.sleep(0.05)
    return daemon


def _listens(port: int) -> bool:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0
