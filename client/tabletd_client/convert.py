"""From messages to the library's own values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from tabletd_client.models import (
    EtaState,
    Lock,
    Migration,
    Plan,
    Refusal,
    Status,
    Tablet,
    Way,
)
from tabletd_pb import migrations_pb2, topodata_pb2, vtctldata_pb2, vttime_pb2

_SM = vtctldata_pb2.SchemaMigration
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STRATEGIES: Final[Mapping[int, str]] = {
    _SM.VITESS: "vitess",
    _SM.GHOST: "gh-ost",
    _SM.PTOSC: "pt-osc",
    _SM.DIRECT: "direct",
    _SM.MYSQL: "mysql",
}
_ETA_STATES: Final[Mapping[int, EtaState]] = {
    migrations_pb2.MigrationState.ETA_STATE_NONE: EtaState.NONE,
    migrations_pb2.MigrationState.ETA_STATE_MEASURING: EtaState.MEASURING,
    migrations_pb2.MigrationState.ETA_STATE_READY: EtaState.READY,
    migrations_pb2.MigrationState.ETA_STATE_DUE: EtaState.DUE,
}
_WAYS: Final[Mapping[int, Way]] = {
    migrations_pb2.Plan.WAY_REFUSED: Way.REFUSED,
    migrations_pb2.Plan.WAY_NO_CHANGE: Way.NO_CHANGE,
    migrations_pb2.Plan.WAY_SERVER: Way.SERVER,
    migrations_pb2.Plan.WAY_INSTANT: Way.INSTANT,
    migrations_pb2.Plan.WAY_RENAME: Way.RENAME,
    migrations_pb2.Plan.WAY_GH_OST: Way.GH_OST,
    migrations_pb2.Plan.WAY_PT_OSC: Way.PT_OSC,
}


def to_time(message: vttime_pb2.Time) -> datetime | None:
    """Return a moment; None for "never" and "not known"."""
    if not message.seconds and not message.nanoseconds:
        return None
    return _EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanoseconds // 1000)


def to_status(number: int) -> Status:
    """Return a status; UNKNOWN for one that this library does not know."""
    if number not in _SM.Status.values():
        return Status.UNKNOWN
    return Status(_SM.Status.Name(_SM.Status.ValueType(number)).lower())


def from_status(status: Status) -> _SM.Status.ValueType:
    """Return the number of a status."""
    return _SM.Status.Value(status.name)


def alias_text(alias: topodata_pb2.TabletAlias) -> str:
    """Return an alias as Vitess prints it; empty for none."""
    return f"{alias.cell}-{alias.uid:010d}" if alias.cell else ""


def listed_migration(message: vtctldata_pb2.SchemaMigration) -> Migration:
    """Return a migration of `GetSchemaMigrations`, which tells less than a watch."""
    status = to_status(message.status)
    return Migration(
        uuid=message.uuid,
        context=message.migration_context,
        keyspace=message.keyspace,
        shard=message.shard,
        schema=message.schema,
        table=message.table,
        statement=message.migration_statement,
        ddl_action=message.ddl_action,
        strategy=_STRATEGIES.get(message.strategy, "unknown"),
        options=message.options,
        status=status,
        stage=message.stage,
        message=message.message,
        waiting_since=None,
        rows_copied=message.rows_copied,
        rows_estimated=max(message.table_rows, 0),
        progress_percent=message.progress,
        eta_seconds=message.eta_seconds if message.eta_seconds >= 0 else None,
        eta_state=None,
        throttle_reason="",
        component_throttled="" if status.ended else message.component_throttled,
        last_throttled_at=to_time(message.last_throttled_at),
        backlog=None,
        retries=message.retries,
        artifacts=_artifacts(message.artifacts),
        retain_artifacts_seconds=message.artifact_retention.seconds,
        postpone_launch=message.postpone_launch,
        postpone_completion=message.postpone_completion,
        ready_to_complete=message.ready_to_complete,
        tablet=alias_text(message.tablet),
        tablet_failure=message.tablet_failure,
        log_file=message.log_file,
        reverted_uuid=message.reverted_uuid,
        special_plan=message.special_plan,
        cutover_attempts=message.cutover_attempts,
        user_throttle_ratio=message.user_throttle_ratio,
        added_at=to_time(message.added_at),
        ready_at=to_time(message.ready_at),
        started_at=to_time(message.started_at),
        liveness_at=to_time(message.liveness_timestamp),
        ready_to_complete_at=to_time(message.ready_to_complete_at),
        completed_at=to_time(message.completed_at),
        cancelled_at=to_time(message.cancelled_at),
        cleaned_up_at=to_time(message.cleaned_up_at),
    )


def _artifacts(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def watched_migration(message: migrations_pb2.MigrationState) -> Migration:
    """Return a migration of a watch."""
    return Migration(
        uuid=message.uuid,
        context=message.migration_context,
        keyspace=message.keyspace,
        shard=message.shard,
        schema=message.schema,
        table=message.table,
        statement=message.migration_statement,
        ddl_action=message.ddl_action,
        strategy=message.strategy,
        options=message.options,
        status=to_status(message.status),
        stage=message.stage,
        message=message.message,
        waiting_since=to_time(message.waiting_since),
        rows_copied=message.rows_copied,
        rows_estimated=message.rows_estimated,
        progress_percent=message.progress_percent,
        eta_seconds=message.eta_seconds if message.eta_seconds >= 0 else None,
        eta_state=_ETA_STATES.get(message.eta_state),
        throttle_reason=message.throttle_reason,
        component_throttled=message.component_throttled,
        last_throttled_at=to_time(message.last_throttled_at),
        backlog=message.backlog,
        retries=message.retries,
        artifacts=tuple(message.artifacts),
        retain_artifacts_seconds=message.retain_artifacts_seconds,
        postpone_launch=message.postpone_launch,
        postpone_completion=message.postpone_completion,
        ready_to_complete=message.ready_to_complete,
        tablet=message.tablet,
        tablet_failure=message.tablet_failure,
        log_file=message.log_file,
        reverted_uuid=message.reverted_uuid,
        special_plan=message.special_plan,
        cutover_attempts=message.cutover_attempts,
        user_throttle_ratio=message.user_throttle_ratio,
        added_at=to_time(message.added_at),
        ready_at=to_time(message.ready_at),
        started_at=to_time(message.started_at),
        liveness_at=to_time(message.liveness_at),
        ready_to_complete_at=to_time(message.ready_to_complete_at),
        completed_at=to_time(message.completed_at),
        cancelled_at=to_time(message.cancelled_at),
        cleaned_up_at=to_time(message.cleaned_up_at),
        requested_by=message.requested_by,
        changed_by=message.changed_by,
    )


def to_plan(message: migrations_pb2.Plan, keyspace: str, shard: str) -> Plan:
    """Return what a statement would do on a shard."""
    return Plan(
        keyspace=keyspace,
        shard=shard,
        statement=message.statement,
        schema=message.schema,
        table=message.table,
        ddl_action=message.ddl_action,
        way=_WAYS.get(message.way, Way.UNKNOWN),
        refusals=tuple(Refusal(one.reason, one.message, one.hint) for one in message.refusals),
        table_rows=message.table_rows,
        data_bytes=message.data_bytes,
        index_bytes=message.index_bytes,
        estimated_seconds=message.estimated_seconds if message.estimated_seconds >= 0 else None,
        locks=tuple(
            Lock(
                one.object, one.blocks, one.phase, one.seconds_max if one.seconds_max >= 0 else None
            )
            for one in message.locks
        ),
        evidence=tuple(message.evidence),
        waits=tuple(message.waits),
    )


def type_name(number: int) -> str:
    """Return the name of a tablet's role in lower case."""
    if number not in topodata_pb2.TabletType.values():
        return "unknown"
    return topodata_pb2.TabletType.Name(topodata_pb2.TabletType.ValueType(number)).lower()


def to_tablet(message: topodata_pb2.Tablet) -> Tablet:
    """Return what is known of a tablet."""
    return Tablet(
        alias=alias_text(message.alias),
        keyspace=message.keyspace,
        shard=message.shard,
        type=type_name(message.type),
        host=message.hostname,
        grpc_port=message.port_map.get("grpc", 0),
        http_port=message.port_map.get("vt", 0),
        mysql_host=message.mysql_hostname,
        mysql_port=message.mysql_port,
        primary_since=to_time(message.primary_term_start_time),
    )
