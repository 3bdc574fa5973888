"""A primary's and a replica's daemon that let in only whom they know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from tabletd.access.passwords import PasswordHash
from tabletd.executor.names import create_uuid
from tabletd.sandbox.accounts import create_daemon_account
from tabletd.sandbox.daemons import Daemon, start_daemon
from tabletd.sandbox.ledger import is_serving
from tabletd.sandbox.servers import free_ports
from tabletd.sandbox.topology_file import TopologyEntry, write_topology
from tests.polyglot.table import TABLE, door, filled_in
from tests.support.certificates import Authority, Pair
from tests.support.servers import Pair as ServerPair
from tests.support.waiting import eventually_blocking

KEYSPACE: Final = "commerce"
ALIASES: Final = ("zone1-0000000100", "zone1-0000000101")
PASSWORD: Final = "open sesame"
_LAUNCHER: Final = ("setpriv", "--pdeathsig", "KILL")
_EVERY_TYPE: Final = (
    "CREATE TABLE every_type (id INT PRIMARY KEY, a TINYINT, b TINYINT UNSIGNED, c SMALLINT, "
    "d SMALLINT UNSIGNED, e MEDIUMINT, f MEDIUMINT UNSIGNED, g INT, h INT UNSIGNED, i BIGINT, "
    "j BIGINT UNSIGNED, k FLOAT, l DOUBLE, m DECIMAL(10, 2), n DATE, o TIME(6), p DATETIME(6), "
    "q TIMESTAMP NULL, r YEAR, s BIT(9), t CHAR(10), u VARCHAR(20), v TEXT, w BINARY(4), "
    "x VARBINARY(4), y BLOB, z ENUM('a', 'b'), aa SET('a', 'b', 'c'), bb GEOMETRY) "
    "DEFAULT CHARACTER SET utf8mb4",
    "SET time_zone = '+00:00'",
    "INSERT INTO every_type VALUES (1, -128, 255, -32768, 65535, -8388608, 16777215, -2147483648, "
    "4294967295, -9223372036854775808, 18446744073709551615, 0.5, -1.7976931348623157e308, -0.10, "
    "'9999-12-31', '-838:59:59', '2026-11-23 07:30:00.123456', '2026-11-23 07:30:00', 2155, "
    "b'111111111', 'snow \u2603', 'and \U0001f42c', 'it''s a \"text\"\\n', x'00FF', x'00FF', "
    "x'27225C0A00', 'b', 'a,c', POINT(1, 2))",
    "INSERT INTO every_type (id, q) VALUES (2, NULL)",
)


@dataclass
class Daemons:
    """The two daemons, and what their callers need.

    Attributes:
        primary: beside the primary; asks for a certificate.
        replica: beside the replica; likewise.
        ports: of the primary's daemon and the replica's, by the names that doors have for them.
        authority: signed the certificates.
        strangers: nobody trusts it.
        clients: certificates by name.
        servers: the two servers.
        directory: for files.
    """

    primary: Daemon
    replica: Daemon
    ports: dict[str, int]
    authority: Authority
    strangers: Authority
    clients: dict[str, Pair]
    servers: ServerPair
    directory: Path

    def logs(self) -> dict[str, str]:
        """Return the ends of both logs."""
        return {"primary": self.primary.log_tail(), "replica": self.replica.log_tail()}

    def door(self, described: dict[str, str]) -> dict[str, str]:
        """Return a door of the table with addresses and files."""
        port = described["port"]
        texts = {name: text for name, text in described.items() if name in ("username", "password")}
        if port != "plain":
            is_strange = described.get("trusts") == "strangers"
            texts["ca"] = str((self.strangers if is_strange else self.authority).ca)
        if "certificate" in described:
            pair = self.clients[described["certificate"]]
            texts |= {"certificate": str(pair.cert), "key": str(pair.key)}
        return door(f"localhost:{self.ports[port]}", **texts)

    def plan(self, runner: str, cases: list[dict[str, Any]]) -> dict[str, Any]:
        """Return cases for a runner, with uuids and names of their own."""
        uuid = create_uuid()
        words = {
            "runner": f"{runner}-{uuid}",
            "keyspace": KEYSPACE,
            "uuid": uuid,
            "other_uuid": create_uuid(),
            "table": f"t_{uuid[:8]}",
        }
        names = {case["door"] for case in cases}
        return {
            "doors": {name: self.door(TABLE["doors"][name]) for name in names},
            "cases": filled_in(cases, words),
        }


def _settings(directory: Path, authority: Authority, clients: dict[str, Pair]) -> dict[str, str]:
    users = directory / "users.json"
    hashed = str(PasswordHash.make(PASSWORD))
    users.write_text(json.dumps([{"Username": "paul", "PasswordHash": hashed, "Role": "operator"}]))
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
        "grpc_auth_mode": "mtls",
        "grpc_auth_mtls_roles": "daemon=admin,ada=admin,olga=operator,rita=reader",
        "grpc_auth_static_password_file": str(users),
        "tablet_manager_grpc_ca": str(authority.ca),
        "tablet_manager_grpc_cert": str(clients["daemon"].cert),
        "tablet_manager_grpc_key": str(clients["daemon"].key),
    }


@pytest.fixture(scope="package")
def daemons(
    mariadb_pair_servers: ServerPair, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemons]:
    directory = tmp_path_factory.mktemp("polyglot")
    servers = mariadb_pair_servers
    servers.reset()
    servers.primary.script(f"CREATE DATABASE {KEYSPACE} CHARACTER SET utf8mb4")
    orders = "CREATE TABLE orders (id INT PRIMARY KEY)"
    servers.primary.script(orders, *_EVERY_TYPE, database=KEYSPACE)
    create_daemon_account(servers.primary.server, keyspace=KEYSPACE)
    servers.catch_up()
    authority, strangers = Authority(directory), Authority(directory, "strangers")
    names = ("ada", "olga", "rita", "nobody", "daemon", "server")
    clients = {name: authority.pair(name) for name in names}
    clients["stranger"] = strangers.pair("stranger")
    mtls, other, password, plain, *web = free_ports(6)
    ports = {"mtls": mtls, "replica": other, "password": password, "plain": plain}
    entries = [
        TopologyEntry(ALIASES[0], "0", ports["mtls"], web[0], servers.primary.port),
        TopologyEntry(ALIASES[1], "0", ports["replica"], web[1], servers.replica.port),
    ]
    write_topology(directory / "topology.toml", KEYSPACE, entries)
    settings = _settings(directory, authority, clients)
    doors = {name: str(ports[name]) for name in ("password", "plain")}
    primary = start_daemon(
        servers.primary.server,
        directory / "primary",
        alias=ALIASES[0],
        keyspace=KEYSPACE,
        settings={**settings, **{f"grpc_{name}_port": port for name, port in doors.items()}},
        launcher=_LAUNCHER,
        ports=(ports["mtls"], web[0]),
    )
    try:
        replica = start_daemon(
            servers.replica.server,
            directory / "replica",
            alias=ALIASES[1],
            keyspace=KEYSPACE,
            settings=settings,
            launcher=_LAUNCHER,
            ports=(ports["replica"], web[1]),
        )
        try:
            for daemon in (primary, replica):
                eventually_blocking(partial(is_serving, daemon.http))
            yield Daemons(
                primary, replica, ports, authority, strangers, clients, servers, directory
            )
        finally:
            replica.kill()
    finally:
        primary.kill()
