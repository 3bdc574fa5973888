"""A sandbox: throw-away primaries and replicas with a tablet beside each, under one name.

Everything of a sandbox is in one directory, every process of it is written down there as soon as
it runs, and `stop` ends and removes all of it, also what a killed `start` left behind.
Everything here blocks.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Literal, TypedDict, cast

import psutil

from tabletd.errors import Reason, TabletdError
from tabletd.sandbox.daemons import Daemon, start_daemon
from tabletd.sandbox.releases import Release, ReleaseName, find_release, template_directory
from tabletd.sandbox.servers import ProcessIdentity, Server, start_server

CELL: Final = "zone1"
UNSHARDED: Final = "0"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_KEYSPACE: Final = re.compile(r"[a-z][a-z0-9_]{0,30}")
_SHARD: Final = re.compile(r"0|(?:[0-9a-f]{2}){0,8}-(?:[0-9a-f]{2}){0,8}")
_STATE_FILE: Final = "sandbox.json"
_END_SECONDS: Final = 10.0
_PARALLEL_STARTS: Final = 4
_SERVING_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.05


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


class _State(TypedDict):
    """What the state file holds; processes as (pid, start time)."""

    name: str
    keyspace: str
    server: str
    tablets: list[TabletRecord]
    daemons: dict[str, tuple[int, float]]
    servers: dict[str, tuple[int, float]]


@dataclass(frozen=True)
class SandboxRequest:
    """What to start.

    Attributes:
        name: lower-case letters, digits and hyphens; several sandboxes live side by side.
        server: the release of all its servers.
        replicas: how many replicas each primary has.
        shards: one primary each: `0` alone, or key ranges such as `-80` and `80-`.
        keyspace: also the name of the schema.
        settings: configuration keys of every daemon, on top of the sandbox's own.
    """

    name: str = "default"
    server: ReleaseName = ReleaseName.MARIADB
    replicas: int = 1
    shards: Sequence[str] = (UNSHARDED,)
    keyspace: str = "commerce"
    settings: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Tablet:
    """One running server and the daemon beside it."""

    alias: str
    type: str
    shard: str
    server: Server
    daemon: Daemon

    def record(self) -> TabletRecord:
        """Return it as `--json` shows it."""
        return _record(self.alias, self.type, self.shard, self.server, self.daemon)


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox, as the process that started it knows it."""

    name: str
    keyspace: str
    directory: Path
    tablets: tuple[Tablet, ...]

    def record(self) -> SandboxRecord:
        """Return it as `--json` shows it."""
        return {
            "name": self.name,
            "keyspace": self.keyspace,
            "tablets": [tablet.record() for tablet in self.tablets],
        }

    @property
    def primary(self) -> Tablet:
        """The primary of the first shard."""
        return next(tablet for tablet in self.tablets if tablet.type == "primary")

    @property
    def replicas(self) -> tuple[Tablet, ...]:
        """The replicas of all shards."""
        return tuple(tablet for tablet in self.tablets if tablet.type == "replica")


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


def start_sandbox(request: SandboxRequest) -> Sandbox:
    """Start a sandbox; nothing is left of one that does not come up.

    Raises:
        TabletdError: INVALID_REQUEST for a name that is taken or no name; TOOL_MISSING,
            TOOL_FAILED when a server or a daemon cannot be started.
    """
    _validate(request)
    release = find_release(request.server)
    directory = sandboxes_directory() / request.name
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"there is a sandbox named {request.name} already",
            hint=f"choose another --name, or: tabletd sandbox stop --name {request.name}",
            name=request.name,
        ) from None
    try:
        return _Start(request, release, directory).run()
    except BaseException:
        _remove(directory)
        raise


def sandbox_status(name: str) -> SandboxStatus:
    """Say which processes of a sandbox run.

    Raises:
        TabletdError: INVALID_REQUEST when there is none of this name.
    """
    state = _read_state(_existing_directory(name))
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


def stop_sandbox(name: str) -> None:
    """End every process of a sandbox and remove every file of it.

    Raises:
        TabletdError: INVALID_REQUEST when there is none of this name; INTERNAL when a process
            does not end.
    """
    _remove(_existing_directory(name))


def stray_processes(sandbox: Sandbox) -> list[str]:
    """Name the processes that work in a sandbox and are neither a server nor a daemon of it."""
    own = {tablet.server.identity.pid for tablet in sandbox.tablets}
    own |= {tablet.daemon.identity.pid for tablet in sandbox.tablets}
    found = _processes_in(sandbox.directory)
    return [f"{each.pid}" for each in found if each.pid not in own]


def _existing_directory(name: str) -> Path:
    directory = sandboxes_directory() / name
    if not _NAME.fullmatch(name) or not directory.is_dir():
        others = ", ".join(sandbox_names()) or "none"
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"there is no sandbox named {name}",
            hint=f"sandboxes there are: {others}",
            name=name,
        )
    return directory


def _validate(request: SandboxRequest) -> None:
    wrong: str | None = None
    if not _NAME.fullmatch(request.name):
        wrong = f"{request.name!r} is no sandbox name: lower-case letters, digits, hyphens"
    elif not _KEYSPACE.fullmatch(request.keyspace):
        wrong = f"{request.keyspace!r} is no keyspace name: lower-case letters, digits, underscores"
    elif not 0 <= request.replicas <= 8:
        wrong = f"{request.replicas} replicas were asked for; 0 to 8 are possible"
    elif not request.shards or len(set(request.shards)) != len(request.shards):
        wrong = "each shard is named once, and there is at least one"
    else:
        bad = [shard for shard in request.shards if not _SHARD.fullmatch(shard)]
        if bad:
            wrong = f"{bad[0]!r} is no shard: 0, or a key range such as -80, 40-80 or 80-"
    if wrong is not None:
        raise TabletdError(Reason.INVALID_REQUEST, wrong)


@dataclass(frozen=True)
class _Place:
    """Where one tablet will be."""

    alias: str
    type: str
    shard: str
    directory: Path


class _Start:
    """One start of a sandbox: servers first, then replicas' daemons, then primaries'."""

    def __init__(self, request: SandboxRequest, release: Release, directory: Path) -> None:
        self._request = request
        self._release = release
        self._directory = directory
        self._lock = threading.Lock()
        self._state: _State = {
            "name": request.name,
            "keyspace": request.keyspace,
            "server": request.server,
            "tablets": [],
            "daemons": {},
            "servers": {},
        }

    def run(self) -> Sandbox:
        template_directory(self._release)
        places = self._places()
        with ThreadPoolExecutor(_PARALLEL_STARTS) as threads:
            servers = dict(zip(places, threads.map(self._start_server, places), strict=True))
            self._replicate(places, servers)
            # A primary's daemon watches those of its replicas, so these come first.
            daemons: dict[_Place, Daemon] = {}
            for kind in ("replica", "primary"):
                chosen = [place for place in places if place.type == kind]
                start = partial(self._start_daemon, servers, dict(daemons))
                daemons.update(zip(chosen, threads.map(start, chosen), strict=True))
            list(threads.map(_wait_until_serving, daemons.values()))
        tablets = tuple(
            Tablet(place.alias, place.type, place.shard, servers[place], daemons[place])
            for place in places
        )
        self._state["tablets"] = [tablet.record() for tablet in tablets]
        self._write_state()
        return Sandbox(self._request.name, self._request.keyspace, self._directory, tablets)

    def _places(self) -> list[_Place]:
        return [
            _Place(
                f"{CELL}-{100 * number + index:010d}",
                "replica" if index else "primary",
                shard,
                self._directory / f"{100 * number + index}",
            )
            for number, shard in enumerate(self._request.shards, 1)
            for index in range(self._request.replicas + 1)
        ]

    def _start_server(self, place: _Place) -> Server:
        server = start_server(self._release, place.directory / "mysql")
        self._write_down("servers", place, server.identity)
        return server

    def _start_daemon(
        self, servers: Mapping[_Place, Server], others: Mapping[_Place, Daemon], place: _Place
    ) -> Daemon:
        watched = [daemon.grpc for other, daemon in others.items() if other.shard == place.shard]
        daemon = start_daemon(
            servers[place],
            place.directory / "tabletd",
            alias=place.alias,
            keyspace=self._request.keyspace,
            shard=place.shard,
            settings={"replicas": ",".join(watched), **self._request.settings},
        )
        self._write_down("daemons", place, daemon.identity)
        return daemon

    def _replicate(self, places: Iterable[_Place], servers: Mapping[_Place, Server]) -> None:
        primaries = {place.shard: servers[place] for place in places if place.type == "primary"}
        for place in places:
            if place.type == "replica":
                servers[place].replicate_from(primaries[place.shard])
        for server in primaries.values():
            server.sql(f"CREATE DATABASE `{self._request.keyspace}` CHARACTER SET utf8mb4")

    def _write_down(
        self, kind: Literal["servers", "daemons"], place: _Place, identity: ProcessIdentity
    ) -> None:
        with self._lock:
            self._state[kind][place.alias] = (identity.pid, identity.start_time)
            self._write_state()

    def _write_state(self) -> None:
        part = self._directory / f".{_STATE_FILE}"
        part.write_text(json.dumps(self._state, indent=2))
        part.replace(self._directory / _STATE_FILE)


def _wait_until_serving(daemon: Daemon) -> None:
    deadline = time.monotonic() + _SERVING_SECONDS
    while not is_serving(daemon.http):
        if time.monotonic() > deadline or not daemon.is_running:
            raise TabletdError(
                Reason.TOOL_FAILED, f"tabletd {daemon.alias} does not serve:\n{daemon.log_tail()}"
            )
        time.sleep(_POLL_SECONDS)


def is_serving(http: str) -> bool:
    """Ask a daemon by its HTTP address whether it serves."""
    try:
        with urllib.request.urlopen(f"http://{http}/healthz", timeout=2) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def _record(alias: str, kind: str, shard: str, server: Server, daemon: Daemon) -> TabletRecord:
    return {
        "alias": alias,
        "type": kind,
        "shard": shard,
        "mysql_host": server.host,
        "mysql_port": server.port,
        "mysql_socket": str(server.socket),
        "grpc": daemon.grpc,
        "http": daemon.http,
    }


def _read_state(directory: Path) -> _State:
    try:
        return cast(_State, json.loads((directory / _STATE_FILE).read_text()))
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


def _runs(processes: Mapping[str, Any], alias: str) -> bool:
    found = processes.get(alias)
    return found is not None and ProcessIdentity(*found).process() is not None


def _remove(directory: Path) -> None:
    """End the daemons in good order, then all that is left, then remove the files."""
    state = _read_state(directory)
    for found in state["servers"].values():
        # A frozen server would keep its daemon from ending in good order.
        ProcessIdentity(*found).signal(signal.SIGCONT)
    daemons = [ProcessIdentity(*found) for found in state["daemons"].values()]
    if daemons:
        with ThreadPoolExecutor(len(daemons)) as threads:
            # A daemon may first have to end a migration and to clean up after it.
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


def _end_in_order(daemon: ProcessIdentity) -> None:
    daemon.end(2 * _END_SECONDS)


def _processes_of(directory: Path, state: _State) -> list[ProcessIdentity]:
    """Return the processes that are written down, and those whose command names the directory.

    The latter are what a killed start, or a daemon that was ended by force, left behind; what
    somebody runs in a terminal, to look at a log say, is not ours.
    """
    found = {ProcessIdentity(*each) for each in state["servers"].values()}
    found |= _processes_in(directory)
    return [identity for identity in found if identity.process() is not None]


def _processes_in(directory: Path) -> set[ProcessIdentity]:
    found: set[ProcessIdentity] = set()
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.terminal() is not None or process.pid == os.getpid():
                continue
            if any(f"{directory}/" in word for word in process.cmdline()):
                found.add(ProcessIdentity(process.pid, process.create_time()))
    return found
