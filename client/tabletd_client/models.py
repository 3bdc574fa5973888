"""What the library answers with: frozen values, no protobuf types, times in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Status(StrEnum):
    """Where a migration stands."""

    UNKNOWN = "unknown"
    REQUESTED = "requested"
    QUEUED = "queued"
    READY = "ready"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens of itself; a retry may put it into the queue again."""
        return self in (Status.COMPLETE, Status.FAILED, Status.CANCELLED)


class EtaState(StrEnum):
    """What is known of the time that is left.

    NONE: nothing to estimate. MEASURING: it copies, but not for long enough to tell. READY: there
    is an estimate. DUE: only the end is left, or the estimated time is over.
    """

    NONE = "none"
    MEASURING = "measuring"
    READY = "ready"
    DUE = "due"


class Way(StrEnum):
    """How a change would be carried out."""

    UNKNOWN = "unknown"
    REFUSED = "refused"
    NO_CHANGE = "no-change"
    SERVER = "server"
    INSTANT = "instant"
    RENAME = "rename"
    GH_OST = "gh-ost"
    PT_OSC = "pt-osc"


class Order(StrEnum):
    """The order of a list, by the time of submission."""

    ASCENDING = "ascending"
    DESCENDING = "descending"


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One migration on one shard.

    Attributes:
        uuid: its unique id, the same on all shards.
        context: the name of the group that it belongs to.
        schema: the database in the server.
        table: the table or view.
        statement: what was submitted.
        ddl_action: `create`, `alter`, `drop` or `revert`.
        strategy: `gh-ost`, `pt-osc`, `mysql` or `direct`.
        options: of the strategy, as they were given.
        stage: what it is doing, or what kind of thing it waits for.
        message: the last news, what it waits for, or why it failed.
        waiting_since: since when it waits; only a watch tells.
        rows_estimated: by the server's estimate; 0: not known.
        progress_percent: 0 to 100.
        eta_seconds: time left; None: not known.
        eta_state: what is known of the time left; None: not told, only a watch and a plan do.
        throttle_reason: why it is held back now; only a watch tells, and empty: it is not.
        component_throttled: which part of it is held back now, `gh-ost` or `pt-osc`; empty: none.
        last_throttled_at: when it was last held back; None: it never was since its start.
        backlog: changes that gh-ost still has to carry over; None: not told.
        retries: how often it was tried again.
        artifacts: tables that it made or renamed.
        retain_artifacts_seconds: how long they are kept; 0: the tablet's setting, -1: no longer.
        postpone_launch: it is held before its start until told to launch.
        postpone_completion: it is held before its end until told to complete.
        ready_to_complete: nothing but the end is left to do.
        tablet: alias of the tablet that ran it last.
        tablet_failure: that tablet failed while it ran.
        log_file: its log on that tablet's host; empty: none.
        reverted_uuid: what it reverts; empty: it is no revert.
        special_plan: a way quicker than a copy that was taken, as JSON; empty: none.
        cutover_attempts: how often the cut-over was tried.
        user_throttle_ratio: share of its checks that a user lets the throttler refuse.
        requested_by: who submitted it; only a watch tells, and empty: not known.
        changed_by: who steered it last, by a command; likewise.
    """

    uuid: str
    context: str
    keyspace: str
    shard: str
    schema: str
    table: str
    statement: str
    ddl_action: str
    strategy: str
    options: str
    status: Status
    stage: str
    message: str
    waiting_since: datetime | None
    rows_copied: int
    rows_estimated: int
    progress_percent: float
    eta_seconds: int | None
    eta_state: EtaState | None
    throttle_reason: str
    component_throttled: str
    last_throttled_at: datetime | None
    backlog: int | None
    retries: int
    artifacts: tuple[str, ...]
    retain_artifacts_seconds: int
    postpone_launch: bool
    postpone_completion: bool
    ready_to_complete: bool
    tablet: str
    tablet_failure: bool
    log_file: str
    reverted_uuid: str
    special_plan: str
    cutover_attempts: int
    user_throttle_ratio: float
    added_at: datetime | None
    ready_at: datetime | None
    started_at: datetime | None
    liveness_at: datetime | None
    ready_to_complete_at: datetime | None
    completed_at: datetime | None
    cancelled_at: datetime | None
    cleaned_up_at: datetime | None
    requested_by: str = ""
    changed_by: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more happens of itself: one whose tablet failed is tried again once."""
        is_tried_again = self.status is Status.FAILED and self.tablet_failure and not self.retries
        return self.status.ended and not is_tried_again


@dataclass(frozen=True, slots=True)
class Submission:
    """What was submitted.

    Attributes:
        keyspace: where.
        uuids: of the migrations, in the order of the statements; a direct change has none.
        rows_affected_by_shard: by the last statement.
    """

    keyspace: str
    uuids: tuple[str, ...]
    rows_affected_by_shard: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Affected:
    """On how many migrations a command had an effect.

    Attributes:
        by_shard: every shard that was asked, also those with 0.
    """

    by_shard: Mapping[str, int]

    @property
    def total(self) -> int:
        """On how many over all shards."""
        return sum(self.by_shard.values())


@dataclass(frozen=True, slots=True)
class Changed:
    """A migration is new or has changed; the first state of a watch comes as this as well."""

    migration: Migration


@dataclass(frozen=True, slots=True)
class Removed:
    """A migration that was told of is no longer in its shard's queue."""

    uuid: str
    keyspace: str
    shard: str


@dataclass(frozen=True, slots=True)
class UpToDate:
    """All that a shard knows has been told. Comes once for each connection."""

    keyspace: str
    shard: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection to a shard's primary is lost; it is sought and asked again.

    Attributes:
        reason: the name of the kind of failure.
        message: what happened.
    """

    keyspace: str
    shard: str
    reason: str
    message: str


Event = Changed | Removed | UpToDate | Disconnected


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason not to carry a migration out.

    Attributes:
        reason: the name of the kind of refusal.
        message: what was found and what is needed.
        hint: what can be done about it; empty: nothing is known.
    """

    reason: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Lock:
    """Something that others would have to wait for.

    Attributes:
        object: what would be locked.
        blocks: who would wait.
        phase: when it would be taken.
        seconds_max: how long it would be held at most; None: not known.
    """

    object: str
    blocks: str
    phase: str
    seconds_max: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a statement would do on one shard, found out from its server as it is now.

    Attributes:
        statement: of the migration that it would become; one statement may become several.
        way: how it would be carried out.
        refusals: why it would be refused; empty: it would not be.
        table_rows: by the server's estimate.
        data_bytes: size of the table's data.
        index_bytes: size of its indexes.
        estimated_seconds: how long it would run once begun; None: not known.
        locks: what would be locked.
        evidence: what all this was concluded from.
        waits: what it would wait for if it were submitted now.
    """

    keyspace: str
    shard: str
    statement: str
    schema: str
    table: str
    ddl_action: str
    way: Way
    refusals: tuple[Refusal, ...]
    table_rows: int
    data_bytes: int
    index_bytes: int
    estimated_seconds: int | None
    locks: tuple[Lock, ...]
    evidence: tuple[str, ...]
    waits: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tablet:
    """A daemon and the server beside it.

    Attributes:
        alias: its unique name.
        type: `primary`, `replica`, ...; `unknown` while it is not heard.
        host: where the daemon listens.
        grpc_port: of the daemon.
        http_port: of the daemon; 0: not known.
        mysql_host: where the server listens; empty: not known.
        mysql_port: of the server; 0: not known.
        primary_since: when it became primary; None: it is none, or not known.
    """

    alias: str
    keyspace: str
    shard: str
    type: str
    host: str
    grpc_port: int
    http_port: int
    mysql_host: str
    mysql_port: int
    primary_since: datetime | None

    @property
    def grpc_address(self) -> str:
        """`host:port` of the daemon's gRPC port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.grpc_port}"


class LagState(StrEnum):
    """How far a figure can be trusted."""

    MEASURED = "measured"
    """It is as fresh as the interval of the heartbeats promises."""
    STALE = "stale"
    """There was a figure once; what has happened since then is not known."""
    UNKNOWN = "unknown"
    """There never was a figure, or the tablet was not heard."""
    STOPPED = "stopped"
    """A replication thread of the server does not run."""
    IDLE = "idle"
    """No heartbeats are written just now, and all that were have arrived."""
    OFF = "off"
    """Nobody measures: a primary has no lag, and tracking can be disabled."""


class LagMethod(StrEnum):
    """How a figure was found."""

    NONE = "none"
    """There is none."""
    CLOCK = "clock"
    """Heartbeats, in the writer's time as its daemon told it."""
    GTID = "gtid"
    """The primary's position at a moment, looked for on the replica."""
    WALL = "wall"
    """Heartbeats, by the difference of two hosts' wall clocks."""
    SERVER = "server"
    """The server's own whole seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LagPoint:
    """The lag of one moment of the past.

    Attributes:
        age_ms: how long ago.
        lag_ms: None: not known; likewise the bounds.
    """

    age_ms: float
    state: LagState
    lag_ms: float | None
    lower_ms: float | None
    upper_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TabletLag:
    """How far a tablet is behind its primary, as it says itself.

    Attributes:
        type: its role.
        serving: whether it answers queries; None: it was not heard.
        lag_seconds: whole seconds behind; None: it was not heard, or it does not know.
        error: why it is not healthy or was not heard; empty: all is well.
        state: how far the figure can be trusted.
        method: how it was found.
        lag_ms: of the newest heartbeat that arrived, or the age of the oldest overdue one; None:
            not known.
        lower_ms: it was at least this; None: not known.
        upper_ms: it was at most this; None: not known.
        age_ms: how long ago that was; None: never.
        held_ms: how long the state has held; None: not told of this state.
        delay_ms: what an operator delays this replica by; part of the figure and the bounds.
        cause: what else a person should know of it; empty: nothing.
        history: the last minutes, one point a second, the oldest first; where it was asked for.
    """

    alias: str
    keyspace: str
    shard: str
    type: str
    serving: bool | None
    lag_seconds: int | None
    error: str
    state: LagState = LagState.UNKNOWN
    method: LagMethod = LagMethod.NONE
    lag_ms: float | None = None
    lower_ms: float | None = None
    upper_ms: float | None = None
    age_ms: float | None = None
    held_ms: float | None = None
    delay_ms: float = 0.0
    cause: str = ""
    history: tuple[LagPoint, ...] = ()


@dataclass(frozen=True, slots=True)
class MigrationLog:
    """The log of a migration on one shard."""

    keyspace: str
    shard: str
    text: str
