"""End all processes of a sandbox, also those that a killed start left, and remove its files."""

from __future__ import annotations

import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from tabletd.errors import Reason, TabletdError
from tabletd.sandbox.ledger import SandboxState, existing_directory, read_state
from tabletd.sandbox.servers import ProcessIdentity

_END_SECONDS: Final = 10.0


def stop_sandbox(name: str) -> None:
    """End every process of a sandbox and remove every file of it.

    Raises:
        TabletdError: INVALID_REQUEST when there is none of this name; INTERNAL when a process
            does not end.
    """
    remove_sandbox(existing_directory(name))


def remove_sandbox(directory: Path) -> None:
    """End the daemons in good order, then all that is left, then remove the files."""
    state = read_state(directory)
    for found in state["servers"].values():
        # A frozen server would keep its daemon from ending in good order.
        ProcessIdentity(*found).signal(signal.SIGCONT)
    daemons = [ProcessIdentity(*found) for found in state["daemons"].values()]
    if daemons:
        with ThreadPoolExecutor(len(daemons)) as threads:
            list(threads.map(_end_in_order, daemons))
    left = _processes_of(directory, state)
    for identity in left:
        identity.signal(signal.SIGKILL)
    stubborn = [identity.pid for identity in left if not identity.wait(_END_SECONDS)]
    if stubborn:
        raise TabletdError(
            Reason.INTERNAL,
            f"processes {stubborn} of the sandbox {directory.name} do not end",
            hint="see what holds them, end them, and run stop again",
        )
    shutil.rmtree(directory, ignore_errors=True)
    with suppress(OSError):
        directory.parent.rmdir()  # unless there are other sandboxes


def _end_in_order(daemon: ProcessIdentity) -> None:
    daemon.end(2 * _END_SECONDS)


def _processes_of(directory: Path, state: SandboxState) -> list[ProcessIdentity]:
    """Return the processes that are written down, and those whose command names the directory.

    The latter are tools, which go on without their daemons, and what a killed start left behind;
    what somebody runs in a terminal, to look at a log say, is not ours.
    """
    found = {ProcessIdentity(*each) for each in state["servers"].values()}
    found |= processes_in(directory)
    return [identity for identity in found if identity.process() is not None]


def processes_in(directory: Path) -> set[ProcessIdentity]:
    """Return the processes without a terminal whose command names something in the directory."""
    found: set[ProcessIdentity] = set()
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.terminal() is not None or process.pid == os.getpid():
                continue
            if any(f"{directory}/" in word for word in process.cmdline()):
                found.add(ProcessIdentity(process.pid, process.create_time()))
    return found
