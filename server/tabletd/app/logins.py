"""How the daemon and its tools log in to MySQL, by the configuration; read again while running."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from tabletd.access.addresses import is_loopback
from tabletd.app.address import Address
from tabletd.config import SECRETS, Config
from tabletd.mysql.pool import Pool
from tabletd.mysql.settings import MySQLSettings
from tabletd.mysql.tls import Tls, TlsMode, load_tls
from tabletd.telemetry.logging import hide_secrets

logger = logging.getLogger(__name__)

_DISABLED: Final = "disabled"


@dataclass(frozen=True)
class _Loaded:
    dba: MySQLSettings
    app: MySQLSettings
    tools_password: str = field(repr=False)
    tls: Tls | None


class Logins:
    """Accounts, passwords and TLS, and the pools that log in by them.

    New connections use what was read last; those that are open stay as they are.

    Args:
        config: the settings.

    Raises:
        TabletdError: INVALID_CONFIG, a file cannot be read, may be read by others, or does not fit
            the others.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._loaded = _load(config)
        self._pools: list[tuple[Pool, Callable[[], MySQLSettings]]] = []

    @property
    def dba(self) -> MySQLSettings:
        """How the daemon itself logs in."""
        return self._loaded.dba

    @property
    def app(self) -> MySQLSettings:
        """How it logs in for applications' statements."""
        return self._loaded.app

    @property
    def tools_password(self) -> str:
        """The password of `migration_user`."""
        return self._loaded.tools_password

    def at(self, address: str) -> MySQLSettings:
        """Return how the daemon's account logs in to another server.

        Args:
            address: host and port of it.
        """
        at = Address.parse(address)
        tls = _tls(self._config, at.host, self._loaded.tls)
        return replace(self.dba, host=at.host, port=at.port, unix_socket=None, tls=tls)

    def feed(self, pool: Pool, login: Callable[[], MySQLSettings]) -> Pool:
        """Have a pool log in as it is said by the files of the day; returns the pool."""
        self._pools.append((pool, login))
        return pool

    @property
    def paths(self) -> Sequence[Path]:
        """All files."""
        config = self._config
        named = (
            *(getattr(config, f"{name}_file") for name in SECRETS),
            *(config.mysql_defaults_file, config.mysql_ssl_ca),
            *(config.mysql_ssl_cert, config.mysql_ssl_key),
        )
        return [path for path in named if path is not None]

    def reconfigure(self, config: Config) -> None:
        """Go by other settings from the next `reload` on."""
        self._config = config

    def reload(self) -> None:
        """Read the files again.

        Raises:
            TabletdError: INVALID_CONFIG; nothing is changed.
        """
        self._loaded = loaded = _load(self._config)
        for pool, login in self._pools:
            pool.settings = login()
        hide_secrets((loaded.dba.password, loaded.app.password, loaded.tools_password))

    def warn_of_plain_text(self) -> None:
        """Say at the start where passwords and data cross a network as they are."""
        dba = self.dba
        if dba.tls is None and not dba.unix_socket and not is_loopback(dba.host):
            logger.warning(
                "connections to MySQL at %s have no TLS: who listens on the way reads the data",
                dba.address,
            )


def _load(config: Config) -> _Loaded:
    tls = _configured_tls(config)

    def settings(user: str, password: str) -> MySQLSettings:
        return MySQLSettings(
            host=config.mysql_host,
            port=config.mysql_port,
            unix_socket=None if config.mysql_socket is None else str(config.mysql_socket),
            user=user,
            password=password,
            connect_timeout_seconds=config.mysql_connect_timeout,
            tls=_tls(config, config.mysql_host, tls),
        )

    dba = app = settings(config.mysql_user, config.secret("mysql_password"))
    if config.mysql_app_user is not None:
        app = settings(config.mysql_app_user, config.secret("mysql_app_password"))
    return _Loaded(dba, app, config.secret("migration_password"), tls)


def _tls(config: Config, host: str, tls: Tls | None) -> Tls | None:
    """Return the TLS for one host: where none is asked for, inside this machine there is none."""
    is_asked_for = config.mysql_ssl_mode or config.mysql_ssl_ca or config.mysql_ssl_cert
    return None if not is_asked_for and is_loopback(host) else tls


def _configured_tls(config: Config) -> Tls | None:
    if config.mysql_ssl_mode == _DISABLED:
        return None
    if config.mysql_ssl_mode:
        mode = TlsMode(config.mysql_ssl_mode)
    elif config.mysql_ssl_ca:
        mode = TlsMode.VERIFY_IDENTITY
    else:
        mode = TlsMode.REQUIRED if config.mysql_ssl_cert else TlsMode.PREFERRED
    return load_tls(
        mode,
        ca=config.mysql_ssl_ca,
        cert=config.mysql_ssl_cert,
        key=config.mysql_ssl_key,
    )
