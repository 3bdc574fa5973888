"""Replicas whose host has another clock: its server, its daemon, and what else reads there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from tabletd.sandbox.daemons import restart_daemon
from tabletd.sandbox.sandbox import Tablet
from tabletd.sandbox.servers import restart_server
from tests.faults.faketime import Clock

# By what a reader of the tables sees: the clock as libfaketime writes it.
CLOCKS: Final = {
    "clocks agree": "+0",
    "reader 10 s ahead": "+10",
    "reader 10 s behind": "-10",
    "reader drifts 200 ppm": "+0 x1.0002",
}


def launcher(directory: Path, clock: str) -> tuple[str, ...]:
    """Return the words before a command that is to run under a clock."""
    file = directory / "clock"
    environment = Clock(file).environment
    file.write_text(f"{clock}\n")
    return ("env", *(f"{name}={value}" for name, value in environment.items()))


def put_under_clock(tablet: Tablet, words: tuple[str, ...]) -> Tablet:
    """Start a tablet's server and daemon again, behind the words of `launcher`."""
    tablet.daemon.terminate()
    tablet.server.shut_down()
    server = restart_server(tablet.server, launcher=words)
    return replace(
        tablet, server=server, daemon=restart_daemon(replace(tablet.daemon, launcher=words))
    )
