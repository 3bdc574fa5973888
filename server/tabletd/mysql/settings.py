"""Where the server is and who we are there."""

from __future__ import annotations

from dataclasses import dataclass, field

from tabletd.mysql.tls import Tls


@dataclass(frozen=True)
class MySQLSettings:
    """How to log in to one server.

    Attributes:
        host: address for TCP; not used when `unix_socket` is set.
        port: TCP port.
        unix_socket: path of the server's socket; goes before host and port.
        user: account name.
        password: its password; never printed.
        connect_timeout_seconds: limit for connecting, greeting and login together.
        program_name: what `performance_schema.session_connect_attrs` shows.
        tls: of connections over TCP; None: none.
    """

    host: str = "127.0.0.1"
    port: int = 3306
    unix_socket: str | None = None
    user: str = "root"
    password: str = field(default="", repr=False)
    connect_timeout_seconds: float = 5.0
    program_name: str = "tabletd"
    tls: Tls | None = None

    @property
    def address(self) -> str:
        """The server's address as a message names it."""
        return self.unix_socket or f"{self.host}:{self.port}"

    @property
    def connection_tls(self) -> Tls | None:
        """The TLS of a connection; over a socket nobody can listen, and there is none."""
        return None if self.unix_socket else self.tls
