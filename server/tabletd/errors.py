"""The one error type that leaves a component, and the reasons it can have.

A `TabletdError` is raised where the fact is known and translated once, at the edge: by the gRPC
services to a status with `google.rpc.ErrorInfo`, by the web application to an HTTP status, by
the scheduler to a migration's `message`. Its text is for an operator: what was found, what is
needed; the hint says what to do.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why something was refused or failed: stable names that scripts may match on."""

    INVALID_REQUEST = "INVALID_REQUEST"
    DDL_SYNTAX = "DDL_SYNTAX"
    UNSUPPORTED_DDL = "UNSUPPORTED_DDL"
    UNSUPPORTED_METHOD = "UNSUPPORTED_METHOD"
    INVALID_CONFIG = "INVALID_CONFIG"
    MIGRATION_NOT_FOUND = "MIGRATION_NOT_FOUND"
    TABLE_NOT_FOUND = "TABLE_NOT_FOUND"
    LOG_NOT_FOUND = "LOG_NOT_FOUND"
    TOPOLOGY_NOT_FOUND = "TOPOLOGY_NOT_FOUND"
    TABLE_EXISTS = "TABLE_EXISTS"
    ILLEGAL_TRANSITION = "ILLEGAL_TRANSITION"
    MIGRATION_RUNNING = "MIGRATION_RUNNING"
    MIGRATION_REJECTED = "MIGRATION_REJECTED"
    NOT_PRIMARY = "NOT_PRIMARY"
    NO_PRIMARY = "NO_PRIMARY"
    LEASE_HELD = "LEASE_HELD"
    NOT_SERVING = "NOT_SERVING"
    WRONG_TARGET = "WRONG_TARGET"
    READ_ONLY = "READ_ONLY"
    MISSING_GRANT = "MISSING_GRANT"
    PREFLIGHT_REFUSED = "PREFLIGHT_REFUSED"
    UNSUPPORTED_SERVER = "UNSUPPORTED_SERVER"
    TOOL_MISSING = "TOOL_MISSING"
    TOOL_UNSUITABLE = "TOOL_UNSUITABLE"
    TOOL_FAILED = "TOOL_FAILED"
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


class TabletdError(Exception):
    """An expected failure: a reason, a message for the operator and, if there is one, a way out.

    Args:
        reason: the stable name of the kind of failure.
        message: what was found and what was expected; never holds a secret.
        hint: what the operator can do about it.
        facts: further values worth reading by a program (a table, an errno, a limit); they become
            the metadata of `google.rpc.ErrorInfo`.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        hint: str | None = None,
        **facts: str | int | float | bool,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.hint = hint
        self.facts: dict[str, str] = {name: str(value) for name, value in facts.items()}

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class MySQLUnavailable(TabletdError):
    """The server cannot be reached or the connection was lost; worth trying again later."""

    def __init__(
        self, message: str, *, hint: str | None = None, **facts: str | int | float | bool
    ) -> None:
        super().__init__(Reason.MYSQL_UNAVAILABLE, message, hint=hint, **facts)


class NotWritable(TabletdError):
    """The server is a replica or under `read_only`: nothing may be written on it by this daemon."""

    def __init__(
        self, message: str = "the MySQL server is read_only: nothing is written on it"
    ) -> None:
        super().__init__(
            Reason.READ_ONLY,
            message,
            hint="send this to the primary, or set read_only=0 if this server is the primary",
        )


class LeaseNotHeld(TabletdError):
    """This daemon may not act for its server: another one does, or nobody at this moment.

    Whoever meets it lets go of what it does, and undoes nothing: that is for who has the lease.

    Args:
        message: what is known.
        holder: who has the lease; empty: nobody, or not known yet.
        is_in_doubt: see below.
        facts: see `TabletdError`.

    Attributes:
        is_in_doubt: it may still be ours, and is known to be, or not to be, before it is over.
    """

    def __init__(
        self,
        message: str,
        *,
        holder: str = "",
        is_in_doubt: bool = False,
        **facts: str | int | float | bool,
    ) -> None:
        if holder:
            facts["holder"] = holder
        super().__init__(
            Reason.LEASE_HELD if holder else Reason.NOT_SERVING,
            message,
            hint="send it there, or end that daemon: this one then takes over by itself"
            if holder
            else "it is tried again several times a second",
            **facts,
        )
        self.is_in_doubt = is_in_doubt


class LostRace(TabletdError):
    """A compare-and-set found the row changed by somebody else in the meantime."""

    def __init__(self, message: str, **facts: str | int | float | bool) -> None:
        super().__init__(
            Reason.LOST_RACE, message, hint="read the state again and decide anew", **facts
        )


class ExecutorNotWritableTablet(TabletdError):
    """A migration was to run on a server that does not take writes. Text: seed documentation."""

    def __init__(self) -> None:
        super().__init__(
            Reason.NOT_PRIMARY,
            "Cannot run gh-ost migration on non-writable tablet",
            hint="send it to the primary of the shard",
        )


class ExecutorMigrationAlreadyRunning(TabletdError):
    """An operation conflicts with a migration that is running. Text: seed documentation."""

    def __init__(self) -> None:
        super().__init__(
            Reason.MIGRATION_RUNNING,
            "Cannot run gh-ost migration since a migration is already running",
            hint="wait for its end, or cancel it",
        )


class MigrationNotFound(TabletdError):
    """No migration has the given UUID. Text: seed documentation."""

    def __init__(self, migration_uuid: str) -> None:
        super().__init__(
            Reason.MIGRATION_NOT_FOUND,
            f"Migration not found: {migration_uuid}",
            hint="list the migrations of the keyspace to see their UUIDs",
            migration_uuid=migration_uuid,
        )
