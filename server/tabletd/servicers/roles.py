"""Which role each method needs.

A method that is not in the table is answered to nobody: a new one must say who may call it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from tabletd.access.roles import Role
from tabletd.errors import Reason, TabletdError
from tabletd.executor.directives import read_directives
from tabletd.executor.statements import (
    ShowLogs,
    ShowMigrations,
    ShowThrottledApps,
    ShowThrottlerStatus,
    parse_statement,
)
from tabletd.executor.vexec import Select, parse
from tabletd.vtctld.commands import applied_by, is_reading
from tabletd.vtctld.schema_changes import runs_any_statement

# Longer ones are not read twice for a caller who may only read.
_READ_BYTES_MAX: Final = 64 * 1024
_KEPT_CHARACTERS_MAX: Final = 2000
_KEPT_MAX: Final = 512
_SHOWS: Final = ShowMigrations | ShowLogs | ShowThrottledApps | ShowThrottlerStatus


@dataclass(frozen=True, slots=True)
class Rule:
    """What a method needs.

    Attributes:
        role: for any request.
        judge: says less for the harmless ones, or more for the dangerous; None: all are alike.
    """

    role: Role
    judge: Callable[[Any], Role] | None = None

    def role_for(self, request: Any) -> Role:
        """Return the role that a request needs."""
        return self.role if self.judge is None else self.judge(request)


def _vexec_role(request: Any) -> Role:
    query: str = request.query
    if len(query) > _READ_BYTES_MAX:
        return Role.OPERATOR
    return _short_vexec_role(query) if len(query) <= _KEPT_CHARACTERS_MAX else _judge_vexec(query)


def _judge_vexec(query: str) -> Role:
    try:
        return Role.READER if isinstance(parse(query), Select) else Role.OPERATOR
    except TabletdError:
        return Role.OPERATOR


# Who polls sends the same text again and again.
_short_vexec_role = lru_cache(_KEPT_MAX)(_judge_vexec)


def _query_role(request: Any) -> Role:
    return _statement_role(request.query.sql)


def _execute_query_role(request: Any) -> Role:
    return _statement_role(request.query.decode("utf-8", "replace"))


def _statement_role(sql: str) -> Role:
    """Judge what ExecuteQuery takes: about migrations, or else for the server itself."""
    try:
        directives = read_directives(sql)
        statement = parse_statement(sql if directives is None else directives.sql)
    except TabletdError:  # refused by who carries it out, for the same reason
        return Role.OPERATOR
    if directives is not None:
        return Role.OPERATOR
    if statement is None:
        return Role.ADMIN
    return Role.READER if isinstance(statement, _SHOWS) else Role.OPERATOR


def _command_role(request: Any) -> Role:
    if is_reading(request.args):
        return Role.READER
    applied = applied_by(request.args)
    return Role.OPERATOR if applied is None else _apply_schema_role(applied)


def _apply_schema_role(request: Any) -> Role:
    """Judge what ApplySchema takes: what it runs at once may be any statement."""
    try:
        return Role.ADMIN if runs_any_statement(request) else Role.OPERATOR
    except TabletdError:  # refused by who carries it out, for the same reason
        return Role.OPERATOR


def _throttler_role(request: Any) -> Role:
    """Judge a change of the throttler: its query is asked of every server by the daemons."""
    return Role.ADMIN if request.custom_query.strip() else Role.OPERATOR


_TABLET: Final = "/tabletmanagerservice.TabletManager/"
_QUERY: Final = "/queryservice.Query/"
_VTCTLD: Final = "/vtctlservice.Vtctld/"
_VTCTL: Final = "/vtctlservice.Vtctl/"
_THROTTLING: Final = "/tabletd.v1.Throttling/"
_MIGRATIONS: Final = "/tabletd.v1.Migrations/"
_LAG: Final = "/tabletd.v1.Lag/"

_READER: Final = Rule(Role.READER)
_OPERATOR: Final = Rule(Role.OPERATOR)
_ADMIN: Final = Rule(Role.ADMIN)

RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        f"{_TABLET}Ping": _READER,
        f"{_TABLET}Sleep": _OPERATOR,
        f"{_TABLET}GetSchema": _READER,
        f"{_TABLET}ReloadSchema": _OPERATOR,
        f"{_TABLET}GetPermissions": _ADMIN,
        f"{_TABLET}SetReadOnly": _ADMIN,
        f"{_TABLET}SetReadWrite": _ADMIN,
        f"{_TABLET}ChangeType": _ADMIN,
        f"{_TABLET}RefreshState": _OPERATOR,
        f"{_TABLET}RunHealthCheck": _OPERATOR,
        f"{_TABLET}IgnoreHealthError": _ADMIN,
        f"{_TABLET}ExecuteQuery": Rule(Role.ADMIN, _execute_query_role),
        f"{_TABLET}ExecuteFetchAsDba": _ADMIN,
        f"{_TABLET}ExecuteMultiFetchAsDba": _ADMIN,
        f"{_TABLET}ExecuteFetchAsApp": _ADMIN,
        f"{_TABLET}VExec": Rule(Role.OPERATOR, _vexec_role),
        f"{_TABLET}ReplicationStatus": _READER,
        f"{_TABLET}PrimaryStatus": _READER,
        f"{_TABLET}PrimaryPosition": _READER,
        f"{_TABLET}MasterPosition": _READER,
        f"{_TABLET}FullStatus": _READER,
        f"{_TABLET}CheckThrottler": _READER,
        f"{_TABLET}GetThrottlerStatus": _READER,
        f"{_QUERY}Execute": Rule(Role.ADMIN, _query_role),
        f"{_QUERY}StreamHealth": _READER,
        f"{_VTCTLD}ApplySchema": Rule(Role.OPERATOR, _apply_schema_role),
        f"{_VTCTLD}GetSchemaMigrations": _READER,
        f"{_VTCTLD}CancelSchemaMigration": _OPERATOR,
        f"{_VTCTLD}CleanupSchemaMigration": _OPERATOR,
        f"{_VTCTLD}CompleteSchemaMigration": _OPERATOR,
        f"{_VTCTLD}ForceCutOverSchemaMigration": _OPERATOR,
        f"{_VTCTLD}LaunchSchemaMigration": _OPERATOR,
        f"{_VTCTLD}RetrySchemaMigration": _OPERATOR,
        f"{_VTCTLD}UpdateThrottlerConfig": Rule(Role.OPERATOR, _throttler_role),
        f"{_VTCTLD}CheckThrottler": _READER,
        f"{_VTCTLD}GetThrottlerStatus": _READER,
        f"{_VTCTLD}GetKeyspaces": _READER,
        f"{_VTCTLD}GetKeyspace": _READER,
        f"{_VTCTLD}GetShard": _READER,
        f"{_VTCTLD}FindAllShardsInKeyspace": _READER,
        f"{_VTCTLD}GetSrvKeyspaces": _READER,
        f"{_VTCTLD}GetTablets": _READER,
        f"{_VTCTLD}GetTablet": _READER,
        f"{_VTCTLD}GetCellInfoNames": _READER,
        f"{_VTCTLD}GetCellInfo": _READER,
        f"{_VTCTLD}GetCellsAliases": _READER,
        f"{_VTCTLD}GetSchema": _READER,
        f"{_VTCTLD}ReloadSchema": _OPERATOR,
        f"{_VTCTLD}ReloadSchemaKeyspace": _OPERATOR,
        f"{_VTCTLD}ReloadSchemaShard": _OPERATOR,
        f"{_VTCTLD}PingTablet": _READER,
        f"{_VTCTLD}RunHealthCheck": _OPERATOR,
        f"{_VTCTLD}RefreshState": _OPERATOR,
        f"{_VTCTLD}GetVersion": _READER,
        f"{_VTCTLD}GetFullStatus": _READER,
        f"{_VTCTLD}GetPermissions": _ADMIN,
        f"{_VTCTLD}SetWritable": _ADMIN,
        f"{_VTCTLD}ExecuteFetchAsDBA": _ADMIN,
        f"{_VTCTLD}ExecuteMultiFetchAsDBA": _ADMIN,
        f"{_VTCTLD}ExecuteFetchAsApp": _ADMIN,
        f"{_VTCTLD}ShardReplicationPositions": _READER,
        f"{_VTCTLD}Validate": _READER,
        f"{_VTCTLD}ValidateKeyspace": _READER,
        f"{_VTCTLD}ValidateShard": _READER,
        f"{_VTCTLD}ValidateSchemaKeyspace": _READER,
        f"{_VTCTLD}ValidateVersionKeyspace": _READER,
        f"{_VTCTLD}ValidateVersionShard": _READER,
        f"{_VTCTLD}ValidatePermissionsKeyspace": _ADMIN,
        f"{_VTCTLD}ValidateVSchema": _READER,
        f"{_VTCTL}ExecuteVtctlCommand": Rule(Role.OPERATOR, _command_role),
        f"{_THROTTLING}UpdateConfig": Rule(Role.OPERATOR, _throttler_role),
        f"{_THROTTLING}GetConfig": _READER,
        f"{_THROTTLING}TakeConfig": _ADMIN,
        f"{_MIGRATIONS}Watch": _READER,
        # The server tries the statement on an empty copy of the table.
        f"{_MIGRATIONS}Explain": _OPERATOR,
        f"{_MIGRATIONS}ListLeftovers": _READER,
        f"{_MIGRATIONS}FixLeftovers": _OPERATOR,
        f"{_LAG}GetLag": _READER,
        f"{_LAG}Exchange": _READER,
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _READER,
        "/grpc.channelz.v1.Channelz/GetTopChannels": _ADMIN,
        "/grpc.channelz.v1.Channelz/GetServers": _ADMIN,
        "/grpc.channelz.v1.Channelz/GetServer": _ADMIN,
        "/grpc.channelz.v1.Channelz/GetServerSockets": _ADMIN,
        "/grpc.channelz.v1.Channelz/GetChannel": _ADMIN,
        "/grpc.channelz.v1.Channelz/GetSubchannel": _ADMIN,
        "/grpc.channelz.v1.Channelz/GetSocket": _ADMIN,
    }
)
# What a probe asks: it says nothing but whether we serve.
FREE: Final = frozenset(
    {"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/List", "/grpc.health.v1.Health/Watch"}
)


def missing_role(method: str, needed: Role, name: str, role: Role) -> TabletdError:
    """Return the refusal of a call that its caller may not make.

    Args:
        method: full name.
        needed: the least role.
        name: of the caller.
        role: that he has.
    """
    short = method.rpartition("/")[2]
    return TabletdError(
        Reason.PERMISSION_DENIED,
        f"{short[:200]} needs the role {needed.label}, and {name[:200]} has the role {role.label}",
        hint="roles are given in the file of users, or by grpc_auth_mtls_roles",
        needed_role=needed.label,
        role=role.label,
    )
