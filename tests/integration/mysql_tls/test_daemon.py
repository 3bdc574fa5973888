"""A whole daemon beside a server that takes nothing but TLS."""

from __future__ import annotations

from pathlib import Path

from tabletd.sandbox.accounts import DAEMON_PASSWORD, DAEMON_USER, create_daemon_account
from tabletd.sandbox.daemons import Daemon, start_daemon
from tests.integration.mysql_tls.conftest import Trust, logins, taking_nothing_else
from tests.support.processes import DIES_WITH_US
from tests.support.servers import RealServer
from tests.support.two_daemons import variables
from tests.support.waiting import eventually_blocking


def beats(daemon: Daemon) -> int:
    return int(variables(daemon)["HeartbeatWrites"])


def test_all_connections_of_a_daemon_have_tls_and_it_follows_a_change_of_its_password(
    secure_mariadb: RealServer, trust: Trust, tmp_path: Path
) -> None:
    server = secure_mariadb
    server.query("CREATE DATABASE shop")
    create_daemon_account(server.server, keyspace="shop")
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text(f"{DAEMON_PASSWORD}\n")
    settings = {
        **{"mysql_user": DAEMON_USER, "mysql_password_file": str(password)},
        **{"mysql_ssl_ca": str(trust.authority.ca), "heartbeat_interval": "100ms"},
    }
    with taking_nothing_else(server):
        daemon = start_daemon(
            server.server,
            tmp_path / "tabletd",
            alias="zone1-0000000100",
            keyspace="shop",
            settings=settings,
            launcher=DIES_WITH_US,
        )
        try:
            eventually_blocking(lambda: beats(daemon) > 0, what="a heartbeat")
            account = f"{DAEMON_USER}@'127.0.0.1'"
            server.query(f"SET PASSWORD FOR {account} = PASSWORD('another one')")
            password.write_text("another one\n")
            server.query(f"KILL USER {DAEMON_USER}")
            before = beats(daemon)
            eventually_blocking(lambda: beats(daemon) > before + 1, what="further heartbeats")
        finally:
            daemon.kill()
        assert logins(server, DAEMON_USER) == {"SSL/TLS"}
    assert "another one" not in daemon.log.read_text()
