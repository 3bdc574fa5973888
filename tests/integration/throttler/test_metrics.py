"""The metrics of real servers: our own, and those of replicas without a daemon."""

from __future__ import annotations

import pytest

from tabletd.clock import Clock, SystemClock
from tabletd.heartbeat import Lag, LagState
from tabletd.mysql.pool import Pool
from tabletd.throttler import Metric, OwnMetrics, SqlReplicas
from tests.support.clock import FakeClock
from tests.support.pools import pool_of
from tests.support.servers import Pair, RealServer

SECOND_NS = 1_000_000_000
REPLICA = "10.0.0.9:3306"


def replicas_by_sql(pool: Pool, clock: Clock) -> SqlReplicas:
    return SqlReplicas(
        {REPLICA: pool},
        keyspace_shard="shop:0",
        interval_seconds=1.0,
        is_wanted=lambda: True,
        is_dormant=lambda: False,
        clock=clock,
    )


async def test_the_metrics_of_the_own_server_are_read_all_at_once(any_server: RealServer) -> None:
    lag = Lag(LagState.MEASURED, 3 * SECOND_NS, lower_ns=2 * SECOND_NS, delay_ns=SECOND_NS)
    clock, query = FakeClock(), ["show global variables like 'port'"]
    async with pool_of(any_server) as pool:
        own = OwnMetrics(
            pool,
            lag=lambda: lag,
            custom_query=lambda: query[0],
            is_dormant=lambda: False,
            clock=clock,
        )
        await own.read()
        found = own.readings()
        threads, history = found[Metric.THREADS_RUNNING], found[Metric.HISTORY_LIST_LENGTH]
        assert (threads.error, history.error) == ("", "")
        assert threads.value is not None
        assert threads.value >= 1
        assert history.value is not None
        assert found[Metric.CUSTOM].value == any_server.server.port
        # What an operator lets it be behind is not held against it.
        assert found[Metric.LAG].value == 1.0
        query[0] = "select 'many'"
        await own.read()
        assert "no number" in own.readings()[Metric.CUSTOM].error
        query[0] = "select x from nowhere.at_all"
        await own.read()
        assert "cannot be read" in own.readings()[Metric.CUSTOM].error
        query[0] = ""
        await own.read()
        assert Metric.CUSTOM not in own.readings()
        clock.advance(60)
        assert set(own.readings()) == {Metric.LAG}


@pytest.mark.parametrize("seconds_ago", [0.0, 10.0])
async def test_a_replica_without_a_daemon_is_asked_by_sql(
    any_pair: Pair, seconds_ago: float
) -> None:
    clock = SystemClock()
    any_pair.primary.query("CREATE DATABASE _vt")
    any_pair.primary.query(
        "CREATE TABLE _vt.heartbeat (keyspaceShard varbinary(256) PRIMARY KEY,"
        " tabletUid int unsigned NOT NULL, ts bigint unsigned NOT NULL)"
    )
    any_pair.catch_up()
    async with pool_of(any_pair.replica) as pool:
        replicas = replicas_by_sql(pool, clock)
        unasked = replicas.readings()[REPLICA].reading("lag")
        assert unasked is not None
        assert "not asked yet" in unasked.error
        await replicas.read()
        before = replicas.readings()[REPLICA].reading("lag")
        assert before is not None
        assert (before.value, before.error) == (None, "no heartbeat has arrived yet")
        written_ns = clock.wall_ns() - int(seconds_ago * SECOND_NS)
        any_pair.primary.query(f"INSERT INTO _vt.heartbeat VALUES ('shop:0', 1, {written_ns})")
        any_pair.catch_up()
        await replicas.read()
        passed_seconds = (clock.wall_ns() - written_ns) / SECOND_NS
        readings = replicas.readings()[REPLICA]
        lag, threads = readings.reading("lag"), readings.reading("threads_running")
        assert lag is not None
        assert lag.value is not None
        assert max(0.0, seconds_ago - 1.0) <= lag.value <= passed_seconds
        assert threads is not None
        assert threads.value is not None


async def test_a_server_that_cannot_be_asked_is_no_data(any_server: RealServer) -> None:
    clock = FakeClock()
    async with pool_of(any_server) as pool:
        replicas = replicas_by_sql(pool, clock)
        await replicas.read()
        lag = replicas.readings()[REPLICA].reading("lag")
        assert lag is not None
        assert "cannot be asked" in lag.error
