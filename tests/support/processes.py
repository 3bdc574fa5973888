"""What tests start: how it ends with them, and tools found by the directory they work in."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

# Words before the command of a server or daemon: it ends with the thread that has started it, so
# that a run that is ended by force takes all of them along.
DIES_WITH_US: Final = ("setpriv", "--pdeathsig", "KILL")


def commands_in(directory: Path) -> Mapping[psutil.Process, str]:
    """Return the processes whose command names a directory, each with its command."""
    found: dict[psutil.Process, str] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            command = " ".join(process.cmdline())
            if str(directory) in command:
                found[process] = command
    return found


def end_processes(directory: Path) -> None:
    """End what a test that was broken off has left at work in its directory."""
    for process in commands_in(directory):
        with suppress(psutil.Error):
            process.kill()
