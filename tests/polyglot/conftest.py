"""The closed pair of daemons that clients of every language call, and its doors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tabletd.executor.names import create_uuid
from tabletd.sandbox.servers import free_ports
from tests.polyglot.table import TABLE, door, filled_in
from tests.support.certificates import Authority
from tests.support.closed_pair import ClosedPair, closed_pair
from tests.support.servers import Pair as ServerPair

KEYSPACE: Final = "commerce"
_ORDERS: Final = "CREATE TABLE orders (id INT PRIMARY KEY)"
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
    """The two daemons, and how they are called.

    Attributes:
        pair: them, and whom they know.
        ports: of the primary's daemon and the replica's, by the names that doors have for them.
        strangers: nobody trusts it.
    """

    pair: ClosedPair
    ports: dict[str, int]
    strangers: Authority

    def logs(self) -> dict[str, str]:
        """Return the ends of the daemons' logs."""
        return self.pair.logs()

    def door(self, described: dict[str, str]) -> dict[str, str]:
        """Return a door of the table with addresses and files."""
        port = described["port"]
        texts = {name: text for name, text in described.items() if name in ("username", "password")}
        if port != "plain":
            is_strange = described.get("trusts") == "strangers"
            texts["ca"] = str((self.strangers if is_strange else self.pair.authority).ca)
        if "certificate" in described:
            pair = self.pair.clients[described["certificate"]]
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


@pytest.fixture(scope="package")
def daemons(
    mariadb_pair_servers: ServerPair, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemons]:
    directory = tmp_path_factory.mktemp("polyglot")
    password, plain = free_ports(2)
    with closed_pair(
        mariadb_pair_servers,
        directory,
        keyspace=KEYSPACE,
        tables=(_ORDERS, *_EVERY_TYPE),
        user="paul",
        primary_settings={"grpc_password_port": str(password), "grpc_plain_port": str(plain)},
    ) as pair:
        strangers = Authority(directory, "strangers")
        pair.clients["stranger"] = strangers.pair("stranger")
        ports = {
            "mtls": pair.primary.grpc_port,
            "replica": pair.replica.grpc_port,
            "password": password,
            "plain": plain,
        }
        yield Daemons(pair, ports, strangers)
