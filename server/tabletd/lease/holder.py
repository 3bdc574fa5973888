"""Who holds a lease: a process that nobody mistakes for another one."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tabletd.processes.identity import ProcessIdentity
from tabletd.processes.wrapper import boot_id, start_ticks

_PID_NAMESPACE: Final = Path("/proc/self/ns/pid")


@dataclass(frozen=True, slots=True)
class Process:
    """A process of one boot of one machine, as its own process namespace numbers it.

    Attributes:
        boot_id: of which boot.
        pid_namespace: inode of the namespace in which `pid` counts.
        pid: its number.
        start_ticks: when it started, in clock ticks since boot.
    """

    boot_id: str
    pid_namespace: int
    pid: int
    start_ticks: int

    def is_provably_dead(self) -> bool:
        """Say whether it has ended for certain, which only its own machine can tell."""
        if (self.boot_id, self.pid_namespace) != (boot_id(), own_pid_namespace()):
            return False
        return not ProcessIdentity(self.pid, self.start_ticks, self.boot_id).is_alive()


@dataclass(frozen=True, slots=True)
class Holder:
    """A daemon, for people and for the next daemon.

    Attributes:
        tablet: its alias.
        host: name of its machine.
        address: of its gRPC port.
        process: itself.
    """

    tablet: str
    host: str
    address: str
    process: Process

    def __str__(self) -> str:
        return f"{self.tablet} (process {self.process.pid} on {self.host}, gRPC {self.address})"


def own_pid_namespace() -> int:
    """Return the inode of our process namespace."""
    return _PID_NAMESPACE.stat().st_ino


def own_holder(tablet: str, address: str) -> Holder:
    """Return this process as a holder."""
    pid = os.getpid()
    process = Process(boot_id(), own_pid_namespace(), pid, start_ticks(pid))
    return Holder(tablet, socket.gethostname(), address, process)
