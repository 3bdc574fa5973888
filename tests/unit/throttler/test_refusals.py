"""What refused checks are counted under."""

from __future__ import annotations

import pytest

from tabletd.heartbeat import Lag, LagState
from tabletd.throttler import ConfigChange, Metric, Reading
from tests.support.fakes_throttler import FakeShard, Replica

APP = "online-ddl:gh-ost:7a1b2c3d"


def counted(shard: FakeShard) -> dict[str, int]:
    """Return what is not 0."""
    exported = shard.registry.export()["ThrottlerRefusals"]
    assert isinstance(exported, dict)
    return {cell: count for cell, count in exported.items() if count}


@pytest.mark.parametrize(
    ("replica", "cause"),
    [
        (Replica(9.0), "lag"),
        (Replica(None, "is silent: connection refused"), "unknown"),
        (Replica(9.0, "replication is stopped: SQL thread", is_down=True), "unknown"),
        (Replica(0.2, "replication is stopped: SQL thread", is_down=True), "unknown"),
    ],
)
async def test_a_replica_that_lags_is_told_from_one_that_is_silent_or_stopped(
    replica: Replica, cause: str
) -> None:
    shard = FakeShard(replicas={"a:1": replica})
    _, throttler = await shard.primary()
    assert not throttler.check(APP).is_ok
    assert counted(shard) == {f"{cause}.gh-ost": 1}


async def test_a_lag_that_has_not_come_down_far_enough_is_a_lag() -> None:
    shard = FakeShard(replicas={"a:1": Replica(9.0)})
    _, throttler = await shard.primary()
    throttler.check(APP)
    shard.replicas["a:1"] = Replica(4.9)
    assert not throttler.check(APP).is_ok
    assert counted(shard) == {"lag.gh-ost": 2}


async def test_a_rule_is_counted_with_the_tool_that_asked_whatever_it_names() -> None:
    shard = FakeShard()
    rules, throttler = await shard.primary()
    await rules.throttle("online-ddl")
    throttler.check("online-ddl:pt-osc:7a1b2c3d")
    await rules.throttle("7a1b2c3d")
    throttler.check("online-ddl:7a1b2c3d")
    assert counted(shard) == {"rule.pt-osc": 1, "rule.other": 1}


async def test_rules_that_were_not_read_yet_are_unknown() -> None:
    shard = FakeShard()
    throttler = shard.throttler(shard.rules())
    throttler.check(APP)
    assert counted(shard) == {"unknown.gh-ost": 1}


async def test_another_metric_over_its_threshold_is_counted_apart_from_one_not_measured() -> None:
    shard = FakeShard(metrics={Metric.THREADS_RUNNING: Reading(500.0)})
    rules, throttler = await shard.primary()
    await rules.update(ConfigChange(app_name="batch", app_checked_metrics=("threads_running",)))
    throttler.check("batch")
    assert counted(shard) == {"metric.other": 1}
    shard.metrics.clear()
    throttler.check("batch")
    assert counted(shard) == {"metric.other": 1, "unknown.other": 1}


async def test_a_metric_that_is_not_measured_counts_only_where_it_refuses() -> None:
    shard = FakeShard(own=Lag(LagState.UNKNOWN, error="no heartbeat was read yet"))
    _, throttler = await shard.replica()
    assert throttler.check(APP, ok_if_not_exists=True).is_ok
    assert counted(shard) == {}


async def test_a_tool_that_is_slowed_down_below_the_threshold_is_counted_as_such() -> None:
    shard = FakeShard(replicas={"a:1": Replica(3.0)})
    shard.settings.paces = True
    _, throttler = await shard.primary()
    for _ in range(100):
        throttler.check(APP, low_priority=True)
    assert counted(shard) == {"slowed.gh-ost": 50}


async def test_who_gives_way_to_apps_of_normal_priority_is_counted_as_such() -> None:
    shard = FakeShard(replicas={"a:1": Replica(9.0)})
    _, throttler = await shard.primary()
    throttler.check("batch")
    throttler.check(APP, low_priority=True)
    assert counted(shard) == {"lag.other": 1, "priority.gh-ost": 1}


async def test_the_numbers_add_up_and_no_name_that_a_caller_chose_is_among_them() -> None:
    shard = FakeShard(replicas={"a:1": Replica(9.0)})
    _, throttler = await shard.primary()
    for number in range(300):
        throttler.check(f"batch-{number}")
    exported = shard.registry.export()
    assert counted(shard) == {"lag.other": exported["ThrottlerChecksRefused"]}
    cells = exported["ThrottlerRefusals"]
    assert isinstance(cells, dict)
    assert len(cells) == 18
