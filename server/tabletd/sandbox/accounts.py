"""The account that a sandbox's daemons log in with: what `tabletd grants` says, and no more."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from tabletd.config import load_config
from tabletd.grants import needed
from tabletd.mysql.greeting import greeted_server
from tabletd.mysql.privileges import Feature
from tabletd.mysql.quote import account as quoted_account
from tabletd.mysql.settings import MySQLSettings
from tabletd.sandbox.servers import LOOPBACK, Server

DAEMON_USER: Final = "tabletd"
# No secret: the server is thrown away and listens on loopback alone.
DAEMON_PASSWORD: Final = "not-for-any-other-server"  # noqa: S105


def create_daemon_account(
    server: Server,
    *,
    keyspace: str,
    settings: Mapping[str, str] | None = None,
    also: Collection[Feature] = (),
) -> None:
    """Make the account of the daemons, or give the one that is there what it needs.

    Args:
        server: a primary; its replicas get the account by replication.
        keyspace: of the daemons.
        settings: configuration keys of the daemons that decide what they need.
        also: features that are not usual.
    """
    described = {"tablet_alias": "zone1-1", "keyspace": keyspace, **(settings or {})}
    greeting = MySQLSettings(unix_socket=str(server.socket), user=DAEMON_USER)
    info = greeted_server(greeting)
    account = quoted_account(DAEMON_USER, LOOPBACK)
    plugin = " WITH mysql_native_password" if not info.is_mariadb else ""
    grants = needed(load_config(described, {}).config, info, also=also).grants
    statements = [
        f"CREATE USER IF NOT EXISTS {account} IDENTIFIED{plugin} BY '{DAEMON_PASSWORD}'",
        *(grant.sql(account) for grant in grants),
    ]
    server.sql(";\n".join(statements))
