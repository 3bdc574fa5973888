"""Failures, told apart by a reason."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import grpc
from google.protobuf.message import DecodeError

from tabletd_pb import errors_pb2

_DETAILS_KEY: Final = "grpc-status-details-bin"
_ERROR_INFO: Final = "type.googleapis.com/google.rpc.ErrorInfo"


class Reason(StrEnum):
    """Why something was refused or failed. A newer server may say others, which stay text."""

    INVALID_REQUEST = "INVALID_REQUEST"
    DDL_SYNTAX = "DDL_SYNTAX"
    UNSUPPORTED_DDL = "UNSUPPORTED_DDL"
    UNSUPPORTED_METHOD = "UNSUPPORTED_METHOD"
    INVALID_CONFIG = "INVALID_CONFIG"
    MIGRATION_NOT_FOUND = "MIGRATION_NOT_FOUND"
    LOG_NOT_FOUND = "LOG_NOT_FOUND"
    TABLE_NOT_FOUND = "TABLE_NOT_FOUND"
    TOPOLOGY_NOT_FOUND = "TOPOLOGY_NOT_FOUND"
    TABLE_EXISTS = "TABLE_EXISTS"
    ILLEGAL_TRANSITION = "ILLEGAL_TRANSITION"
    MIGRATION_RUNNING = "MIGRATION_RUNNING"
    MIGRATION_REJECTED = "MIGRATION_REJECTED"
    NOT_PRIMARY = "NOT_PRIMARY"
    NO_PRIMARY = "NO_PRIMARY"
    NOT_SERVING = "NOT_SERVING"
    WRONG_TARGET = "WRONG_TARGET"
    READ_ONLY = "READ_ONLY"
    MISSING_GRANT = "MISSING_GRANT"
    PREFLIGHT_REFUSED = "PREFLIGHT_REFUSED"
    UNSUPPORTED_SERVER = "UNSUPPORTED_SERVER"
    TOOL_MISSING = "TOOL_MISSING"
    TOOL_UNSUITABLE = "TOOL_UNSUITABLE"
    TOOL_FAILED = "TOOL_FAILED"
    LEASE_HELD = "LEASE_HELD"
    LOST_RACE = "LOST_RACE"
    DEADLOCK = "DEADLOCK"
    LOCK_WAIT = "LOCK_WAIT"
    TOO_MANY_CONNECTIONS = "TOO_MANY_CONNECTIONS"
    TOO_MANY_CALLS = "TOO_MANY_CALLS"
    QUEUE_FULL = "QUEUE_FULL"
    SLOW_READER = "SLOW_READER"
    RESULT_TOO_LARGE = "RESULT_TOO_LARGE"
    MYSQL_UNAVAILABLE = "MYSQL_UNAVAILABLE"
    MYSQL_ACCESS_DENIED = "MYSQL_ACCESS_DENIED"
    MYSQL_TLS = "MYSQL_TLS"
    MYSQL_ERROR = "MYSQL_ERROR"
    REPLICATION_NOT_RUNNING = "REPLICATION_NOT_RUNNING"
    TABLETS_DIFFER = "TABLETS_DIFFER"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    TIMEOUT = "TIMEOUT"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    DEPRECATED = "DEPRECATED"
    INTERNAL = "INTERNAL"
    # What only a client finds out.
    NOT_REACHABLE = "NOT_REACHABLE"
    INCOMPATIBLE_SERVER = "INCOMPATIBLE_SERVER"


# Of servers that give no reason, and of gRPC itself.
_BY_CODE: Final[Mapping[str, Reason]] = {
    "INVALID_ARGUMENT": Reason.INVALID_REQUEST,
    "OUT_OF_RANGE": Reason.INVALID_REQUEST,
    "FAILED_PRECONDITION": Reason.MIGRATION_REJECTED,
    "ALREADY_EXISTS": Reason.TABLE_EXISTS,
    "ABORTED": Reason.LOST_RACE,
    "RESOURCE_EXHAUSTED": Reason.TOO_MANY_CALLS,
    "UNAVAILABLE": Reason.NOT_REACHABLE,
    "DEADLINE_EXCEEDED": Reason.TIMEOUT,
    # A tabletd that does not offer a method says so with a reason.
    "UNIMPLEMENTED": Reason.INCOMPATIBLE_SERVER,
    "UNAUTHENTICATED": Reason.UNAUTHENTICATED,
    "PERMISSION_DENIED": Reason.PERMISSION_DENIED,
}
_NOT_REACHABLE: Final = frozenset(
    {
        Reason.NOT_REACHABLE,
        Reason.TIMEOUT,
        Reason.NO_PRIMARY,
        Reason.MYSQL_UNAVAILABLE,
        Reason.SHUTTING_DOWN,
    }
)
# Of these the same call may go well a moment later, here or at another tablet.
_PASSING: Final = _NOT_REACHABLE | {
    Reason.NOT_PRIMARY,
    Reason.NOT_SERVING,
    Reason.READ_ONLY,
    Reason.MYSQL_ACCESS_DENIED,
    Reason.MYSQL_TLS,
    Reason.TOO_MANY_CALLS,
    Reason.TOO_MANY_CONNECTIONS,
    Reason.SLOW_READER,
}


class TabletdClientError(Exception):
    """A call failed, or could not be made.

    Attributes:
        reason: a `Reason`, or the text that a newer server gave.
        message: for people: what was found, what is needed, what to do.
        code: the name of the gRPC status code; empty: no call was made.
        facts: for programs: a table, an errno, a limit.
    """

    def __init__(
        self, reason: str, message: str, *, code: str = "", facts: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.reason: str = reason
        self.message = message
        self.code = code
        self.facts: Mapping[str, str] = dict(facts or {})

    @property
    def not_reachable(self) -> bool:
        """Whether the server, or what it needs for an answer, could not be reached."""
        return self.reason in _NOT_REACHABLE

    @property
    def passing(self) -> bool:
        """Whether the same call may go well a moment later, here or at another tablet."""
        return self.reason in _PASSING


def from_rpc_error(error: grpc.aio.AioRpcError, address: str) -> TabletdClientError:
    """Return the failure of a call, with the server's own reason where it gave one.

    Args:
        error: what gRPC raised.
        address: whom the call was made to.
    """
    code = error.code().name
    text = error.details() or code
    info = _error_info(error)
    if info is not None:
        return TabletdClientError(info.reason, text, code=code, facts=info.metadata)
    reason = _BY_CODE.get(code, Reason.INTERNAL)
    if reason is Reason.NOT_REACHABLE:
        text = f"{address} does not answer: {text}"
        if "closed" in text:
            text += (
                " (a port that wants TLS, or a certificate of the client, closes without a word)"
            )
    elif reason is Reason.TIMEOUT:
        text = f"{address} did not answer in time"
    elif reason is Reason.INCOMPATIBLE_SERVER:
        text = f"what answers at {address} is no tabletd, or an older one: {text}"
    return TabletdClientError(reason, text, code=code)


def _error_info(error: grpc.aio.AioRpcError) -> errors_pb2.ErrorInfo | None:
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            return _decoded(value)
    return None


def _decoded(trailer: bytes) -> errors_pb2.ErrorInfo | None:
    try:
        for detail in errors_pb2.ErrorStatus.FromString(trailer).details:
            if detail.type_url == _ERROR_INFO:
                return errors_pb2.ErrorInfo.FromString(detail.value)
    except DecodeError:  # somebody else's details
        pass
    return None
