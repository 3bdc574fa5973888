"""What is written down about sandboxes, and where: their directories, records and state files."""

from __future__ import annotations

import json
import os
import re
import tempfile
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypedDict, cast

from tabletd.errors import Reason, TabletdError
from tabletd.sandbox.servers import ProcessIdentity

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_STATE_FILE: Final = "sandbox.json"


class TabletRecord(TypedDict):
    """One tablet as `--json` shows it."""

    alias: str
    type: str
    shard: str
    mysql_host: str
    mysql_port: int
    mysql_socket: str
    grpc: str
    http: str


class SandboxRecord(TypedDict):
    """A sandbox as `--json` shows it."""

    name: str
    keyspace: str
    tablets: list[TabletRecord]


class TabletStatus(TabletRecord):
    """One tablet with what is left of it."""

    mysql_running: bool
    tabletd_running: bool
    serving: bool


class SandboxStatus(TypedDict):
    """A sandbox with the state of each process."""

    name: str
    keyspace: str
    server: str
    tablets: list[TabletStatus]


class SandboxState(TypedDict):
    """What the state file holds; processes as (pid, start time)."""

    name: str
    keyspace: str
    server: str
    tablets: list[TabletRecord]
    daemons: dict[str, tuple[int, float]]
    servers: dict[str, tuple[int, float]]


def sandboxes_directory() -> Path:
    """Return the directory of this user's sandboxes: short, since sockets are inside.

    Raises:
        TabletdError: PERMISSION_DENIED when somebody else has made it.
    """
    directory = Path(tempfile.gettempdir()) / f"tabletd-{os.geteuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if found.st_uid != os.geteuid() or directory.is_symlink() or found.st_mode & 0o077:
        raise TabletdError(
            Reason.PERMISSION_DENIED,
            f"{directory} is not this user's alone",
            hint="remove it, or set TMPDIR to a directory of your own",
        )
    return directory


def sandbox_names() -> list[str]:
    """Return the names of this user's sandboxes, whole or half started."""
    return sorted(path.name for path in sandboxes_directory().iterdir() if path.is_dir())


def existing_directory(name: str) -> Path:
    """Return the directory of a sandbox.

    Raises:
        TabletdError: INVALID_REQUEST when there is none of this name; those there are are named.
    """
    directory = sandboxes_directory() / name
    if not NAME.fullmatch(name) or not directory.is_dir():
        others = ", ".join(sandbox_names()) or "none"
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"there is no sandbox named {name}",
            hint=f"sandboxes there are: {others}",
            name=name,
        )
    return directory


def read_state(directory: Path) -> SandboxState:
    """Return what is written down about a sandbox."""
    try:
        return cast(SandboxState, json.loads((directory / _STATE_FILE).read_text()))
    except (OSError, ValueError):
        # Killed before its first process ran.
        return {
            "name": directory.name,
            "keyspace": "",
            "server": "",
            "tablets": [],
            "daemons": {},
            "servers": {},
        }


def write_state(directory: Path, state: SandboxState) -> None:
    """Write down what is known about a sandbox; a reader sees all of it or none of it."""
    part = directory / f".{_STATE_FILE}"
    part.write_text(json.dumps(state, indent=2))
    part.replace(directory / _STATE_FILE)


def sandbox_status(name: str) -> SandboxStatus:
    """Say which processes of a sandbox run.

    Raises:
        TabletdError: INVALID_REQUEST when there is none of this name.
    """
    state = read_state(existing_directory(name))
    tablets: list[TabletStatus] = [
        {
            **tablet,
            "mysql_running": _runs(state["servers"], tablet["alias"]),
            "tabletd_running": _runs(state["daemons"], tablet["alias"]),
            "serving": is_serving(tablet["http"]),
        }
        for tablet in state["tablets"]
    ]
    return {
        "name": state["name"],
        "keyspace": state["keyspace"],
        "server": state["server"],
        "tablets": tablets,
    }


def is_serving(http: str) -> bool:
    """Ask a daemon by its HTTP address whether it serves."""
    try:
        with urllib.request.urlopen(f"http://{http}/healthz", timeout=2) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def _runs(processes: Mapping[str, Any], alias: str) -> bool:
    found = processes.get(alias)
    return found is not None and ProcessIdentity(*found).process() is not None
