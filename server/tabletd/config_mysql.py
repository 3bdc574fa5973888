"""The settings about the MySQL or MariaDB server: where it is, who we are there, TLS.

What is not set may come from an option file of MySQL's own programs (`mysql_defaults_file`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, SecretStr, field_validator

from tabletd.config_values import Port, Positive, Reloadable, Why
from tabletd.option_file import client_settings, read_client_options

DEFAULTS_FILE: Final = "mysql_defaults_file"
_ADDRESS: Final = ("mysql_host", "mysql_port", "mysql_socket")


class MySQLConfig(BaseModel):
    """These settings, as a part of `Config`."""

    mysql_host: Annotated[str, Why("the daemon runs beside its server")] = Field(
        "127.0.0.1", description="Address of the MySQL or MariaDB server."
    )
    mysql_port: Annotated[Port, Why("MySQL's own")] = Field(
        3306, description="TCP port of the server."
    )
    mysql_socket: Annotated[Path | None, Why("some servers listen on nothing else")] = Field(
        None, description="Unix socket of the server; used instead of host and port."
    )
    mysql_defaults_file: Annotated[
        Path | None,
        Why("an account that MySQL's programs use already need not be written down twice"),
    ] = Field(
        None,
        description="Option file (my.cnf): its section [client] says what the other settings about "
        "the server do not: user, password, host, port, socket, ssl-*.",
    )
    mysql_user: Annotated[
        str, Reloadable(), Why("an account of its own has only the grants that the daemon needs")
    ] = Field("tabletd", description="Account of the daemon (the dba account).")
    mysql_password: Annotated[
        SecretStr | None,
        Reloadable(),
        Why("for service managers that hand secrets over by the environment"),
    ] = Field(None, description="Password of mysql_user.")
    mysql_password_file: Annotated[
        Path | None,
        Reloadable(),
        Why("a file can be replaced without a restart, and shows in no process list"),
    ] = Field(
        None, description="File with the password of mysql_user, which only the daemon may read."
    )
    mysql_app_user: Annotated[
        str | None,
        Reloadable(),
        Why("callers of these may be meant to have fewer rights than the daemon"),
    ] = Field(
        None, description="Account for ExecuteFetchAsApp and Query.Execute; default: mysql_user."
    )
    mysql_app_password: Annotated[
        SecretStr | None,
        Reloadable(),
        Why("for service managers that hand secrets over by the environment"),
    ] = Field(None, description="Password of mysql_app_user.")
    mysql_app_password_file: Annotated[
        Path | None,
        Reloadable(),
        Why("a file can be replaced without a restart, and shows in no process list"),
    ] = Field(
        None,
        description="File with the password of mysql_app_user, which only the daemon may read.",
    )
    mysql_ssl_mode: Annotated[
        Literal["", "disabled", "preferred", "required", "verify_ca", "verify_identity"],
        Reloadable(),
        Why("nobody listens inside this machine; between machines who can have TLS has it"),
    ] = Field(
        "",
        description="TLS of connections over TCP, the tools' included, in MySQL's words; default: "
        "verify_identity with mysql_ssl_ca, required with mysql_ssl_cert, else preferred to other "
        "machines and disabled to this one.",
    )
    mysql_ssl_ca: Annotated[
        Path | None,
        Reloadable(),
        Why("without it nobody can tell the server from one that stands in for it"),
    ] = Field(
        None, description="PEM file: authorities that may have signed the server's certificate."
    )
    mysql_ssl_cert: Annotated[
        Path | None, Reloadable(), Why("accounts may be made with REQUIRE X509")
    ] = Field(
        None, description="PEM file: the certificate that we and the tools show to the server."
    )
    mysql_ssl_key: Annotated[
        Path | None, Reloadable(), Why("a certificate proves nothing without its key")
    ] = Field(
        None, description="PEM file: the key of mysql_ssl_cert, which only the daemon may read."
    )
    mysql_database: Annotated[str, Why("the schema need not be called as the keyspace")] = Field(
        "", description="Database (schema) of the keyspace; default: the keyspace's name."
    )
    mysql_connect_timeout: Annotated[
        Positive, Why("a server that does not answer for so long is as good as away")
    ] = Field(5.0, description="Time for a connection and its handshake.")

    @field_validator("mysql_socket", "mysql_ssl_ca", "mysql_ssl_cert", "mysql_ssl_key")
    @classmethod
    def _for_tools_too(cls, path: Path | None) -> Path | None:
        """Name a file as tools find it, which work in directories of their own."""
        return path.absolute() if path is not None else None


def settings_of_defaults_file(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the option file says and other sources do not; never the password.

    Args:
        given: the settings of all other sources.

    Raises:
        TabletdError: INVALID_CONFIG when the file cannot be used.
    """
    named = given.get(DEFAULTS_FILE)
    if not named or not isinstance(named, str | Path):
        return {}  # a value of another kind is refused with all others
    path = Path(named)
    found = client_settings(read_client_options(path, DEFAULTS_FILE), path, DEFAULTS_FILE)
    is_placed = any(given.get(key) for key in _ADDRESS)
    return {
        key: value
        for key, value in found.items()
        if key not in given and not (is_placed and key in _ADDRESS)
    }


def password_of_defaults_file(path: Path) -> str:
    """Return the password in an option file; empty when it has none.

    Raises:
        TabletdError: INVALID_CONFIG when the file cannot be used.
    """
    return read_client_options(path, DEFAULTS_FILE).get("password", "")
