"""The command `tabletd grants`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Final

import typer

from tabletd.config import Config, LoadedConfig
from tabletd.errors import MySQLUnavailable, Reason, TabletdError
from tabletd.grants import default_account, needed, parse_account, parse_server, script
from tabletd.mysql.flavor import ServerInfo
from tabletd.mysql.greeting import greeted_server
from tabletd.mysql.privileges import Feature
from tabletd.mysql.settings import MySQLSettings

_FEATURES: Final = ", ".join(Feature)


def _option(name: str, kind: object, flag: str, value: str, help_text: str) -> inspect.Parameter:
    option = typer.Option(flag, help=help_text, show_default=False, metavar=value)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option]
    )


OPTIONS: Final = (
    _option(
        "account",
        str | None,
        "--account",
        "<account>",
        "Whose grants, as the server sees it: 'name'@'host'. [mysql_user, and where it comes from]",
    ),
    _option(
        "server",
        str | None,
        "--server",
        "<server>",
        "What the server is, if it cannot be asked: mariadb-10.11, mysql-5.7, mysql-8.0.36.",
    ),
    _option(
        "also",
        list[str] | None,
        "--with",
        "<feature>",
        f"What is not usual, again for each: {_FEATURES}.",
    ),
    _option(
        "without",
        list[str] | None,
        "--without",
        "<feature>",
        "What to leave out, by the same names.",
    ),
)


def grants(
    loaded: LoadedConfig,
    reread: Callable[[], LoadedConfig],
    *,
    account: str | None,
    server: str | None,
    also: Sequence[str] | None,
    without: Sequence[str] | None,
) -> None:
    """Print the script for a configuration."""
    config = loaded.config
    found = needed(
        config,
        parse_server(server) if server else _ask(config),
        also=_features(also or ()),
        without=_features(without or ()),
    )
    name = parse_account(account) if account else default_account(config)
    typer.echo(script(found, name))


def _ask(config: Config) -> ServerInfo:
    settings = MySQLSettings(
        host=config.mysql_host,
        port=config.mysql_port,
        unix_socket=None if config.mysql_socket is None else str(config.mysql_socket),
        user=config.mysql_user,
        connect_timeout_seconds=config.mysql_connect_timeout,
    )
    try:
        return greeted_server(settings)
    except MySQLUnavailable as error:
        raise TabletdError(
            error.reason,
            f"what the server is cannot be asked: {error.message}",
            hint="say what it is, for example --server mariadb-10.11",
        ) from None


def _features(names: Sequence[str]) -> list[Feature]:
    found: list[Feature] = []
    for name in names:
        if name not in set(Feature):
            raise TabletdError(
                Reason.INVALID_CONFIG, f"{name[:40]!r} is no feature", hint=f"one of {_FEATURES}"
            )
        found.append(Feature(name))
    return found
