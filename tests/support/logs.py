"""What is shown under a test that failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol, runtime_checkable

from tabletd.sandbox.daemons import Daemon

_LINES: Final = 80


@runtime_checkable
class Logging(Protocol):
    """A fixture's value that keeps logs."""

    def logs(self) -> dict[str, str]:
        """Return the end of each log, by what it is of."""
        ...


def daemon_logs(daemons: Mapping[str, Daemon]) -> dict[str, str]:
    """Return the ends of daemons' logs, and of what the last tool of each wrote."""
    logs: dict[str, str] = {}
    for name, daemon in daemons.items():
        logs[name] = daemon.log_tail(_LINES)
        written = list((daemon.run_directory / "logs").glob("*.log"))
        if written:
            last = max(written, key=lambda log: log.stat().st_mtime)
            lines = last.read_text(errors="replace").splitlines()[-_LINES:]
            logs[f"{name}, {last.name}"] = "\n".join(lines)
    return logs
