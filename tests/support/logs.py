"""What is shown under a test that failed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
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
        for tool, text in tool_log(daemon.run_directory).items():
            logs[f"{name}, {tool}"] = text
    return logs


def tool_log(run_directory: Path) -> dict[str, str]:
    """Return the end of what the last tool in a run directory wrote, by its file's name."""
    written = list((run_directory / "logs").glob("*.log"))
    if not written:
        return {}
    last = max(written, key=lambda log: log.stat().st_mtime)
    return {last.name: end_of(last)}


def end_of(log: Path) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LINES:])
