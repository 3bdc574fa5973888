"""The answer to `/throttler/check`."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tabletd.heartbeat import Lag, LagState
from tabletd.throttler import Throttler
from tests.support.clock import FakeClock

APP = "online-ddl:gh-ost:7a1b2c3d"


@dataclass(frozen=True)
class Replica:
    lag_seconds: float | None
    error: str = ""
    is_counted: bool = True


@dataclass
class Shard:
    """What the throttler is told."""

    own: Lag = field(default_factory=lambda: Lag(LagState.MEASURED, 0))
    replicas: dict[str, Replica] = field(default_factory=dict[str, Replica])
    clock: FakeClock = field(default_factory=FakeClock)

    def throttler(self) -> Throttler:
        return Throttler(
            own_lag=lambda: self.own, replica_lags=lambda: self.replicas, clock=self.clock
        )


async def primary(shard: Shard) -> Throttler:
    throttler = shard.throttler()
    await throttler.make_primary()
    return throttler


async def test_a_primary_without_replicas_lets_everybody_go_on() -> None:
    result = (await primary(Shard())).check(APP)
    assert result.to_json() == {
        "StatusCode": 200,
        "Value": 0.0,
        "Threshold": 5.0,
        "Message": "",
    }


async def test_the_worst_replica_decides_and_is_named() -> None:
    replicas = {"a:1": Replica(5.0), "b:2": Replica(9.0), "c:3": Replica(1.0)}
    result = (await primary(Shard(replicas=replicas))).check(APP)
    assert (result.status_code, result.value, result.threshold) == (429, 9.0, 5.0)
    assert result.message == "Threshold exceeded: replica b:2: lag 9 s"


async def test_a_lag_of_exactly_the_threshold_is_no_reason_to_wait() -> None:
    result = (await primary(Shard(replicas={"a:1": Replica(5.0)}))).check(APP)
    assert (result.status_code, result.value) == (200, 5.0)


async def test_a_silent_replica_blocks_and_is_named() -> None:
    replicas = {"a:1": Replica(0.0), "b:2": Replica(None, "is silent: connection refused")}
    result = (await primary(Shard(replicas=replicas))).check(APP)
    assert result.status_code == 429
    assert "replica b:2: is silent: connection refused" in result.message


async def test_a_replica_that_is_not_counted_blocks_nobody() -> None:
    replicas = {"a:1": Replica(99.0, "is silent", is_counted=False)}
    assert (await primary(Shard(replicas=replicas))).check(APP).is_ok


async def test_a_changed_threshold_counts_at_once() -> None:
    throttler = await primary(Shard(replicas={"a:1": Replica(3.0)}))
    assert throttler.check(APP).is_ok
    throttler.threshold_seconds = 2.0
    assert throttler.check(APP).status_code == 429


async def test_a_replica_answers_for_itself_alone() -> None:
    shard = Shard(replicas={"a:1": Replica(99.0)})
    throttler = shard.throttler()
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
def test_a_replica_whose_own_lag_is_not_to_be_trusted_says_so(own: Lag, status_code: int) -> None:
    result = Shard(own=own).throttler().check(APP)
    assert result.status_code == status_code
    assert own.error in result.message


async def test_an_app_that_is_always_denied_is_told_so_by_any_part_of_its_name() -> None:
    throttler = await primary(Shard())
    assert throttler.check("abusing-app").status_code == 417
    assert throttler.check("online-ddl:always-throttled-app:1").status_code == 417
    assert throttler.check("not-abusing-app").status_code == 200


async def test_low_priority_gives_way_for_a_second_after_a_refusal() -> None:
    shard = Shard(replicas={"a:1": Replica(9.0)})
    throttler = await primary(shard)
    assert throttler.check("batch", low_priority=True).status_code == 429
    throttler.check(APP)
    shard.replicas["a:1"] = Replica(0.0)
    assert throttler.check("batch", low_priority=True).status_code == 417
    shard.clock.advance(1.1)
    assert throttler.check("batch", low_priority=True).status_code == 200
