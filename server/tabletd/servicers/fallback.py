"""The answer to methods of Vitess's services that we do not offer: UNIMPLEMENTED, and a way out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import grpc

from tabletd.errors import Reason, TabletdError

SERVICES: Final = (
    "tabletd.v1.Lag",
    "tabletd.v1.Migrations",
    "tabletd.v1.Throttling",
    "tabletmanagerservice.TabletManager",
    "queryservice.Query",
    "vtctlservice.Vtctld",
    "vtctlservice.Vtctl",
)
_DBA: Final = "TabletManager.ExecuteFetchAsDba"
_REPLICATION: Final = "your own failover tool: tabletd follows read_only and the replication state"
_TRANSACTIONS: Final = "a connection to the MySQL server itself: there are no transactions here"
_BACKUP: Final = "the backup program of your server"
_ROWS: Final = "Query.Execute with a LIMIT"
_ROUTING: Final = "nothing: there is no routing here, clients connect to MySQL themselves"

SUGGESTIONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("TabletManager/ApplySchema", "TabletManager/PreflightSchema"), "Vtctld.ApplySchema"
    ),
    **dict.fromkeys(
        (
            "TabletManager/ExecuteFetchAsAllPrivs",
            "TabletManager/GetGlobalStatusVars",
            "TabletManager/LockTables",
            "TabletManager/UnlockTables",
        ),
        _DBA,
    ),
    **dict.fromkeys(
        (
            "TabletManager/StopReplication",
            "TabletManager/StopReplicationMinimum",
            "TabletManager/StartReplication",
            "TabletManager/RestartReplication",
            "TabletManager/StartReplicationUntilAfter",
            "TabletManager/StopReplicationAndGetStatus",
            "TabletManager/ResetReplication",
            "TabletManager/ResetReplicationParameters",
            "TabletManager/SetReplicationSource",
            "TabletManager/SetMaster",
            "TabletManager/InitMaster",
            "TabletManager/InitPrimary",
            "TabletManager/InitReplica",
            "TabletManager/DemoteMaster",
            "TabletManager/DemotePrimary",
            "TabletManager/UndoDemoteMaster",
            "TabletManager/UndoDemotePrimary",
            "TabletManager/PromoteReplica",
            "TabletManager/ReplicaWasPromoted",
            "TabletManager/ReplicaWasRestarted",
            "Vtctld/PlannedReparentShard",
            "Vtctld/EmergencyReparentShard",
        ),
        _REPLICATION,
    ),
    "TabletManager/MasterStatus": "TabletManager.PrimaryStatus",
    "TabletManager/SlaveStatus": "TabletManager.ReplicationStatus",
    "TabletManager/GetReplicas": "TabletManager.FullStatus",
    "Vtctld/ChangeTabletType": "TabletManager.ChangeType",
    "Vtctld/SleepTablet": "TabletManager.Sleep",
    **dict.fromkeys(
        ("TabletManager/Backup", "TabletManager/RestoreFromBackup", "Vtctld/Backup"), _BACKUP
    ),
    **dict.fromkeys(
        (
            "Query/Begin",
            "Query/Commit",
            "Query/Rollback",
            "Query/BeginExecute",
            "Query/BeginStreamExecute",
            "Query/BeginExecuteBatch",
            "Query/ReserveExecute",
            "Query/ReserveBeginExecute",
            "Query/ReserveStreamExecute",
            "Query/ReserveBeginStreamExecute",
            "Query/Release",
            "Query/Prepare",
        ),
        _TRANSACTIONS,
    ),
    "Query/StreamExecute": _ROWS,
    "Query/ExecuteBatch": "Query.Execute, once for each statement",
    "Query/GetSchema": "TabletManager.GetSchema",
    "Vtctld/ApplyVSchema": _ROUTING,
    "Vtctld/GetVSchema": _ROUTING,
}
_DEFAULT_SUGGESTION: Final = "server reflection, which lists the methods offered here"


def is_ours(method: str) -> bool:
    """Tell whether a full method name belongs to one of the services that we answer for."""
    return method.startswith(_PREFIXES)


_PREFIXES: Final = tuple(f"/{service}/" for service in SERVICES)


def unsupported(method: str) -> TabletdError:
    """Return the refusal of a method, naming it and what to use in its place."""
    service, _, name = method.removeprefix("/").partition("/")
    short = f"{service.rpartition('.')[2]}/{name}"
    suggestion = SUGGESTIONS.get(short, _DEFAULT_SUGGESTION)
    return TabletdError(
        Reason.UNSUPPORTED_METHOD,
        f"{short[:200]} is not offered by tabletd",
        hint=f"use {suggestion}",
        method=short,
    )


class UnofferedMethods(grpc.GenericRpcHandler):
    """Catches every method of the services above that no servicer declares."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method
        if not is_ours(method):
            return None

        async def refuse(request: Any, context: Any) -> AsyncIterator[bytes]:
            raise unsupported(method)
            yield b""

        # A stream handler serves callers of all four kinds: nothing is read, only a status sent.
        handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(refuse)
        return handler
