"""Between the throttler and the wire: checks, status, settings, rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tabletd.servicers.ports import TabletPort
from tabletd.throttler import (
    AppRule,
    CheckResult,
    ConfigChange,
    MetricResult,
    ResponseCode,
    RuleChange,
    Snapshot,
    StoredRule,
    ThrottlerConfig,
    ThrottlerStatus,
)
from tabletd_pb import tabletmanagerdata_pb2 as tm
from tabletd_pb import throttling_pb2, topodata_pb2, vtctldata_pb2, vttime_pb2

_NANOSECONDS_PER_SECOND: Final = 1_000_000_000
_ERRORS: Final = frozenset({ResponseCode.INTERNAL_ERROR, ResponseCode.UNKNOWN_METRIC})


def time_to_proto(wall_ns: int) -> vttime_pb2.Time:
    """Return a moment given as nanoseconds since the Unix epoch."""
    seconds, nanoseconds = divmod(wall_ns, _NANOSECONDS_PER_SECOND)
    return vttime_pb2.Time(seconds=seconds, nanoseconds=nanoseconds)


class Checks:
    """Makes answers to CheckThrottler; what all checks of a moment share is converted once."""

    def __init__(self) -> None:
        self._metrics: Mapping[str, MetricResult] | None = None
        self._shared = tm.CheckThrottlerResponse()

    def answer(
        self, result: CheckResult, *, is_recently_checked: bool
    ) -> tm.CheckThrottlerResponse:
        """Return the answer to one check."""
        if result.metrics is not self._metrics:
            self._metrics = result.metrics
            self._shared = tm.CheckThrottlerResponse(
                metrics={name: _metric_to_proto(one) for name, one in result.metrics.items()}
            )
        is_error = result.code in _ERRORS
        answer = tm.CheckThrottlerResponse(
            status_code=result.status_code,
            value=result.value,
            threshold=result.threshold,
            error=result.message if is_error else "",
            message=result.message,
            recently_checked=is_recently_checked,
            app_name=result.app,
            summary=result.summary,
            response_code=_code_to_proto(result.code),
        )
        answer.MergeFrom(self._shared)
        return answer


def status_to_proto(status: ThrottlerStatus, tablet: TabletPort) -> tm.GetThrottlerStatusResponse:
    """Return the answer to GetThrottlerStatus; the lag is read by no query of the throttler's."""
    return tm.GetThrottlerStatusResponse(
        tablet_alias=str(tablet.alias),
        keyspace=tablet.keyspace,
        shard=tablet.shard,
        is_leader=status.is_leader,
        is_open=status.is_open,
        is_enabled=status.is_enabled,
        is_dormant=status.is_dormant,
        custom_metric_query=status.custom_query,
        default_threshold=status.default_threshold,
        metric_name_used_as_default=status.default_metric.value,
        aggregated_metrics={
            name: tm.GetThrottlerStatusResponse.MetricResult(
                value=metric.value, error=metric.message or metric.note
            )
            for name, metric in status.metrics.items()
        },
        metric_thresholds=status.thresholds,
        metrics_health={
            name: _health_to_proto(status.now_monotonic - at, status.now_ns)
            for name, at in status.healthy_monotonic.items()
        },
        throttled_apps=rules_to_proto(status.rules),
        app_checked_metrics={
            app: ",".join(names) for app, names in status.app_checked_metrics.items()
        },
        recently_checked=status.is_recently_checked,
        recent_apps={
            app: tm.GetThrottlerStatusResponse.RecentApp(
                checked_at=time_to_proto(recent.checked_at_ns),
                status_code=int(recent.code.http_status),
                response_code=_code_to_proto(recent.code),
            )
            for app, recent in status.recent_apps.items()
        },
    )


def _health_to_proto(age_seconds: float, now_ns: int) -> tm.GetThrottlerStatusResponse.MetricHealth:
    return tm.GetThrottlerStatusResponse.MetricHealth(
        last_healthy_at=time_to_proto(now_ns - int(age_seconds * _NANOSECONDS_PER_SECOND)),
        seconds_since_last_healthy=int(age_seconds),
    )


def rules_to_proto(
    rules: Mapping[str, AppRule] | Mapping[str, StoredRule],
) -> dict[str, topodata_pb2.ThrottledAppRule]:
    """Return rules by app."""
    return {
        name: topodata_pb2.ThrottledAppRule(
            name=rule.name,
            ratio=rule.ratio,
            expires_at=time_to_proto(rule.expires_at_ns),
            exempt=rule.is_exempt,
        )
        for name, rule in rules.items()
    }


def snapshot_to_proto(
    snapshot: Snapshot, keyspace: str, shard: str
) -> throttling_pb2.GetConfigResponse:
    """Return all that a tablet keeps of its shard's throttler."""
    config = snapshot.config
    return throttling_pb2.GetConfigResponse(
        config=topodata_pb2.ThrottlerConfig(
            enabled=config.enabled,
            threshold=config.threshold,
            custom_query=config.custom_query,
            throttled_apps=rules_to_proto({rule.name: rule for rule in snapshot.rules}),
            app_checked_metrics={
                app: topodata_pb2.ThrottlerConfig.MetricNames(names=names)
                for app, names in config.app_checked_metrics.items()
            },
            metric_thresholds=config.metric_thresholds,
        ),
        version=snapshot.version,
        remaining_seconds={rule.name: rule.remaining_seconds for rule in snapshot.rules},
        keyspace=keyspace,
        shard=shard,
    )


def snapshot_from_proto(stored: throttling_pb2.GetConfigResponse) -> Snapshot:
    """Return what a primary has told."""
    told = stored.config
    rules = tuple(
        StoredRule(
            rule.name,
            rule.ratio,
            rule.exempt,
            rule.expires_at.seconds * _NANOSECONDS_PER_SECOND + rule.expires_at.nanoseconds,
            stored.remaining_seconds.get(name, 0.0),
        )
        for name, rule in told.throttled_apps.items()
    )
    config = ThrottlerConfig(
        enabled=told.enabled,
        threshold=told.threshold,
        custom_query=told.custom_query,
        metric_thresholds=dict(told.metric_thresholds),
        app_checked_metrics={
            app: tuple(metrics.names) for app, metrics in told.app_checked_metrics.items()
        },
    )
    return Snapshot(rules, config, stored.version)


def change_from_proto(request: vtctldata_pb2.UpdateThrottlerConfigRequest) -> ConfigChange:
    """Return what a request changes in the settings; its rule for an app is not among them."""
    return ConfigChange(
        enable=request.enable,
        disable=request.disable,
        threshold=request.threshold,
        custom_query=request.custom_query,
        custom_query_set=request.custom_query_set,
        check_as_check_self=request.check_as_check_self,
        metric_name=request.metric_name,
        app_name=request.app_name,
        app_checked_metrics=tuple(request.app_checked_metrics),
    )


def rule_from_proto(request: vtctldata_pb2.UpdateThrottlerConfigRequest) -> RuleChange | None:
    """Return what a request says of one app; None: nothing."""
    rule = request.throttled_app
    if not rule.name:
        return None
    end = rule.expires_at
    expires_at_ns = end.seconds * _NANOSECONDS_PER_SECOND + end.nanoseconds
    return RuleChange(rule.name, rule.ratio, rule.exempt, expires_at_ns)


def _metric_to_proto(metric: MetricResult) -> tm.CheckThrottlerResponse.Metric:
    return tm.CheckThrottlerResponse.Metric(
        name=metric.metric.value,
        status_code=int(metric.code.http_status),
        value=metric.value,
        threshold=metric.threshold,
        error=metric.error,
        message=metric.message or metric.note,
        scope=metric.scope.value,
        response_code=_code_to_proto(metric.code),
    )


def _code_to_proto(code: ResponseCode) -> tm.CheckThrottlerResponseCode.ValueType:
    return tm.CheckThrottlerResponseCode.ValueType(code.value)
