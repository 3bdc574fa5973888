"""Asks a server what it is without being let in: it says so before anybody logs in."""

from __future__ import annotations

from typing import Any

import pymysql

from tabletd.mysql.errors import unreachable
from tabletd.mysql.flavor import ServerInfo, parse_version
from tabletd.mysql.settings import MySQLSettings


def greeted_server(settings: MySQLSettings) -> ServerInfo:
    """Return flavour and version from the server's greeting; blocks.

    No password is sent: whether the account exists does not matter, a refusal says as much.

    Raises:
        MySQLUnavailable: nobody answers.
        TabletdError: UNSUPPORTED_SERVER when what answers is neither a MySQL nor a MariaDB.
    """
    connection: pymysql.Connection[Any] = pymysql.Connection(
        host=settings.host,
        port=settings.port,
        unix_socket=settings.unix_socket,
        user=settings.user,
        connect_timeout=settings.connect_timeout_seconds,
        defer_connect=True,
    )
    refusal: object = "it greets nobody"
    try:
        connection.connect()
        connection.close()
    except (pymysql.MySQLError, OSError) as error:
        refusal = error
    greeting = str(getattr(connection, "server_version", ""))
    if not greeting:
        raise unreachable(settings, refusal)
    return parse_version(greeting, "")
