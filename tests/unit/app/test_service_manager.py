"""What systemd is told, on a socket of our own."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tabletd.app.service_manager import ServiceManager
from tabletd.errors import Reason, TabletdError
from tabletd.tablet import Health, TabletType
from tests.support.fakes_servicers import FakeTablet

HOUR_USEC = str(3_600_000_000)


class Systemd:
    """Receives what it is told."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.setblocking(False)

    def close(self) -> None:
        self._socket.close()

    def heard(self) -> list[list[str]]:
        """Return what was told since the last time, the lines of each datagram."""
        found: list[list[str]] = []
        while True:
            try:
                found.append(self._socket.recv(4096).decode().split("\n"))
            except BlockingIOError:
                return found

    async def next(self) -> list[str]:
        received = await asyncio.get_running_loop().sock_recv(self._socket, 4096)
        return received.decode().split("\n")


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest) -> Iterator[Systemd]:
    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory) / "notify")
        listening = Systemd(path if request.param == "path" else f"@{path}")
        yield listening
        listening.close()


def test_systemd_hears_of_the_start_a_reload_and_the_end(systemd: Systemd) -> None:
    manager = ServiceManager(systemd.address)
    manager.ready()
    manager.reloading()
    manager.ready()
    manager.stopping()
    ready, reloading, ready_again, stopping = systemd.heard()
    assert ready == ready_again == ["READY=1"]
    assert reloading[0] == "RELOADING=1"
    assert reloading[1].startswith("MONOTONIC_USEC=")
    assert stopping == ["STOPPING=1", "STATUS=stopping"]


async def test_the_watchdog_hears_of_the_event_loop_again_and_again(systemd: Systemd) -> None:
    manager = ServiceManager(systemd.address, watchdog_seconds=0.01)
    beating = asyncio.create_task(manager.run())
    assert [await systemd.next() for _ in range(3)] == [["WATCHDOG=1"]] * 3
    beating.cancel()


async def test_who_is_not_watched_does_not_beat_but_asks_for_time(systemd: Systemd) -> None:
    manager = ServiceManager(systemd.address)
    beating = asyncio.create_task(manager.run())
    await asyncio.sleep(0)
    assert systemd.heard() == []
    with manager.patience():
        assert systemd.heard() == [
            ["STOPPING=1", "STATUS=waiting for running migrations"],
            ["EXTEND_TIMEOUT_USEC=60000000"],
        ]
    beating.cancel()


async def test_the_status_follows_the_health_of_the_tablet(systemd: Systemd) -> None:
    tablet = FakeTablet()
    tablet.health = Health(TabletType.UNKNOWN, False, health_error="cannot\nreach MySQL")
    following = asyncio.create_task(ServiceManager(systemd.address).follow(tablet))
    assert await systemd.next() == ["STATUS=UNKNOWN NOT_SERVING: cannot reach MySQL"]
    tablet.tell(Health(TabletType.PRIMARY, True))
    assert await systemd.next() == ["STATUS=PRIMARY SERVING"]
    tablet.end_streams(TabletdError(Reason.SHUTTING_DOWN, "stopping"))
    await following


def test_children_inherit_nothing_of_what_systemd_says(systemd: Systemd) -> None:
    environment = {
        "NOTIFY_SOCKET": systemd.address,
        "WATCHDOG_USEC": HOUR_USEC,
        "WATCHDOG_PID": str(os.getpid()),
        "HOME": "/",
    }
    manager = ServiceManager.taken_from(environment)
    assert environment == {"HOME": "/"}
    with manager.patience():
        pass
    assert systemd.heard()


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": HOUR_USEC},
        {"NOTIFY_SOCKET": "vsock:2:1234"},
        {"NOTIFY_SOCKET": ""},
    ],
)
async def test_where_nobody_listens_nothing_is_told(environment: dict[str, str]) -> None:
    manager = ServiceManager.taken_from(environment)
    assert not manager.is_there
    manager.ready()
    await manager.run()


async def test_a_watchdog_for_another_process_is_not_ours(systemd: Systemd) -> None:
    manager = ServiceManager.taken_from(
        {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": HOUR_USEC, "WATCHDOG_PID": "1"}
    )
    beating = asyncio.create_task(manager.run())
    await asyncio.sleep(0)
    assert systemd.heard() == []
    beating.cancel()


def test_a_manager_that_went_away_is_said_once_and_hinders_nothing(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    manager = ServiceManager(str(tmp_path / "gone"))
    manager.ready()
    manager.stopping()
    (message,) = caplog.messages
    assert "cannot tell systemd READY=1: No such file" in message
