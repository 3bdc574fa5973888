"""What the daemon's account needs for a configuration: as a script, and as what it lacks."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tabletd.config import Config
from tabletd.errors import Reason, TabletdError
from tabletd.executor.preflight import server as server_checks
from tabletd.mysql.flavor import Flavor, ServerInfo
from tabletd.mysql.held_grants import held_grants
from tabletd.mysql.privileges import (
    Feature,
    Grant,
    grants_for,
    grants_of_tool,
    is_usual,
    needs_super,
)
from tabletd.mysql.quote import account as quoted_account
from tabletd.mysql.session import Session
from tabletd.mysql.variables import as_text

_TOOLS: Final = (Feature.GH_OST, Feature.PT_OSC)
_OF_TOOLS: Final = (*_TOOLS, Feature.TOOLS, Feature.ACCOUNTS)
_SERVER: Final = re.compile(r"(mariadb|mysql)-(\d+)\.(\d+)(?:\.(\d+))?")
_LATEST: Final = 999
_FIRST_WITH_RANDOM_PASSWORD: Final = (8, 0, 18)
_FIRST_WITH_PARTIAL_REVOKES: Final = (8, 0, 16)
_FIRST_WITH_TRANSACTION_ISOLATION: Final = (5, 7, 20)


@dataclass(frozen=True, slots=True)
class Needed:
    """What a configuration needs on a server.

    Attributes:
        server: flavour and version.
        schemas: of the keyspace.
        features: what is on.
        off: why another feature is not, by feature.
        tools_user: the account that all tools work under; empty: each migration has its own.
    """

    server: ServerInfo
    schemas: tuple[str, ...]
    features: frozenset[Feature]
    off: Mapping[Feature, str]
    tools_user: str = ""

    @property
    def grants(self) -> list[Grant]:
        """What the daemon's own account needs."""
        return grants_for(self.features, self.server, self.schemas)

    @property
    def tools_grants(self) -> list[Grant]:
        """What the tools' configured account needs; none where each migration has its own."""
        if not self.tools_user:
            return []
        return [
            grant
            for tool in _TOOLS
            if tool in self.features
            for grant in grants_of_tool(tool, self.server, self.schemas)
        ]


@dataclass(frozen=True, slots=True)
class MissingGrant:
    """Something that the daemon's account should have and has not.

    Attributes:
        feature: what it is for.
        purpose: the same in words.
        lacking: privileges as the server calls them.
        grant: the statement that mends it, without its end.
    """

    feature: Feature
    purpose: str
    lacking: tuple[str, ...]
    grant: str


def needed(
    config: Config,
    server: ServerInfo,
    *,
    also: Collection[Feature] = (),
    without: Collection[Feature] = (),
) -> Needed:
    """Return what a configuration needs on a server.

    Args:
        config: the settings.
        server: flavour and version.
        also: features on top of the usual ones.
        without: features to leave out.
    """
    off = dict.fromkeys(without, "not wanted")
    for feature in Feature:
        if (
            feature not in also
            and feature not in off
            and (why := _why_off(feature, config, server))
        ):
            off[feature] = why
    if all(tool in off for tool in _TOOLS):
        off.update({each: "no tool is used" for each in _OF_TOOLS if each not in off})
    return Needed(
        server=server,
        schemas=tuple(dict.fromkeys((config.database, *config.allowed_schemas))),
        features=frozenset(Feature) - off.keys(),
        off=off,
        tools_user=config.migration_user or "",
    )


async def missing_grants(
    config: Config, session: Session, server: ServerInfo
) -> list[MissingGrant]:
    """Return what the session's account lacks of the usual features of a configuration.

    What it has by a role only counts as lacking.

    Args:
        config: the settings.
        session: of the daemon's own account.
        server: flavour and version.
    """
    held = await held_grants(session, server)
    matched = as_text((await session.execute("SELECT CURRENT_USER()")).scalar())
    user, _, host = matched.rpartition("@")
    account = quoted_account(user, host)
    return [
        MissingGrant(grant.feature, grant.purpose, lacking, grant.sql(account))
        for grant in needed(config, server).grants
        if (lacking := held.lacks(grant))
    ]


def parse_server(text: str) -> ServerInfo:
    """Read what `--server` says: `mariadb-10.11`, `mysql-8.0`, `mysql-5.7.22`.

    Raises:
        TabletdError: INVALID_CONFIG.
    """
    match = _SERVER.fullmatch(text.lower())
    if match is None:
        raise TabletdError(
            Reason.INVALID_CONFIG,
            f"{text[:40]!r} is no server: expected mariadb or mysql, a hyphen, and a version",
            hint="for example mariadb-10.11, mysql-5.7, mysql-8.0.36",
        )
    version = (int(match[2]), int(match[3]), int(match[4]) if match[4] else _LATEST)
    return ServerInfo(Flavor(match[1]), version, text, "")


def parse_account(text: str) -> str:
    """Read `name@host`, with or without quotes, and return it as GRANT takes it.

    Raises:
        TabletdError: INVALID_CONFIG, INVALID_REQUEST.
    """
    user, at, host = text.rpartition("@")
    if not at:
        raise TabletdError(
            Reason.INVALID_CONFIG,
            f"{text[:80]!r} is no account: expected 'name'@'host'",
            hint="the host is where the daemon comes from as the server sees it: 127.0.0.1 beside "
            "it over TCP, localhost over its socket",
        )
    return quoted_account(_bare(user), _bare(host))


def default_account(config: Config) -> str:
    """Return the daemon's account as it will be when it comes from this machine."""
    if config.mysql_socket is not None or config.mysql_host == "localhost":
        return quoted_account(config.mysql_user, "localhost")
    is_here = config.mysql_host in ("127.0.0.1", "::1")
    return quoted_account(config.mysql_user, config.mysql_host if is_here else "%")


def script(found: Needed, account: str) -> str:
    """Return the SQL that makes the account and gives it what it needs; never with a password.

    Args:
        found: what is needed.
        account: whose, quoted.
    """
    names = ", ".join(f"`{schema}`" for schema in found.schemas)
    lines = [
        f"-- What the account of tabletd needs on {_server_name(found.server)}, for {names}.",
        "-- To be run on the primary; replicas get it by replication.",
        f"-- Features: {', '.join(sorted(found.features))}.",
        *(f"-- Without {feature}: {why}." for feature, why in sorted(found.off.items())),
        "",
        *_create_user(found.server, account, "mysql_password_file"),
        *_statements(found.grants, account),
    ]
    if found.tools_user:
        tools = quoted_account(found.tools_user, account.rpartition("@")[2].strip("'"))
        lines += [
            "",
            "-- The account that the tools work under (migration_user).",
            *_create_user(found.server, tools, "migration_password_file"),
            *_statements(found.tools_grants, tools),
        ]
    if Feature.PT_OSC in found.features:
        lines += [
            "",
            "-- pt-online-schema-change makes triggers: with the binary log on, the server lets",
            "-- only SUPER do that, unless log_bin_trust_function_creators = 1 is set.",
        ]
    if _has_escapes(found):
        lines += ["-- Under partial_revokes write the schemas' names without backslashes."]
    return "\n".join(lines)


def _has_escapes(found: Needed) -> bool:
    may_have = not found.server.is_mariadb and found.server.version >= _FIRST_WITH_PARTIAL_REVOKES
    return may_have and any("\\" in grant.on for grant in found.grants)


def _why_off(feature: Feature, config: Config, server: ServerInfo) -> str:
    if feature in _OF_TOOLS and not config.enable_online_ddl:
        return "enable_online_ddl is off"
    if feature is Feature.ACCOUNTS and config.migration_user:
        return "migration_user is set"
    if feature in _TOOLS:
        return _why_not_on(feature, config, server)
    if is_usual(feature, server):
        return ""
    if needs_super(feature, server):
        return f"it needs SUPER here, which has to be asked for (--with {feature})"
    return f"it has to be asked for (--with {feature})"


def _why_not_on(tool: Feature, config: Config, server: ServerInfo) -> str:
    """Return why a tool does not work on a server; empty: it does."""
    has_variable = server.version >= _FIRST_WITH_TRANSACTION_ISOLATION
    about = server_checks.KnownServer(
        server, {"transaction_isolation": ""} if has_variable else {}, config.allow_unsafe_cutover
    )
    is_gh_ost = tool is Feature.GH_OST
    check = server_checks.gh_ost_server if is_gh_ost else server_checks.pt_osc_server
    try:
        check(about)
    except TabletdError as error:
        return error.message.partition(":")[0]
    return ""


def _create_user(server: ServerInfo, account: str, setting: str) -> list[str]:
    has_random = not server.is_mariadb and server.version >= _FIRST_WITH_RANDOM_PASSWORD
    how = "RANDOM PASSWORD" if has_random else "'...'"
    note = "the server shows it once" if has_random else "choose one"
    return [
        f"-- The password goes into {setting}, and nowhere else: {note}.",
        f"-- CREATE USER {account} IDENTIFIED BY {how};",
    ]


def _statements(grants: Sequence[Grant], account: str) -> list[str]:
    lines: list[str] = []
    for grant in grants:
        lines += [f"-- {grant.feature}: {grant.purpose}", f"{grant.sql(account)};"]
    return lines


def _server_name(server: ServerInfo) -> str:
    version = [str(part) for part in server.version if part != _LATEST]
    return f"{'MariaDB' if server.is_mariadb else 'MySQL'} {'.'.join(version)}"


def _bare(name: str) -> str:
    return name[1:-1] if len(name) > 1 and name[0] == name[-1] and name[0] in "'`\"" else name
