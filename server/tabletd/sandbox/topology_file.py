"""The topology file of a sandbox: every daemon of it knows all the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tabletd.sandbox.servers import LOOPBACK


@dataclass(frozen=True)
class TopologyEntry:
    """One tablet as the file names it; everything listens on the loopback address."""

    alias: str
    shard: str
    grpc_port: int
    http_port: int
    mysql_port: int


def write_topology(path: Path, keyspace: str, entries: Iterable[TopologyEntry]) -> None:
    """Write the file that the setting `topology_file` names."""
    path.write_text(
        "\n".join(
            "[[tablets]]\n"
            f'alias = "{entry.alias}"\n'
            f'keyspace = "{keyspace}"\n'
            f'shard = "{entry.shard}"\n'
            f'host = "{LOOPBACK}"\n'
            f"grpc_port = {entry.grpc_port}\n"
            f"http_port = {entry.http_port}\n"
            f"mysql_port = {entry.mysql_port}\n"
            for entry in entries
        ),
        encoding="utf-8",
    )
