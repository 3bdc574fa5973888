"""A primary's and a replica's daemon that let in only whom they know."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tabletd.access.passwords import PasswordHash
from tabletd.sandbox.accounts import create_daemon_account
from tabletd.sandbox.daemons import Daemon, start_daemon
from tabletd.sandbox.ledger import is_serving
from tabletd.sandbox.servers import free_ports
from tabletd.sandbox.topology_file import TopologyEntry, write_topology
from tests.support.certificates import Authority, Pair
from tests.support.logs import daemon_logs
from tests.support.processes import DIES_WITH_US
from tests.support.servers import Pair as ServerPair
from tests.support.waiting import eventually_blocking

ALIASES: Final = ("zone1-0000000100", "zone1-0000000101")
PASSWORD: Final = "open sesame"
_ROLES: Final = {"daemon": "admin", "ada": "admin", "olga": "operator", "rita": "reader"}


@dataclass
class ClosedPair:
    """The two daemons, which ask for a certificate, and what their callers need.

    Attributes:
        primary: beside the primary.
        replica: beside the replica.
        authority: signed the certificates.
        clients: certificates by name: `ada` is an admin, `olga` an operator, `rita` a reader, and
            `nobody` has no role.
        servers: the two servers.
        directory: for files.
    """

    primary: Daemon
    replica: Daemon
    authority: Authority
    clients: dict[str, Pair]
    servers: ServerPair
    directory: Path

    def logs(self) -> dict[str, str]:
        """Return the ends of both daemons' logs, and of what their last tools wrote."""
        return daemon_logs({"primary": self.primary, "replica": self.replica})


@contextmanager
def closed_pair(
    servers: ServerPair,
    directory: Path,
    *,
    keyspace: str,
    tables: Sequence[str],
    user: str,
    primary_settings: Mapping[str, str] | None = None,
    replica_settings: Mapping[str, str] | None = None,
) -> Generator[ClosedPair]:
    """Run the daemons for the length of a block, from when they serve; blocks.

    Args:
        servers: a pair, of which nothing is kept.
        directory: for files.
        keyspace: also the name of its schema.
        tables: statements that fill the schema.
        user: an operator by his password, which is `PASSWORD`.
        primary_settings: of the primary's daemon on top of those of both.
        replica_settings: of the replica's.
    """
    servers.reset()
    servers.primary.script(f"CREATE DATABASE {keyspace} CHARACTER SET utf8mb4")
    servers.primary.script(*tables, database=keyspace)
    create_daemon_account(servers.primary.server, keyspace=keyspace)
    servers.catch_up()
    numbers = free_ports(4)
    ports = (numbers[0], numbers[1]), (numbers[2], numbers[3])
    both = (servers.primary, servers.replica)
    entries = [
        TopologyEntry(alias, "0", *pair, server.port)
        for alias, pair, server in zip(ALIASES, ports, both, strict=True)
    ]
    write_topology(directory / "topology.toml", keyspace, entries)
    authority = Authority(directory)
    clients = {name: authority.pair(name) for name in (*_ROLES, "nobody", "server")}
    settings = _settings(directory, authority, clients, user)
    own = (primary_settings or {}, replica_settings or {})
    with ExitStack() as stack:
        daemons: list[Daemon] = []
        for alias, pair, server, more in zip(ALIASES, ports, both, own, strict=True):
            daemon = start_daemon(
                server.server,
                directory / alias,
                alias=alias,
                keyspace=keyspace,
                settings={**settings, **more},
                launcher=DIES_WITH_US,
                ports=pair,
            )
            stack.callback(daemon.kill)
            daemons.append(daemon)
        for daemon in daemons:
            eventually_blocking(partial(is_serving, daemon.http), what=f"{daemon.alias} serves")
        primary, replica = daemons
        yield ClosedPair(primary, replica, authority, clients, servers, directory)


def _settings(
    directory: Path, authority: Authority, clients: Mapping[str, Pair], user: str
) -> dict[str, str]:
    users = directory / "users.json"
    hashed = str(PasswordHash.make(PASSWORD))
    users.write_text(json.dumps([{"Username": user, "PasswordHash": hashed, "Role": "operator"}]))
    users.chmod(0o600)
    return {
        "topology_file": str(directory / "topology.toml"),
        "heartbeat_interval": "250ms",
        "health_check_interval": "1s",
        "migration_check_interval": "1s",
        # However slow the machine is, nobody else waits for it.
        "lease_duration": "60s",
        "shutdown_grace": "2s",
        "grpc_cert": str(clients["server"].cert),
        "grpc_key": str(clients["server"].key),
        "grpc_ca": str(authority.ca),
        "grpc_crl": str(authority.revoke()),
        "grpc_auth_mode": "mtls",
        "grpc_auth_mtls_roles": ",".join(f"{name}={role}" for name, role in _ROLES.items()),
        "grpc_auth_static_password_file": str(users),
        "tablet_manager_grpc_ca": str(authority.ca),
        "tablet_manager_grpc_cert": str(clients["daemon"].cert),
        "tablet_manager_grpc_key": str(clients["daemon"].key),
    }
