"""Between watched migrations and the wire."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.executor.engines.base import EtaState
from tabletd.executor.explain import Explanation, Way
from tabletd.executor.migration import split_artifacts
from tabletd.executor.watch import Changed, News, Removed, Reset, Wish
from tabletd.executor.watch_rows import WatchedMigration
from tabletd_pb import migrations_pb2 as pb
from tabletd_pb import vtctldata_pb2, vttime_pb2

_STATUS: Final = vtctldata_pb2.SchemaMigration.Status
_ETA_STATES: Final = {
    EtaState.NONE: pb.MigrationState.ETA_STATE_NONE,
    EtaState.MEASURING: pb.MigrationState.ETA_STATE_MEASURING,
    EtaState.READY: pb.MigrationState.ETA_STATE_READY,
    EtaState.DUE: pb.MigrationState.ETA_STATE_DUE,
}
_WAYS: Final = {
    Way.UNKNOWN: pb.Plan.WAY_UNSPECIFIED,
    Way.REFUSED: pb.Plan.WAY_REFUSED,
    Way.NO_CHANGE: pb.Plan.WAY_NO_CHANGE,
    Way.SERVER: pb.Plan.WAY_SERVER,
    Way.INSTANT: pb.Plan.WAY_INSTANT,
    Way.RENAME: pb.Plan.WAY_RENAME,
    Way.GH_OST: pb.Plan.WAY_GH_OST,
    Way.PT_OSC: pb.Plan.WAY_PT_OSC,
}
UUIDS_MAX: Final = 1_000


def wish_from_proto(request: pb.WatchRequest) -> Wish:
    """Return what somebody wants to watch.

    Raises:
        TabletdError: INVALID_REQUEST, too many UUIDs.
    """
    if len(request.uuids) > UUIDS_MAX:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"{len(request.uuids)} uuids are named, {UUIDS_MAX} are the most",
            hint="watch all, or those of a context",
        )
    return Wish(
        uuids=frozenset(uuid.lower() for uuid in request.uuids),
        migration_context=request.migration_context,
        pending_only=request.pending_only,
        resume_series=request.resume_series,
        resume_after=request.resume_after,
    )


def news_to_proto(news: News, series: str) -> pb.WatchResponse:
    """Return one piece of news."""
    response = pb.WatchResponse(series=series, sequence=news.sequence)
    match news:
        case Changed(migration=migration):
            response.migration.CopyFrom(migration_to_proto(migration))
        case Removed(migration=migration):
            response.removed.uuid = migration.migration_uuid
        case Reset():
            response.reset.SetInParent()
        case _:
            response.up_to_date.SetInParent()
    return response


def migration_to_proto(one: WatchedMigration) -> pb.MigrationState:
    """Return the whole state of a migration."""
    return pb.MigrationState(
        uuid=one.migration_uuid,
        migration_context=one.migration_context,
        keyspace=one.keyspace,
        shard=one.shard,
        schema=one.mysql_schema,
        table=one.mysql_table,
        migration_statement=one.migration_statement,
        ddl_action=one.ddl_action,
        strategy=one.strategy,
        options=one.options,
        status=_STATUS.Value(one.migration_status.upper())
        if one.migration_status.upper() in _STATUS.keys()  # noqa: SIM118  (no mapping)
        else _STATUS.UNKNOWN,
        stage=one.stage,
        message=one.message,
        waiting_since=_time(one.waiting_since),
        rows_copied=one.rows_copied,
        rows_estimated=max(0, one.table_rows),
        progress_percent=one.progress,
        eta_seconds=one.eta_seconds,
        eta_state=_ETA_STATES[one.eta_state],
        throttle_reason=one.reason_throttled if one.is_pending else "",
        backlog=one.backlog,
        retries=one.retries,
        artifacts=split_artifacts(one.artifacts),
        retain_artifacts_seconds=one.retain_artifacts_seconds,
        postpone_launch=bool(one.postpone_launch),
        postpone_completion=bool(one.postpone_completion),
        ready_to_complete=bool(one.ready_to_complete),
        tablet=one.tablet,
        tablet_failure=bool(one.tablet_failure),
        log_file=one.log_file,
        reverted_uuid=one.reverted_uuid,
        special_plan=one.special_plan,
        cutover_attempts=one.cutover_attempts,
        user_throttle_ratio=one.user_throttle_ratio,
        added_at=_time(one.added_timestamp),
        ready_at=_time(one.ready_timestamp),
        started_at=_time(one.started_timestamp),
        liveness_at=_time(one.liveness_timestamp),
        ready_to_complete_at=_time(one.ready_to_complete_timestamp),
        completed_at=_time(one.completed_timestamp),
        cancelled_at=_time(one.cancelled_timestamp),
        cleaned_up_at=_time(one.cleanup_timestamp),
        requested_by=one.requested_by,
        changed_by=one.changed_by,
        component_throttled=one.component_throttled if one.is_pending else "",
        last_throttled_at=_time(one.last_throttled_timestamp),
    )


def explanation_to_proto(one: Explanation) -> pb.Plan:
    """Return what one migration would do."""
    return pb.Plan(
        statement=one.statement,
        schema=one.schema,
        table=one.table,
        ddl_action=one.ddl_action,
        way=_WAYS[one.way],
        refusals=[
            pb.Refusal(reason=error.reason, message=error.message, hint=error.hint or "")
            for error in one.refusals
        ],
        table_rows=one.table_rows,
        data_bytes=one.data_bytes,
        index_bytes=one.index_bytes,
        estimated_seconds=one.estimated_seconds,
        locks=[
            pb.Lock(
                object=lock.object,
                blocks=lock.blocks,
                phase=lock.phase,
                seconds_max=lock.seconds_max,
            )
            for lock in one.locks
        ],
        evidence=one.evidence,
        waits=one.waits,
    )


def _time(moment: datetime | None) -> vttime_pb2.Time | None:
    """Return a time of the server, which is UTC without saying so."""
    if moment is None:
        return None
    seconds = int(moment.replace(tzinfo=UTC).timestamp())
    return vttime_pb2.Time(seconds=seconds, nanoseconds=moment.microsecond * 1000)
