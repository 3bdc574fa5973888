"""What a throttler answers by the lag of the replicas."""

from __future__ import annotations

import pytest

from tabletd.heartbeat import Lag, LagState
from tabletd.servicers.convert_throttler import Checks
from tabletd.throttler import ConfigChange, Metric, Reading, ResponseCode, Scope, Throttler
from tabletd.topology.shard_metrics import TabletMetric, metrics_of
from tests.support.fakes_throttler import FakeShard, Replica

APP = "online-ddl:gh-ost:7a1b2c3d"


async def primary(shard: FakeShard) -> Throttler:
    _, throttler = await shard.primary()
    return throttler


async def replica(shard: FakeShard) -> Throttler:
    _, throttler = await shard.replica()
    return throttler


async def test_a_primary_without_replicas_lets_everybody_go_on() -> None:
    result = (await primary(FakeShard())).check(APP)
    assert result.to_json() == {
        "StatusCode": 200,
        "Value": 0.0,
        "Threshold": 5.0,
        "Message": "",
    }


async def test_the_worst_replica_decides_and_is_named() -> None:
    replicas = {"a:1": Replica(5.0), "b:2": Replica(9.0), "c:3": Replica(1.0)}
    result = (await primary(FakeShard(replicas=replicas))).check(APP)
    assert (result.status_code, result.value, result.threshold) == (429, 9.0, 5.0)
    assert result.message == "Threshold exceeded: replica b:2: lag 9 s"


async def test_a_lag_of_exactly_the_threshold_is_no_reason_to_wait() -> None:
    result = (await primary(FakeShard(replicas={"a:1": Replica(5.0)}))).check(APP)
    assert (result.status_code, result.value) == (200, 5.0)


async def test_a_silent_replica_blocks_and_is_named() -> None:
    replicas = {"a:1": Replica(0.0), "b:2": Replica(None, "is silent: connection refused")}
    result = (await primary(FakeShard(replicas=replicas))).check(APP)
    assert result.status_code == 429
    assert "replica b:2: is silent: connection refused" in result.message


async def test_a_replica_that_is_not_counted_blocks_nobody() -> None:
    replicas = {"a:1": Replica(99.0, "is silent", is_counted=False)}
    assert (await primary(FakeShard(replicas=replicas))).check(APP).is_ok


async def test_a_changed_threshold_counts_at_once() -> None:
    throttler = await primary(FakeShard(replicas={"a:1": Replica(3.0)}))
    assert throttler.check(APP).is_ok
    throttler.settings.threshold_seconds = 2.0
    assert throttler.check(APP).status_code == 429


async def test_a_replica_answers_for_itself_alone() -> None:
    shard = FakeShard(replicas={"a:1": Replica(99.0)})
    throttler = await replica(shard)
    assert throttler.check(APP).is_ok
    shard.own = Lag(LagState.MEASURED, 6_000_000_000)
    assert throttler.check(APP).status_code == 429
    await throttler.make_primary()
    await throttler.make_non_primary()
    assert throttler.check(APP).value == 6.0


@pytest.mark.parametrize(
    ("own", "status_code"),
    [
        (Lag(LagState.UNKNOWN, error="no heartbeat was read yet"), 404),
        (Lag(LagState.OFF, error="not measured"), 404),
        (Lag(LagState.STALE, 1, error="stale"), 429),
        (Lag(LagState.STOPPED, 1, error="stopped"), 429),
    ],
)
async def test_a_replica_whose_own_lag_is_not_to_be_trusted_says_so(
    own: Lag, status_code: int
) -> None:
    result = (await replica(FakeShard(own=own))).check(APP)
    assert result.status_code == status_code
    assert own.error in result.message


async def test_an_app_that_is_always_denied_is_told_so_by_any_part_of_its_name() -> None:
    throttler = await primary(FakeShard())
    assert throttler.check("abusing-app").status_code == 417
    assert throttler.check("online-ddl:always-throttled-app:1").status_code == 417
    assert throttler.check("not-abusing-app").status_code == 200


async def test_low_priority_gives_way_for_a_second_after_a_refusal() -> None:
    shard = FakeShard(replicas={"a:1": Replica(9.0)})
    throttler = await primary(shard)
    assert throttler.check("batch", low_priority=True).status_code == 429
    throttler.check(APP)
    shard.replicas["a:1"] = Replica(0.0)
    assert throttler.check("batch", low_priority=True).status_code == 417
    shard.clock.advance(1.1)
    assert throttler.check("batch", low_priority=True).status_code == 200


async def test_nobody_gives_way_to_an_operator_who_looks() -> None:
    shard = FakeShard(replicas={"a:1": Replica(9.0)})
    throttler = await primary(shard)
    assert throttler.check("vitess").status_code == 429
    shard.replicas["a:1"] = Replica(0.0)
    assert throttler.check("batch", low_priority=True).is_ok


async def test_a_scope_may_be_asked_for_by_name() -> None:
    shard = FakeShard(replicas={"a:1": Replica(9.0)})
    throttler = await primary(shard)
    own = throttler.check("vitess", scope=Scope.SELF)
    assert (own.code, own.value) == (ResponseCode.OK, 0.0)
    assert throttler.check("vitess", scope=Scope.SHARD).code is ResponseCode.THRESHOLD_EXCEEDED


async def test_a_replica_does_not_know_the_lag_of_its_shard() -> None:
    throttler = await replica(FakeShard())
    unknown = throttler.check("vitess", scope=Scope.SHARD)
    assert (unknown.code, unknown.status_code) == (ResponseCode.UNKNOWN_METRIC, 404)
    assert unknown.summary.startswith(
        "vitess is denied access due to unknown or uncollected metric shard/lag"
    )
    assert throttler.check("vitess", scope=Scope.SHARD, ok_if_not_exists=True).is_ok


async def test_the_summary_says_in_one_line_what_was_decided() -> None:
    shard = FakeShard(replicas={"a:1": Replica(9.0)})
    throttler = await primary(shard)
    assert throttler.check("batch").summary == (
        "batch is denied access due to shard/lag metric value 9 exceeding threshold 5"
    )
    shard.replicas["a:1"] = Replica(None, "is silent")
    assert throttler.check("batch").summary == (
        "batch is denied access due to shard/lag metric: replica a:1: is silent"
    )
    shard.replicas.clear()
    assert throttler.check("batch").summary == "batch is granted access"


async def test_before_the_rules_have_been_read_nobody_goes_on() -> None:
    shard = FakeShard()
    throttler = shard.throttler(shard.rules())
    await throttler.make_primary()
    result = throttler.check(APP)
    assert (result.code, result.status_code) == (ResponseCode.INTERNAL_ERROR, 500)
    assert "unexpected error: the throttle rules have not been read yet" in result.summary


async def test_a_stored_threshold_goes_before_the_configured_one() -> None:
    shard = FakeShard(replicas={"a:1": Replica(9.0)})
    rules, throttler = await shard.primary()
    await rules.update(ConfigChange(threshold=10.0))
    assert throttler.check(APP).is_ok
    await rules.update(ConfigChange(metric_name="lag", threshold=8.0))
    assert throttler.check(APP).threshold == 8.0
    await rules.update(ConfigChange(metric_name="lag"))
    assert throttler.check(APP).threshold == 10.0
    await rules.update(ConfigChange(custom_query_set=True))
    assert throttler.check(APP).threshold == 5.0


async def test_a_disabled_throttler_lets_lag_pass_but_not_an_app_that_a_rule_denies() -> None:
    rules, throttler = await FakeShard(replicas={"a:1": Replica(9.0)}).primary()
    await rules.update(ConfigChange(disable=True))
    assert throttler.check(APP).is_ok
    await rules.throttle("online-ddl")
    assert throttler.check(APP).status_code == 417
    await rules.unthrottle("online-ddl")
    await rules.update(ConfigChange(enable=True))
    assert throttler.check(APP).status_code == 429


async def test_an_app_is_checked_by_the_metrics_that_a_part_of_its_name_has() -> None:
    rules, throttler = await FakeShard(replicas={"a:1": Replica(9.0)}).primary()
    await rules.update(ConfigChange(app_name="gh-ost", app_checked_metrics=("self/lag",)))
    assert throttler.check(APP).is_ok
    assert throttler.check("online-ddl:pt-osc:1").status_code == 429
    assert throttler.check("vitess").status_code == 429
    await rules.update(ConfigChange(app_name="all", app_checked_metrics=("self/lag",)))
    await rules.update(ConfigChange(app_name="gh-ost", app_checked_metrics=("shard/lag",)))
    assert throttler.check("batch").is_ok
    assert throttler.check(APP).status_code == 429
    await rules.update(ConfigChange(app_name="gh-ost"))
    assert throttler.check(APP).is_ok


async def test_the_status_tells_what_is_true_of_this_moment() -> None:
    shard = FakeShard(replicas={"a:1": Replica(9.0)})
    rules, throttler = await shard.primary()
    await rules.throttle("batch", ratio=0.25)
    quiet = throttler.status()
    assert (quiet.is_leader, quiet.is_open, quiet.is_enabled) == (True, True, True)
    assert (quiet.is_dormant, quiet.is_recently_checked) == (True, False)
    assert quiet.metrics["self/lag"].value == 0.0
    assert quiet.metrics["shard/lag"].value == 9.0
    assert quiet.rules["batch"].ratio == 0.25
    throttler.check("vitess")
    assert throttler.status().is_dormant
    throttler.check(APP)
    assert throttler.is_recently_checked
    shard.clock.advance(11)
    asked = throttler.status()
    assert (asked.is_dormant, asked.is_recently_checked) == (False, False)
    assert asked.recent_apps[APP].code is ResponseCode.THRESHOLD_EXCEEDED
    shard.clock.advance(3600)
    assert throttler.status().recent_apps == {}


async def test_the_status_of_a_replica_has_no_lag_of_the_shard() -> None:
    _, throttler = await FakeShard().replica()
    assert set(throttler.status().metrics) == {"self/lag"}
    await throttler.close()
    assert not throttler.status().is_open


async def test_why_an_app_was_refused_is_known_until_it_may_go_on() -> None:
    shard = FakeShard(replicas={"a:1": Replica(9.0)})
    throttler = await primary(shard)
    assert throttler.last_refusal(APP) == ""
    throttler.check(APP, low_priority=True)
    assert throttler.last_refusal(APP) == "Threshold exceeded: replica a:1: lag 9 s"
    shard.replicas.clear()
    throttler.check(APP, low_priority=True)
    assert throttler.last_refusal(APP) == ""


async def test_a_flood_of_apps_is_not_remembered_for_ever() -> None:
    throttler = await primary(FakeShard())
    for number in range(1000):
        throttler.check(f"app-{number}" + "x" * 1000)
    recent = throttler.status().recent_apps
    assert len(recent) == 256
    assert max(map(len, recent)) == 256


async def test_show_throttler_status_has_the_columns_of_vitess() -> None:
    rules, throttler = await FakeShard().primary()
    await rules.update(ConfigChange(threshold=2.5))
    assert throttler.show_status("-80").dicts() == [
        {"shard": b"-80", "enabled": b"1", "threshold": b"2.5", "query": b""}
    ]


async def test_an_app_may_have_a_threshold_of_its_own() -> None:
    rules, throttler = await FakeShard(replicas={"a:1": Replica(3.0)}).primary()
    await rules.update(ConfigChange(app_name="batch", app_checked_metrics=("lag=2",)))
    denied = throttler.check("online-ddl:batch:1")
    assert (denied.status_code, denied.value, denied.threshold) == (429, 3.0, 2.0)
    assert throttler.check(APP).is_ok
    await rules.update(ConfigChange(app_name="batch", app_checked_metrics=("lag=4",)))
    assert throttler.check("online-ddl:batch:1").is_ok


async def test_a_metric_of_the_server_refuses_who_is_checked_by_it() -> None:
    shard = FakeShard(metrics={Metric.THREADS_RUNNING: Reading(150.0)})
    rules, throttler = await shard.primary()
    assert throttler.check(APP).is_ok
    await rules.update(ConfigChange(app_name="gh-ost", app_checked_metrics=("threads_running",)))
    denied = throttler.check(APP)
    assert (denied.status_code, denied.value, denied.threshold) == (429, 150.0, 100.0)
    assert denied.message == "Threshold exceeded: this tablet: threads_running 150"
    assert "self/threads_running metric value 150 exceeding threshold 100" in denied.summary
    await rules.update(ConfigChange(metric_name="threads_running", threshold=200.0))
    assert throttler.check(APP).is_ok


async def test_the_shards_worst_counts_the_primary_too_but_for_the_lag() -> None:
    shard = FakeShard(
        replicas={"a:1": Replica(0.0, threads_running=180.0), "b:2": Replica(0.0)},
        metrics={Metric.THREADS_RUNNING: Reading(150.0)},
    )
    rules, throttler = await shard.primary()
    names = ("shard/threads_running", "self/threads_running")
    await rules.update(ConfigChange(app_name="batch", app_checked_metrics=names))
    metrics = throttler.check("batch").metrics
    assert {name: metric.value for name, metric in metrics.items()} == {
        "shard/threads_running": 180.0,
        "self/threads_running": 150.0,
    }
    assert metrics["shard/threads_running"].whose == "replica a:1"


async def test_a_custom_query_takes_the_place_of_the_lag() -> None:
    shard = FakeShard(replicas={"a:1": Replica(99.0)})
    rules, throttler = await shard.primary()
    query = "show global status like 'threads_connected'"
    await rules.update(ConfigChange(custom_query=query, custom_query_set=True, threshold=20.0))
    assert throttler.check(APP).code is ResponseCode.UNKNOWN_METRIC
    shard.metrics[Metric.CUSTOM] = Reading(21.0)
    denied = throttler.check(APP)
    assert (denied.status_code, denied.value, denied.threshold) == (429, 21.0, 20.0)
    status = throttler.status()
    assert (status.default_metric, status.default_threshold) == (Metric.CUSTOM, 20.0)
    assert throttler.show_status("0").dicts()[0]["query"] == query.encode()
    await rules.update(ConfigChange(custom_query_set=True))
    assert throttler.check(APP).value == 99.0


async def test_an_operator_looks_at_every_metric_that_is_measured() -> None:
    shard = FakeShard(metrics={Metric.LOADAVG: Reading(0.5), Metric.CUSTOM: Reading(None, "away")})
    _, throttler = await shard.primary()
    assert set(throttler.check("").metrics) == {"lag", "loadavg"}


async def test_a_lag_that_was_too_much_has_to_come_down_by_a_tenth() -> None:
    shard = FakeShard(replicas={"a:1": Replica(4.9)})
    throttler = await primary(shard)
    assert throttler.check(APP).is_ok
    for lag, is_ok in ((5.1, False), (4.9, False), (4.6, False), (4.5, True), (4.9, True)):
        shard.replicas["a:1"] = Replica(lag)
        assert throttler.check(APP).is_ok is is_ok
    shard.replicas["a:1"] = Replica(5.1)
    throttler.check(APP)
    shard.replicas["a:1"] = Replica(4.7)
    assert throttler.check(APP).message == (
        "Threshold exceeded a moment ago: replica a:1: lag 4.7 s, which must come down to 4.5 s"
    )


async def test_a_threshold_of_one_app_is_held_to_likewise() -> None:
    shard = FakeShard(replicas={"a:1": Replica(2.1)})
    rules, throttler = await shard.primary()
    await rules.update(ConfigChange(app_name="batch", app_checked_metrics=("lag=2",)))
    assert not throttler.check("batch").is_ok
    assert throttler.check(APP).is_ok
    for lag, is_ok in ((1.9, False), (1.8, True), (1.9, True)):
        shard.replicas["a:1"] = Replica(lag)
        assert throttler.check("batch").is_ok is is_ok
        assert throttler.check(APP).is_ok


async def test_what_a_replica_still_holds_back_is_to_its_primary_a_lag_and_no_fact() -> None:
    shard = FakeShard(own=Lag(LagState.MEASURED, 5_100_000_000))
    throttler = await replica(shard)
    throttler.check("", scope=Scope.SELF)
    for lag, told in (
        (Lag(LagState.MEASURED, 4_700_000_000), TabletMetric(4.7)),
        (
            Lag(LagState.STOPPED, 4_700_000_000, error="SQL thread"),
            TabletMetric(4.7, "this tablet: SQL thread", is_down=True),
        ),
    ):
        shard.own = lag
        result = throttler.check("", scope=Scope.SELF)
        assert not result.is_ok
        seen = metrics_of(Checks().answer(result, is_recently_checked=False))["lag"]
        assert (seen.value, seen.is_down) == (told.value, told.is_down)
        assert told.error in seen.error


async def test_a_replica_without_data_blocks_for_a_while_and_is_named_when_it_no_longer_does() -> (
    None
):
    shard = FakeShard(replicas={"a:1": Replica(1.0), "b:2": Replica(9.0, "is silent")})
    shard.settings.unknown_seconds = 60.0
    throttler = await primary(shard)
    assert throttler.check(APP).status_code == 429
    shard.clock.advance(59)
    blocked = throttler.check(APP)
    assert "replica b:2: is silent" in blocked.message
    shard.clock.advance(2)
    result = throttler.check(APP)
    assert (result.status_code, result.value) == (200, 1.0)
    assert result.message == "replica b:2: left out after 60 s: is silent"
    # Once it is heard again, its silence begins anew.
    shard.replicas["b:2"] = Replica(0.5)
    assert throttler.check(APP).message == ""
    shard.replicas["b:2"] = Replica(None, "is silent")
    assert throttler.check(APP).status_code == 429


async def test_a_replica_whose_replication_is_stopped_blocks_for_as_long_as_it_is() -> None:
    stopped = Replica(0.2, "replication is stopped: SQL thread", is_down=True)
    shard = FakeShard(replicas={"a:1": stopped})
    throttler = await primary(shard)
    throttler.check(APP)
    shard.clock.advance(10_000)
    assert "SQL thread" in throttler.check(APP).message


async def test_a_migration_is_slowed_down_below_the_threshold_and_told_by_how_much() -> None:
    shard = FakeShard(replicas={"a:1": Replica(3.0)})
    shard.settings.paces = True
    throttler = await primary(shard)
    answers = [throttler.check(APP, low_priority=True) for _ in range(100)]
    assert sum(answer.is_ok for answer in answers) == 50
    refused = next(answer for answer in answers if not answer.is_ok)
    assert (refused.status_code, refused.value, refused.threshold) == (429, 3.0, 5.0)
    assert refused.message == ("Slowed down: replica a:1: lag 3 s of 5 s, one check in 2 passes")
    exported = shard.registry.export()
    assert (exported["ThrottlerChecks"], exported["ThrottlerChecksPaced"]) == (100, 50)
    assert exported["ThrottlerShare"] == 0.5


@pytest.mark.parametrize("app", ["batch", "vitess", ""])
async def test_who_is_no_tool_of_ours_is_held_against_the_threshold_alone(app: str) -> None:
    shard = FakeShard(replicas={"a:1": Replica(4.99)})
    shard.settings.paces = True
    throttler = await primary(shard)
    assert all(throttler.check(app).is_ok for _ in range(20))


async def test_a_check_asks_for_heartbeats_at_most_once_a_second() -> None:
    shard, asked = FakeShard(), list[float]()
    throttler = await primary(shard)
    throttler.on_asked = lambda: asked.append(shard.clock.monotonic_seconds())
    for _ in range(20):
        throttler.check("vitess")
        throttler.check(APP, asks_for_heartbeats=False)
    assert asked == []
    for _ in range(20):
        throttler.check(APP)
        shard.clock.advance(0.1)
    assert len(asked) == 2
    assert shard.registry.export()["ThrottlerHeartbeatRequests"] == 2


async def test_what_was_read_from_memory_is_good_for_a_moment() -> None:
    shard = FakeShard(replicas={"a:1": Replica(9.0)})
    shard.settings.look_seconds = 0.1
    throttler = await primary(shard)
    assert not throttler.check(APP).is_ok
    shard.replicas["a:1"] = Replica(0.0)
    assert not throttler.check(APP).is_ok
    shard.clock.advance(0.2)
    assert throttler.check(APP).is_ok


async def test_an_app_that_is_slowed_down_is_known_as_such_between_its_refusals() -> None:
    shard = FakeShard(replicas={"a:1": Replica(3.0)})
    shard.settings.paces = True
    throttler = await primary(shard)
    assert [throttler.check(APP).is_ok for _ in range(3)] == [True, False, True]
    assert throttler.last_refusal(APP) == ""
    assert throttler.slowed_down(APP).startswith("Slowed down: replica a:1: lag 3 s of 5 s")
    shard.replicas.clear()
    shard.clock.advance(9)
    assert throttler.check(APP).is_ok
    assert throttler.slowed_down(APP)
    shard.clock.advance(2)
    assert throttler.slowed_down(APP) == ""
    assert throttler.slowed_down("nobody") == ""
