"""Tells systemd how the daemon is: the datagrams of sd_notify(3).

The libraries for this are either without a release for years or bindings that need libsystemd, and
none knows of an event loop; what is needed is a datagram now and then.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Generator, MutableMapping
from contextlib import contextmanager
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.loops import ThrottledLogger
from tabletd.servicers.ports import TabletPort
from tabletd.tablet import Health

logger = logging.getLogger(__name__)

# The tablet's health, in one line of `systemctl status`.
_STATUS_CHARACTERS_MAX: Final = 300
_BEAT_SECONDS: Final = 20.0


class ServiceManager:
    """Whoever started the daemon and wants to hear of it; perhaps nobody.

    Args:
        address: of the manager's socket: a path, or `@name` for an abstract one; empty: nobody.
        watchdog_seconds: after which silence it takes the daemon for dead; None: never.
    """

    def __init__(self, address: str = "", watchdog_seconds: float | None = None) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._watchdog_seconds = watchdog_seconds
        self._is_taking_its_time = False
        self._problems = ThrottledLogger("ServiceManager", logger=logger)

    @classmethod
    def taken_from(cls, environment: MutableMapping[str, str]) -> ServiceManager:
        """Read what systemd says of itself, and take it away: no child is to speak for the daemon.

        Args:
            environment: usually `os.environ`; loses `NOTIFY_SOCKET` and `WATCHDOG_*`.
        """
        address = environment.pop("NOTIFY_SOCKET", "")
        microseconds = environment.pop("WATCHDOG_USEC", "")
        meant_for = environment.pop("WATCHDOG_PID", str(os.getpid()))
        if address[:1] not in {"/", "@"}:
            return cls()
        is_watched = microseconds.isdecimal() and meant_for == str(os.getpid())
        return cls(address, int(microseconds) / 1e6 if is_watched else None)

    @property
    def is_there(self) -> bool:
        """Whether anybody listens."""
        return bool(self._address)

    def ready(self) -> None:
        """The ports are open; also: the settings are reread."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """The settings are being reread; `ready` follows."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The daemon ends."""
        self._tell("STOPPING=1", "STATUS=stopping")

    @contextmanager
    def patience(self) -> Generator[None]:
        """Nobody must end the daemon by force, while it is alive, for the length of a block."""
        self._tell("STOPPING=1", "STATUS=waiting for running migrations")
        self._is_taking_its_time = True
        self._beat()
        try:
            yield
        finally:
            self._is_taking_its_time = False

    async def run(self) -> None:
        """Show that the event loop is alive, for as long as it is; ends where nobody listens."""
        seconds = min(_BEAT_SECONDS, (self._watchdog_seconds or _BEAT_SECONDS) / 3)
        while self.is_there:
            self._beat()
            await asyncio.sleep(seconds)

    async def follow(self, tablet: TabletPort) -> None:
        """Keep the status in step with the tablet's health, until the tablet stops."""
        while self.is_there:
            try:
                async with tablet.subscribe() as updates:
                    async for update in updates:
                        self._tell(f"STATUS={_status(update)}")
            except TabletdError as error:
                if error.reason is not Reason.SLOW_READER:
                    return

    def _beat(self) -> None:
        if self._is_taking_its_time:
            self._tell(f"EXTEND_TIMEOUT_USEC={round(_BEAT_SECONDS * 3 * 1e6)}")
        elif self._watchdog_seconds is not None:
            self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        if not self.is_there:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            self._problems.error(f"cannot tell systemd {lines[0]}: {error.strerror}")


def _status(health: Health) -> str:
    text = f"{health.type} {health.state_name}"
    if health.health_error:
        text += f": {' '.join(health.health_error.split())}"
    return text[:_STATUS_CHARACTERS_MAX]
