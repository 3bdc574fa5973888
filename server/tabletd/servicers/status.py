"""From a reason to the gRPC status that a caller acts on."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc import Status, StatusCode
from grpc_status import rpc_status

from tabletd.errors import Reason, TabletdError

ERROR_DOMAIN: Final = "tabletd"
# Both the text and the details travel as HTTP/2 headers, of which clients take 8 KiB by default,
# and the text is percent-encoded there (three bytes for one).
MESSAGE_BYTES_MAX: Final = 1400
_FACT_BYTES_MAX: Final = 200

STATUS_CODES: Final[Mapping[Reason, StatusCode]] = MappingProxyType(
    {
        Reason.INVALID_REQUEST: StatusCode.INVALID_ARGUMENT,
        Reason.DDL_SYNTAX: StatusCode.INVALID_ARGUMENT,
        Reason.UNSUPPORTED_DDL: StatusCode.INVALID_ARGUMENT,
        Reason.UNSUPPORTED_METHOD: StatusCode.UNIMPLEMENTED,
        Reason.INVALID_CONFIG: StatusCode.INVALID_ARGUMENT,
        Reason.MIGRATION_NOT_FOUND: StatusCode.NOT_FOUND,
        Reason.TABLE_NOT_FOUND: StatusCode.NOT_FOUND,
        Reason.LOG_NOT_FOUND: StatusCode.NOT_FOUND,
        Reason.TOPOLOGY_NOT_FOUND: StatusCode.NOT_FOUND,
        Reason.TABLE_EXISTS: StatusCode.ALREADY_EXISTS,
        Reason.ILLEGAL_TRANSITION: StatusCode.FAILED_PRECONDITION,
        Reason.MIGRATION_RUNNING: StatusCode.FAILED_PRECONDITION,
        Reason.MIGRATION_REJECTED: StatusCode.FAILED_PRECONDITION,
        Reason.NOT_PRIMARY: StatusCode.FAILED_PRECONDITION,
        Reason.LEASE_HELD: StatusCode.FAILED_PRECONDITION,
        Reason.NOT_SERVING: StatusCode.FAILED_PRECONDITION,
        Reason.WRONG_TARGET: StatusCode.FAILED_PRECONDITION,
        Reason.READ_ONLY: StatusCode.FAILED_PRECONDITION,
        Reason.MISSING_GRANT: StatusCode.FAILED_PRECONDITION,
        Reason.PREFLIGHT_REFUSED: StatusCode.FAILED_PRECONDITION,
        Reason.UNSUPPORTED_SERVER: StatusCode.FAILED_PRECONDITION,
        Reason.TOOL_MISSING: StatusCode.FAILED_PRECONDITION,
        Reason.TOOL_UNSUITABLE: StatusCode.FAILED_PRECONDITION,
        Reason.TOOL_FAILED: StatusCode.FAILED_PRECONDITION,
        Reason.LOST_RACE: StatusCode.ABORTED,
        Reason.DEADLOCK: StatusCode.ABORTED,
        Reason.LOCK_WAIT: StatusCode.ABORTED,
        Reason.TOO_MANY_CONNECTIONS: StatusCode.RESOURCE_EXHAUSTED,
        Reason.TOO_MANY_CALLS: StatusCode.RESOURCE_EXHAUSTED,
        Reason.QUEUE_FULL: StatusCode.RESOURCE_EXHAUSTED,
        Reason.SLOW_READER: StatusCode.RESOURCE_EXHAUSTED,
        Reason.RESULT_TOO_LARGE: StatusCode.RESOURCE_EXHAUSTED,
        Reason.NO_PRIMARY: StatusCode.UNAVAILABLE,
        Reason.MYSQL_UNAVAILABLE: StatusCode.UNAVAILABLE,
        # The daemon itself is refused: an operator mends it while callers wait.
        Reason.MYSQL_ACCESS_DENIED: StatusCode.UNAVAILABLE,
        Reason.MYSQL_TLS: StatusCode.UNAVAILABLE,
        Reason.MYSQL_ERROR: StatusCode.UNKNOWN,
        Reason.REPLICATION_NOT_RUNNING: StatusCode.FAILED_PRECONDITION,
        Reason.TABLETS_DIFFER: StatusCode.FAILED_PRECONDITION,
        Reason.SHUTTING_DOWN: StatusCode.UNAVAILABLE,
        Reason.TIMEOUT: StatusCode.DEADLINE_EXCEEDED,
        Reason.UNAUTHENTICATED: StatusCode.UNAUTHENTICATED,
        Reason.PERMISSION_DENIED: StatusCode.PERMISSION_DENIED,
        Reason.OUTCOME_UNKNOWN: StatusCode.UNKNOWN,
        Reason.DEPRECATED: StatusCode.INVALID_ARGUMENT,
        Reason.INTERNAL: StatusCode.INTERNAL,
    }
)


def error_status(error: TabletdError) -> Status:
    """Return the status with its `google.rpc.ErrorInfo`: reason, domain, the facts as metadata."""
    code = STATUS_CODES[error.reason]
    detail = any_pb2.Any()
    detail.Pack(
        error_details_pb2.ErrorInfo(
            reason=error.reason.value,
            domain=ERROR_DOMAIN,
            metadata={name: clipped(text, _FACT_BYTES_MAX) for name, text in error.facts.items()},
        )
    )
    return rpc_status.to_status(  # pyright: ignore[reportUnknownMemberType]
        status_pb2.Status(
            code=code_pb2.Code.Value(code.name),
            message=clipped(str(error), MESSAGE_BYTES_MAX),
            details=[detail],
        )
    )


def clipped(text: str, bytes_max: int) -> str:
    """Return the text as valid UTF-8 of at most about `bytes_max` bytes, marked where cut."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= bytes_max:
        return encoded.decode("utf-8")
    return encoded[:bytes_max].decode("utf-8", "ignore") + "..."
