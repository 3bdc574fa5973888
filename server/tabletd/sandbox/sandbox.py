"""A sandbox: throw-away primaries and replicas with a tablet beside each, under one name.

Everything of a sandbox is in one directory, and every process of it is written down there as soon
as it runs. Everything here blocks.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Literal

from tabletd.errors import Reason, TabletdError
from tabletd.sandbox.accounts import create_daemon_account
from tabletd.sandbox.daemons import Daemon, start_daemon
from tabletd.sandbox.ledger import (
    NAME,
    SandboxRecord,
    SandboxState,
    TabletRecord,
    is_serving,
    sandboxes_directory,
    write_state,
)
from tabletd.sandbox.releases import Release, ReleaseName, find_release, template_directory
from tabletd.sandbox.removal import processes_in, remove_sandbox
from tabletd.sandbox.servers import ProcessIdentity, Server, free_ports, start_server
from tabletd.sandbox.topology_file import TopologyEntry, write_topology

CELL: Final = "zone1"
UNSHARDED: Final = "0"
_KEYSPACE: Final = re.compile(r"[a-z][a-z0-9_]{0,30}")
_SHARD: Final = re.compile(r"0|(?:[0-9a-f]{2}){0,8}-(?:[0-9a-f]{2}){0,8}")
_PARALLEL_STARTS: Final = 4
_SERVING_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.05


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


def start_sandbox(request: SandboxRequest, announce: Callable[[], None] = lambda: None) -> Sandbox:
    """Start a sandbox; nothing is left of one that does not come up.

    Args:
        request: what to start.
        announce: called when the request is found good, before anything is started.

    Raises:
        TabletdError: INVALID_REQUEST for a name that is taken or no name; TOOL_MISSING,
            TOOL_FAILED when a server or a daemon cannot be started.
    """
    _validate(request)
    release = find_release(request.server)
    directory = _claim(request.name)
    try:
        announce()
        return _Start(request, release, directory).run()
    except BaseException:
        remove_sandbox(directory)
        raise


def _claim(name: str) -> Path:
    """Make the directory of a new sandbox; whoever makes it has the name."""
    while True:
        directory = sandboxes_directory() / name
        try:
            directory.mkdir(mode=0o700)
        except FileNotFoundError:
            continue  # the last other sandbox was removed just now, and the parent with it
        except FileExistsError:
            raise TabletdError(
                Reason.INVALID_REQUEST,
                f"there is a sandbox named {name} already",
                hint=f"choose another --name, or: tabletd sandbox stop --name {name}",
                name=name,
            ) from None
        return directory


def stray_processes(sandbox: Sandbox) -> list[str]:
    """Name the processes that work in a sandbox and are neither a server nor a daemon of it."""
    own = {tablet.server.identity.pid for tablet in sandbox.tablets}
    own |= {tablet.daemon.identity.pid for tablet in sandbox.tablets}
    found = processes_in(sandbox.directory)
    return [f"{each.pid}" for each in found if each.pid not in own]


def _validate(request: SandboxRequest) -> None:
    wrong: str | None = None
    if not NAME.fullmatch(request.name):
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
        self._topology = directory / "topology.toml"
        self._ports: dict[_Place, tuple[int, int]] = {}
        self._lock = threading.Lock()
        self._state: SandboxState = {
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
            ports = iter(free_ports(2 * len(places)))
            self._ports = {place: (next(ports), next(ports)) for place in places}
            write_topology(self._topology, self._request.keyspace, self._entries(places, servers))
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
        write_state(self._directory, self._state)
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

    def _entries(
        self, places: Iterable[_Place], servers: Mapping[_Place, Server]
    ) -> list[TopologyEntry]:
        return [
            TopologyEntry(place.alias, place.shard, *self._ports[place], servers[place].port)
            for place in places
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
            settings={
                "replicas": ",".join(watched),
                "topology_file": str(self._topology),
                **self._request.settings,
            },
            ports=self._ports[place],
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
            create_daemon_account(
                server, keyspace=self._request.keyspace, settings=self._request.settings
            )

    def _write_down(
        self, kind: Literal["servers", "daemons"], place: _Place, identity: ProcessIdentity
    ) -> None:
        with self._lock:
            self._state[kind][place.alias] = (identity.pid, identity.start_time)
            write_state(self._directory, self._state)


def _wait_until_serving(daemon: Daemon) -> None:
    deadline = time.monotonic() + _SERVING_SECONDS
    while not is_serving(daemon.http):
        if time.monotonic() > deadline or not daemon.is_running:
            raise TabletdError(
                Reason.TOOL_FAILED, f"tabletd {daemon.alias} does not serve:\n{daemon.log_tail()}"
            )
        time.sleep(_POLL_SECONDS)


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
