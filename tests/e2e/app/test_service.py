"""`tabletd serve` as systemd starts it: what it is told, in which order."""

from __future__ import annotations

import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tabletd.sandbox.accounts import create_daemon_account
from tabletd.sandbox.daemons import start_daemon
from tests.support.processes import DIES_WITH_US
from tests.support.servers import RealServer
from tests.support.waiting import PATIENCE_SECONDS


class Systemd:
    """Hears what a service says, line by line."""

    def __init__(self, directory: Path) -> None:
        self.address = directory / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.address))
        self._socket.settimeout(PATIENCE_SECONDS)

    def next(self, is_meant: Callable[[str], bool]) -> str:
        """Return the next line that is meant, whatever is said before."""
        while True:
            for line in self._socket.recv(4096).decode().split("\n"):
                if is_meant(line):
                    return line

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd() -> Iterator[Systemd]:
    with tempfile.TemporaryDirectory() as directory:
        listening = Systemd(Path(directory))
        yield listening
        listening.close()


def test_systemd_hears_of_the_start_the_state_each_reload_and_the_end(
    mariadb: RealServer, systemd: Systemd, tmp_path: Path
) -> None:
    mariadb.query("CREATE DATABASE shop")
    create_daemon_account(mariadb.server, keyspace="shop")
    said = (f"NOTIFY_SOCKET={systemd.address}", "WATCHDOG_USEC=3000000")
    tabletd = start_daemon(
        mariadb.server,
        tmp_path / "tabletd",
        alias="zone1-0000000101",
        keyspace="shop",
        settings={"shutdown_grace": "2s"},
        launcher=(*DIES_WITH_US, "env", *said),
    )
    try:
        assert systemd.next(lambda line: "=1" in line and "WATCHDOG" not in line) == "READY=1"
        systemd.next(lambda line: line == "STATUS=PRIMARY SERVING")
        for _ in range(2):
            systemd.next(lambda line: line == "WATCHDOG=1")
        process = psutil.Process(tabletd.identity.pid)
        process.send_signal(signal.SIGHUP)
        systemd.next(lambda line: line == "RELOADING=1")
        systemd.next(lambda line: line == "READY=1")
        process.send_signal(signal.SIGTERM)
        systemd.next(lambda line: line == "STOPPING=1")
    finally:
        tabletd.terminate()
