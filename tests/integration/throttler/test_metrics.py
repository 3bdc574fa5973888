"""The metrics of the server beside us."""

from __future__ import annotations

from tabletd.heartbeat import Lag, LagState
from tabletd.throttler import Metric, OwnMetrics
from tests.support.clock import FakeClock
from tests.support.pools import pool_of
from tests.support.servers import RealServer

SECOND_NS = 1_000_000_000


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
