"""What a daemon holds on to, read from outside."""

from __future__ import annotations

import json
import urllib.request
from contextlib import closing
from dataclasses import dataclass

import psutil

from tabletd.sandbox.daemons import Daemon
from tabletd.sandbox.servers import Server


@dataclass(frozen=True)
class Footprint:
    """What a daemon holds at one moment.

    Attributes:
        files: open file descriptors, without its connections to the server.
        threads: of its process.
        tasks: of its event loop.
        children: processes below it.
        connections: to the server.
        resident_mb: memory, 10^6 bytes.
    """

    files: int
    threads: int
    tasks: int
    children: int
    connections: int
    resident_mb: float

    def growth_since(self, earlier: Footprint, allowed: Footprint) -> list[str]:
        """Name what is larger than it was by more than is allowed."""
        return [
            f"{name}: {before:g} before, {now:g} now"
            for name in self.__dataclass_fields__
            if (now := getattr(self, name))
            > (before := getattr(earlier, name)) + getattr(allowed, name)
        ]


def read_footprint(daemon: Daemon, server: Server) -> Footprint:
    """Look at a daemon; blocks for some milliseconds."""
    process = psutil.Process(daemon.identity.pid)
    with closing(urllib.request.urlopen(f"http://{daemon.http}/debug/vars", timeout=10)) as answer:
        tasks = int(json.load(answer)["Tasks"])
    to_server = [
        connection
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_ESTABLISHED and connection.raddr.port == server.port
    ]
    return Footprint(
        files=process.num_fds() - len(to_server),
        threads=process.num_threads(),
        tasks=tasks,
        children=len(process.children(recursive=True)),
        connections=len(to_server),
        resident_mb=process.memory_info().rss / 1e6,
    )
