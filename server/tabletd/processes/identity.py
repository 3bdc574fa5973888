"""Tells a process from a later one that was given the same number."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tabletd.processes.wrapper import boot_id


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process of one boot of one machine; no wall clock is part of it.

    Attributes:
        pid: its number.
        start_ticks: when it started, in clock ticks since boot.
        boot_id: of which boot.
    """

    pid: int
    start_ticks: int
    boot_id: str

    def is_alive(self) -> bool:
        """Say whether this very process runs; one that only waits to be reaped does not."""
        if boot_id() != self.boot_id:
            return False
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return False
        fields = stat.rpartition(b")")[2].split()
        return int(fields[19]) == self.start_ticks and fields[0] not in (b"Z", b"X")

    def open_pidfd(self) -> int | None:
        """Open a descriptor that becomes readable at its end; None when it has ended."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        # The descriptor pins the process, so the check after it cannot be overtaken.
        if self.is_alive():
            return pidfd
        os.close(pidfd)
        return None
