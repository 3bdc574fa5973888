"""Servers with certificates of an authority that lives as long as these tests."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from tabletd.mysql.tls import Tls, TlsMode, load_tls
from tabletd.sandbox.releases import ReleaseName, find_release
from tests.support.certificates import Authority, Pair
from tests.support.servers import RealServer, missing_release

USER = "keeper"
PASSWORD = "only with TLS"


@dataclass(frozen=True)
class Trust:
    """Who believes whom."""

    authority: Authority
    stranger: Authority

    @cached_property
    def client(self) -> Pair:
        """What a client of the servers shows."""
        return self.authority.pair("a client", file="client")

    def tls(self, mode: TlsMode) -> Tls:
        """Return the TLS of a client that knows the servers' authority."""
        return load_tls(mode, ca=self.authority.ca if mode.verifies else None)

    def both_ways(self, mode: TlsMode) -> Tls:
        """Return the TLS of a client that shows a certificate as well."""
        return load_tls(mode, ca=self.authority.ca, cert=self.client.cert, key=self.client.key)


@pytest.fixture(scope="package")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    """An authority that the servers' certificates are from, and one that knows nobody."""
    directory = tmp_path_factory.mktemp("certificates")
    return Trust(Authority(directory), Authority(directory, "a stranger"))


def options_of(authority: Authority, pair: Pair) -> tuple[str, ...]:
    """Return a server's options for its certificate."""
    return (f"--ssl-ca={authority.ca}", f"--ssl-cert={pair.cert}", f"--ssl-key={pair.key}")


def _server(name: ReleaseName, directory: Path, options: tuple[str, ...]) -> Iterator[RealServer]:
    reason = missing_release(name)
    if reason:
        pytest.skip(reason)
    server = RealServer(find_release(name), directory, options=options)
    server.script(
        f"CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE SSL",
        f"GRANT ALL ON *.* TO {USER}@'%' WITH GRANT OPTION",
    )
    yield server
    server.stop()


@pytest.fixture(scope="package")
def secure_mariadb(trust: Trust, servers_directory: Path) -> Iterator[RealServer]:
    """A MariaDB whose certificate is for 127.0.0.1."""
    options = options_of(trust.authority, trust.authority.pair("the server", file="server"))
    yield from _server(ReleaseName.MARIADB, servers_directory / "tls-mariadb", options)


@pytest.fixture(scope="package")
def secure_mysql(trust: Trust, servers_directory: Path) -> Iterator[RealServer]:
    """A MySQL 8.0 whose certificate is for `localhost`, and not for 127.0.0.1."""
    pair = trust.authority.pair("localhost", is_local=False, has_rsa=True)
    yield from _server(
        ReleaseName.MYSQL_80,
        servers_directory / "tls-mysql",
        options_of(trust.authority, pair),
    )


@contextmanager
def taking_nothing_else(server: RealServer) -> Generator[None]:
    """Let a server refuse connections without TLS, and note down who comes in."""
    server.query("SET GLOBAL require_secure_transport = ON")
    server.query("SET GLOBAL log_bin_trust_function_creators = 1")
    server.query("SET GLOBAL log_output = 'TABLE'")
    server.query("TRUNCATE mysql.general_log")
    server.query("SET GLOBAL general_log = ON")
    try:
        yield
    finally:
        server.query("SET GLOBAL general_log = OFF")
        server.query("SET GLOBAL require_secure_transport = OFF")


def logins(server: RealServer, user: str) -> set[str]:
    """Return how an account came in: MySQL says `SSL/TLS`, or whatever the way was."""
    sql = (
        "SELECT argument FROM mysql.general_log WHERE command_type = 'Connect' "
        "AND argument LIKE %s AND argument NOT LIKE 'Access denied%%'"
    )
    found = [str(text) for (text,) in server.query(sql, (f"{user}%",))]
    return {text.rpartition(" using ")[2].strip("'") for text in found}
