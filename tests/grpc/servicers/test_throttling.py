"""The throttler over gRPC: checks, status, settings and rules."""

from __future__ import annotations

from typing import Any, cast

import grpc
import pytest

from tabletd_pb import tabletmanagerdata_pb2 as tm
from tabletd_pb import throttling_pb2, throttling_pb2_grpc, topodata_pb2, vtctldata_pb2, vttime_pb2
from tests.support.fakes_servicers import GrpcBench, error_info, failure, grpc_bench
from tests.support.fakes_throttler import Replica
from tests.support.stubs import manager

APP = "online-ddl:gh-ost:7a1b2c3d"
END_SECONDS = 1_700_003_600


def throttling(channel: object) -> Any:
    return cast(Any, throttling_pb2_grpc.ThrottlingStub)(channel)


async def update(bench: GrpcBench, **fields: Any) -> None:
    request = vtctldata_pb2.UpdateThrottlerConfigRequest(keyspace="shop", **fields)
    await throttling(bench.channel).UpdateConfig(request)


async def check(bench: GrpcBench, app: str = APP, **fields: Any) -> tm.CheckThrottlerResponse:
    request = tm.CheckThrottlerRequest(app_name=app, **fields)
    answer = await manager(bench.channel).CheckThrottler(request)
    assert isinstance(answer, tm.CheckThrottlerResponse)
    return answer


def rule(name: str, ratio: float = 1.0, *, seconds: int = END_SECONDS) -> Any:
    return topodata_pb2.ThrottledAppRule(
        name=name, ratio=ratio, expires_at=vttime_pb2.Time(seconds=seconds)
    )


async def test_an_app_that_may_go_on_is_told_so_in_the_words_of_new_and_old_clients() -> None:
    async with grpc_bench() as bench:
        bench.shard.replicas["a:1"] = Replica(2.0)
        answer = await check(bench)
        metric = answer.metrics["lag"]
        assert (answer.response_code, answer.status_code) == (tm.OK, 200)
        assert (answer.value, answer.threshold, answer.error) == (2.0, 5.0, "")
        assert answer.app_name == APP
        assert answer.summary == f"{APP} is granted access"
        assert not answer.recently_checked
        assert (metric.name, metric.scope, metric.value) == ("lag", "shard", 2.0)
        assert (metric.response_code, metric.status_code, metric.threshold) == (tm.OK, 200, 5.0)
        assert (await check(bench)).recently_checked


async def test_too_much_lag_is_over_the_threshold_and_names_the_replica() -> None:
    async with grpc_bench() as bench:
        bench.shard.replicas["a:1"] = Replica(9.0)
        answer = await check(bench, "vitess")
        assert (answer.response_code, answer.status_code) == (tm.THRESHOLD_EXCEEDED, 429)
        assert answer.message == "Threshold exceeded: replica a:1: lag 9 s"
        assert answer.metrics["lag"].message == answer.message
        assert answer.summary == (
            "vitess is denied access due to shard/lag metric value 9 exceeding threshold 5"
        )
        assert (await check(bench, "vitess", scope="self")).response_code == tm.OK


async def test_an_empty_app_name_is_an_operator() -> None:
    async with grpc_bench() as bench:
        assert (await check(bench, "")).app_name == "vitess"


async def test_an_unknown_scope_is_refused() -> None:
    async with grpc_bench() as bench:
        error = await failure(check(bench, scope="moon"))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_throttling_and_unthrottling_act_at_once_and_are_told_to_whoever_asks() -> None:
    async with grpc_bench() as bench:
        await update(bench, throttled_app=rule("online-ddl", 0.75))
        stored = (
            await throttling(bench.channel).GetConfig(throttling_pb2.GetConfigRequest())
        ).config
        assert dict(stored.throttled_apps) == {"online-ddl": rule("online-ddl", 0.75)}
        denied = await check(bench)
        assert (denied.response_code, denied.status_code) == (tm.APP_DENIED, 417)
        assert (denied.app_name, len(denied.metrics)) == ("online-ddl", 0)
        assert "online-ddl is throttled for 75%" in denied.message
        assert "until 2023-11-14 23:13:20 UTC" in denied.message
        await update(bench, throttled_app=rule("online-ddl", 0.0, seconds=0))
        assert (await check(bench)).response_code == tm.OK


async def test_settings_are_kept_in_the_form_of_a_keyspace_and_obeyed() -> None:
    async with grpc_bench() as bench:
        bench.shard.replicas["a:1"] = Replica(9.0)
        await update(bench, threshold=10.0, app_name="batch", app_checked_metrics=["self/lag"])
        await update(bench, metric_name="lag", threshold=8.0)
        config = (
            await throttling(bench.channel).GetConfig(throttling_pb2.GetConfigRequest())
        ).config
        assert (config.enabled, config.threshold, config.custom_query) == (True, 10.0, "")
        assert dict(config.metric_thresholds) == {"lag": 8.0}
        assert list(config.app_checked_metrics["batch"].names) == ["self/lag"]
        assert (await check(bench)).response_code == tm.THRESHOLD_EXCEEDED
        answer = await check(bench, "batch")
        assert (answer.response_code, answer.metrics["self/lag"].scope) == (tm.OK, "self")
        await update(bench, disable=True)
        assert (await check(bench)).response_code == tm.OK


@pytest.mark.parametrize(
    "fields",
    [
        {"enable": True, "disable": True},
        {"metric_name": "mysqld-loadavg", "threshold": 50.0},
        {"custom_query": "delete from t", "custom_query_set": True},
        {"throttled_app": rule("a", 2.0)},
    ],
)
async def test_what_cannot_be_obeyed_is_refused(fields: dict[str, Any]) -> None:
    async with grpc_bench() as bench:
        error = await failure(update(bench, **fields))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_replica_sends_whoever_changes_something_to_the_primary() -> None:
    async with grpc_bench() as bench:
        await bench.app_rules.make_non_primary()
        error = await failure(update(bench, enable=True))
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert error_info(error).reason == "NOT_PRIMARY"


async def test_the_status_tells_who_asked_and_what_holds_apps_back() -> None:
    async with grpc_bench() as bench:
        bench.shard.replicas["a:1"] = Replica(9.0)
        await update(bench, throttled_app=rule("batch"), app_name="b", app_checked_metrics=["lag"])
        await check(bench)
        status = await manager(bench.channel).GetThrottlerStatus(tm.GetThrottlerStatusRequest())
        assert (status.tablet_alias, status.keyspace, status.shard) == (
            "zone1-0000000101",
            "shop",
            "0",
        )
        assert (status.is_leader, status.is_open, status.is_enabled) == (True, True, True)
        assert (status.is_dormant, status.recently_checked) == (False, True)
        assert (status.metric_name_used_as_default, status.default_threshold) == ("lag", 5.0)
        assert status.aggregated_metrics["shard/lag"].value == 9.0
        assert status.aggregated_metrics["self/lag"].error == ""
        assert dict(status.metric_thresholds) == {
            "lag": 5.0,
            "threads_running": 100.0,
            "custom": 0.0,
            "loadavg": 1.0,
            "history_list_length": 1e9,
        }
        assert status.metrics_health.keys() == {"lag"} - {"lag"}
        assert status.throttled_apps["batch"] == rule("batch")
        assert "always-throttled-app" in status.throttled_apps
        assert dict(status.app_checked_metrics) == {"b": "lag"}
        recent = status.recent_apps[APP]
        assert (recent.response_code, recent.status_code) == (tm.THRESHOLD_EXCEEDED, 429)
        assert recent.checked_at.seconds == 1_700_000_000
