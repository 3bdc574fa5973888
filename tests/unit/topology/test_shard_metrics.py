"""The metrics of the shard's other tablets, as their daemons tell them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tabletd.errors import Reason, TabletdError
from tabletd.topology import (
    Layout,
    ReplicaWatcher,
    ShardMetrics,
    StaticTopology,
    TabletHealth,
    TabletPlace,
    WatcherSettings,
)
from tabletd_pb import tabletmanagerdata_pb2 as tm
from tabletd_pb import topodata_pb2
from tests.support.clock import FakeClock
from tests.support.waiting import eventually

OWN = TabletPlace("zone1", 100, "shop", "0", "10.0.0.1", 16100)
REPLICA = TabletPlace("zone1", 101, "shop", "0", "10.0.0.2", 16100)
ELSEWHERE = TabletPlace("zone1", 102, "shop", "80-", "10.0.0.3", 16100)
ADDRESS = REPLICA.grpc_address


class Topology(StaticTopology):
    """Says of each tablet what a test has written down."""

    def __init__(self) -> None:
        super().__init__(Layout((OWN, REPLICA, ELSEWHERE)), clock=FakeClock())
        self.healths = {REPLICA: TabletHealth(topodata_pb2.REPLICA, serving=True, error="")}

    def health(self, tablet: TabletPlace) -> TabletHealth:
        return self.healths[tablet]


@dataclass
class Shard:
    """A shard whose tablets answer as a test says."""

    clock: FakeClock = field(default_factory=FakeClock)
    topology: Topology = field(default_factory=Topology)
    answers: dict[str, tm.CheckThrottlerResponse | TabletdError] = field(
        default_factory=dict[str, tm.CheckThrottlerResponse | TabletdError]
    )
    asked: list[str] = field(default_factory=list[str])
    is_primary: bool = True

    def __post_init__(self) -> None:
        settings = WatcherSettings(addresses=(), keyspace="shop", shard="0")
        self.metrics = ShardMetrics(
            watcher=ReplicaWatcher(settings, clock=self.clock),
            topology=self.topology,
            keyspace="shop",
            shard="0",
            own_alias=OWN.alias,
            is_wanted=lambda: self.is_primary,
            is_dormant=lambda: False,
            clock=self.clock,
        )
        self.metrics.ask = self._ask

    async def _ask(self, address: str, seconds_max: float) -> tm.CheckThrottlerResponse:
        self.asked.append(address)
        answer = self.answers.get(address)
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, tm.CheckThrottlerResponse):
            return answer
        raise answer or TabletdError(Reason.TIMEOUT, "no answer")

    def lag(self) -> tuple[float | None, str, bool]:
        """What is known of the replica's lag."""
        reading = self.metrics.readings()[ADDRESS].reading("lag")
        assert reading is not None
        return reading.value, reading.error, reading.is_down

    @asynccontextmanager
    async def collecting(self) -> AsyncGenerator[None]:
        """Ask while the context lasts."""
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.metrics.run())
            yield
            task.cancel()


def answer(
    lag: float, *, code: int = tm.OK, error: str = "", message: str = "", threads: float = 3.0
) -> tm.CheckThrottlerResponse:
    metric = tm.CheckThrottlerResponse.Metric
    return tm.CheckThrottlerResponse(
        metrics={
            "lag": metric(
                name="lag",
                value=lag,
                threshold=5.0,
                response_code=tm.CheckThrottlerResponseCode.ValueType(code),
                error=error,
                message=message,
            ),
            "threads_running": metric(value=threads, threshold=100.0, response_code=tm.OK),
        }
    )


async def test_every_other_tablet_of_the_shard_is_asked_for_all_its_metrics() -> None:
    shard = Shard(answers={ADDRESS: answer(0.125)})
    async with shard.collecting():
        await eventually(lambda: shard.lag() == (0.125, "", False), what="the lag is known")
    threads = shard.metrics.readings()[ADDRESS].reading("threads_running")
    assert threads is not None
    assert threads.value == 3.0
    assert set(shard.asked) == {ADDRESS}


async def test_a_tablet_that_is_no_primary_asks_nobody() -> None:
    shard = Shard(answers={ADDRESS: answer(0.125)}, is_primary=False)
    async with shard.collecting():
        await asyncio.sleep(0)
        shard.is_primary = True
        shard.metrics.wake()
        await eventually(lambda: shard.asked, what="asks as the primary")


async def test_the_threshold_of_the_replica_is_not_ours() -> None:
    shard = Shard(answers={ADDRESS: answer(9.0, code=tm.THRESHOLD_EXCEEDED, message="too much")})
    async with shard.collecting():
        await eventually(lambda: shard.lag() == (9.0, "", False), what="the lag is known")


async def test_what_a_replica_refuses_below_its_threshold_is_a_fact() -> None:
    stopped = answer(1.0, code=tm.THRESHOLD_EXCEEDED, message="replication is stopped")
    shard = Shard(answers={ADDRESS: stopped})
    async with shard.collecting():
        expected = (1.0, "replication is stopped", True)
        await eventually(lambda: shard.lag() == expected, what="it is down")


async def test_a_lag_that_a_replica_does_not_know_is_no_data() -> None:
    shard = Shard(answers={ADDRESS: answer(0.0, code=tm.UNKNOWN_METRIC, error="not read yet")})
    async with shard.collecting():
        await eventually(lambda: shard.lag() == (None, "not read yet", False), what="unknown")
        shard.answers[ADDRESS] = answer(2.0, code=tm.THRESHOLD_EXCEEDED, error="stale")
        await eventually(lambda: shard.lag() == (2.0, "stale", False), what="stale")


async def test_a_single_failed_question_changes_nothing_but_silence_does() -> None:
    shard = Shard(answers={ADDRESS: answer(0.5)})
    async with shard.collecting():
        await eventually(lambda: shard.lag()[0] == 0.5, what="the lag is known")
        shard.answers[ADDRESS] = TabletdError(Reason.MYSQL_UNAVAILABLE, "connection refused")
        count = len(shard.asked)
        await eventually(lambda: len(shard.asked) > count + 1, what="was asked again")
        assert shard.lag() == (0.5, "", False)
        shard.clock.advance(8)
        value, error, is_down = shard.lag()
        assert (value, is_down) == (0.5, False)
        assert "is silent for 8 s" in error
        assert "connection refused" in error


async def test_a_tablet_that_hangs_is_asked_again_and_holds_nobody_up() -> None:
    shard = Shard()
    async with shard.collecting():
        await eventually(lambda: len(shard.asked) > 1, what="was asked again")


async def test_before_the_first_answer_the_stream_of_health_counts() -> None:
    shard = Shard(is_primary=False)
    health = TabletHealth(topodata_pb2.REPLICA, serving=True, error="", lag_seconds=7)
    shard.topology.healths[REPLICA] = health
    assert shard.lag() == (7.0, "", False)
    shard.topology.healths[REPLICA] = TabletHealth(
        topodata_pb2.REPLICA, serving=False, error="replication stopped", lag_seconds=7
    )
    assert shard.lag() == (7.0, "replication stopped", True)
    shard.topology.healths[REPLICA] = TabletHealth(
        topodata_pb2.UNKNOWN, serving=False, error="is silent: not connected yet"
    )
    assert shard.lag() == (None, "is silent: not connected yet", False)


async def test_who_is_primary_or_set_aside_is_not_counted() -> None:
    shard = Shard()
    for tablet_type, is_counted in (
        (topodata_pb2.REPLICA, True),
        (topodata_pb2.RDONLY, True),
        (topodata_pb2.DRAINED, False),
        (topodata_pb2.PRIMARY, False),
    ):
        shard.topology.healths[REPLICA] = TabletHealth(tablet_type, serving=True, error="")
        assert shard.metrics.readings()[ADDRESS].is_counted is is_counted
