"""Connections that hold a table."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import Any, cast

from pymysql.connections import Connection

from tests.support.servers import RealServer

# Statements that make a connection hold the table, none of them runs any more afterwards.
HOLDERS = {
    "a lock on the table": ("LOCK TABLES orders READ",),
    "a lock on a row": ("BEGIN", "SELECT * FROM orders WHERE id = 1 FOR UPDATE"),
    "an open snapshot": ("BEGIN", "SELECT * FROM orders"),
}


@contextmanager
def connected(
    server: RealServer, database: str, *statements: str, user: str = "app"
) -> Generator[Connection[Any]]:
    """Open a connection that has run some statements; it is closed at the end."""
    with closing(server.connect(database, user=user)) as connection:
        for statement in statements:
            connection.cursor().execute(statement)
        yield connection


def number_of(connection: Connection[Any]) -> int:
    """The connection's number in the process list."""
    return cast("tuple[int, ...]", getattr(connection, "server_thread_id"))[0]  # noqa: B009
