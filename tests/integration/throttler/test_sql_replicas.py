"""Replicas without a daemon, as the daemon of their primary knows them by SQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, closing, contextmanager

import pytest

from tabletd.heartbeat import Writer
from tabletd.telemetry.vars import Registry
from tabletd.throttler import Metric, Reading, SqlReplicas
from tests.support.clock import FakeClock
from tests.support.pools import pool_of
from tests.support.servers import Pair, RealServer
from tests.support.tablets import heartbeat_settings
from tests.support.waiting import eventually

REPLICA = "10.0.0.9:3306"
DELAY_SECONDS = 3600


class Shard:
    """The primary's daemon and a replica without one; the test makes the beats and the looks."""

    def __init__(
        self, pair: Pair, writer: Writer, replicas: SqlReplicas, clock: FakeClock, query: list[str]
    ) -> None:
        self.pair = pair
        self.writer = writer
        self.clock = clock
        self.custom_query = query
        self._replicas = replicas

    async def beat(self, *, arrives: bool = True) -> None:
        await self.writer.write()
        if arrives:
            self.pair.catch_up()

    async def reading(self, metric: Metric = Metric.LAG) -> Reading | None:
        await self._replicas.read_lags()
        await self._replicas.read_metrics()
        return self._replicas.readings()[REPLICA].reading(metric)

    async def lag(self) -> Reading:
        reading = await self.reading()
        assert reading is not None
        return reading


def writer_of(pool: object, clock: FakeClock) -> Writer:
    return Writer(
        pool,  # type: ignore[arg-type]
        heartbeat_settings(),
        clock=clock,
        registry=Registry(),
        on_not_writable=lambda: None,
    )


@asynccontextmanager
async def shard_of(pair: Pair, *, user: str = "root") -> AsyncGenerator[Shard]:
    clock, query = FakeClock(), [""]
    async with pool_of(pair.primary, size_max=1) as own, pool_of(pair.replica, user=user) as other:
        writer = writer_of(own, clock)
        replicas = SqlReplicas(
            {REPLICA: other},
            keyspace_shard="test:0",
            written=writer.written,
            custom_query=lambda: query[0],
            is_wanted=lambda: True,
            is_dormant=lambda: False,
            clock=clock,
        )
        yield Shard(pair, writer, replicas, clock, query)


@contextmanager
def nothing_arriving(replica: RealServer) -> Generator[None]:
    """Hold the heartbeat's table against the replication, whose threads go on running."""
    with closing(replica.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLES _vt.heartbeat READ")
        yield


async def test_the_lag_by_sql_is_the_age_of_the_oldest_own_beat_that_is_not_there(
    any_pair: Pair,
) -> None:
    async with shard_of(any_pair) as shard:
        await shard.beat()
        with nothing_arriving(any_pair.replica):
            await shard.beat(arrives=False)
            shard.clock.advance(7)
            await shard.beat(arrives=False)
            assert await shard.lag() == Reading(7.0)
            # Whatever becomes of the wall clock meanwhile.
            shard.clock.set_wall_ns(shard.clock.wall_ns() + 10**12)
            assert await shard.lag() == Reading(7.0)
        any_pair.catch_up()
        assert await shard.lag() == Reading(0.0)


async def test_beats_that_nobody_writes_are_no_lag_by_sql(any_pair: Pair) -> None:
    async with shard_of(any_pair) as shard:
        await shard.beat()
        shard.clock.advance(3600)
        assert await shard.lag() == Reading(0.0)


async def test_a_daemon_that_has_written_nothing_knows_no_lag_by_sql(any_pair: Pair) -> None:
    async with shard_of(any_pair) as before, shard_of(any_pair) as shard:
        await before.beat()
        lag = await shard.lag()
        assert (lag.value, lag.is_down) == (None, False)
        assert "this daemon has written no heartbeat" in lag.error


async def test_the_beat_of_a_former_daemon_is_followed_by_our_first(any_pair: Pair) -> None:
    async with shard_of(any_pair) as before, shard_of(any_pair) as shard:
        await before.beat()
        with nothing_arriving(any_pair.replica):
            await shard.beat(arrives=False)
            shard.clock.advance(60)
            assert await shard.lag() == Reading(60.0)
        any_pair.catch_up()
        assert await shard.lag() == Reading(0.0)


async def test_a_table_of_another_make_without_a_beat_or_without_numbers_is_no_lag(
    any_pair: Pair,
) -> None:
    any_pair.primary.query("CREATE DATABASE _vt")
    any_pair.primary.query(
        "CREATE TABLE _vt.heartbeat (keyspaceShard varbinary(256) PRIMARY KEY,"
        " tabletUid int unsigned NOT NULL, ts bigint unsigned NOT NULL)"
    )
    any_pair.catch_up()
    async with shard_of(any_pair) as shard:
        assert await shard.lag() == Reading(None, "no heartbeat has arrived yet")
        with nothing_arriving(any_pair.replica):
            await shard.beat(arrives=False)
            assert await shard.lag() == Reading(None, "no heartbeat has arrived yet")
        any_pair.catch_up()
        assert await shard.lag() == Reading(0.0)


@pytest.fixture
def delayed(any_pair: Pair) -> Generator[Callable[[], None]]:
    """Give a function that has the replica apply everything an hour late."""
    replica = any_pair.replica

    def delay(seconds: int = DELAY_SECONDS) -> None:
        replica.script("STOP SLAVE", f"CHANGE MASTER TO MASTER_DELAY = {seconds}", "START SLAVE")

    yield delay
    delay(0)
    any_pair.catch_up()


async def test_the_delay_of_a_replica_by_sql_is_not_held_against_it(
    any_pair: Pair, delayed: Callable[[], None]
) -> None:
    async with shard_of(any_pair) as shard:
        await shard.beat()
        delayed()
        await shard.beat(arrives=False)
        shard.clock.advance(DELAY_SECONDS - 10)
        assert await shard.lag() == Reading(0.0)
        shard.clock.advance(17)
        assert await shard.lag() == Reading(7.0)


@pytest.mark.parametrize("thread", ["IO", "SQL"])
async def test_a_thread_that_is_stopped_is_told_by_sql_for_as_long_as_it_is(
    any_pair: Pair, thread: str
) -> None:
    async with shard_of(any_pair) as shard:
        await shard.beat()
        any_pair.replica.query(f"STOP SLAVE {thread}_THREAD")
        stopped = await shard.lag()
        assert (stopped.value, stopped.is_down) == (0.0, True)
        assert f"{thread} thread stopped" in stopped.error
        any_pair.replica.query(f"START SLAVE {thread}_THREAD")

        async def runs() -> bool:
            return await shard.lag() == Reading(0.0)

        await eventually(runs)


async def test_what_stopped_a_replica_by_sql_is_told_in_the_servers_own_words(
    any_pair: Pair,
) -> None:
    replica = any_pair.replica
    any_pair.primary.script("CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY)")
    async with shard_of(any_pair) as shard:
        await shard.beat()
        replica.script("SET sql_log_bin = 0", "INSERT INTO d.t VALUES (7)")
        any_pair.primary.query("INSERT INTO d.t VALUES (7)")

        async def is_down() -> bool:
            return (await shard.lag()).is_down

        await eventually(is_down)
        assert "Duplicate entry '7'" in (await shard.lag()).error
        replica.script("SET sql_log_bin = 0", "DELETE FROM d.t WHERE id = 7")
        replica.query("START SLAVE")
        any_pair.catch_up()


async def test_a_server_that_replicates_from_nobody_is_down(any_server: RealServer) -> None:
    async with shard_of(Pair(any_server, any_server, any_server.server.directory)) as shard:
        await shard.beat(arrives=False)
        lag = await shard.lag()
        assert (lag.value, lag.is_down) == (0.0, True)
        assert "no replication source" in lag.error


async def test_an_account_that_may_read_heartbeats_alone_tells_the_lag(any_pair: Pair) -> None:
    async with shard_of(any_pair) as root:
        await root.beat()
    any_pair.primary.script(
        "CREATE USER looker@'127.0.0.1' IDENTIFIED BY ''",
        "GRANT SELECT ON _vt.heartbeat TO looker@'127.0.0.1'",
    )
    any_pair.catch_up()
    async with shard_of(any_pair, user="looker") as shard:
        await shard.beat()
        any_pair.replica.query("STOP SLAVE SQL_THREAD")
        assert await shard.lag() == Reading(0.0)
        threads = await shard.reading(Metric.THREADS_RUNNING)
        assert threads is not None
        assert threads.value is not None
        history = await shard.reading(Metric.HISTORY_LIST_LENGTH)
        assert history is not None
        assert "cannot be read" in history.error
        any_pair.replica.query("START SLAVE SQL_THREAD")


async def test_all_metrics_but_the_load_are_read_by_sql(any_pair: Pair) -> None:
    async with shard_of(any_pair) as shard:
        await shard.beat()
        shard.custom_query[0] = "show global variables like 'port'"
        threads = await shard.reading(Metric.THREADS_RUNNING)
        history = await shard.reading(Metric.HISTORY_LIST_LENGTH)
        assert threads is not None
        assert threads.value is not None
        assert threads.value >= 1
        assert history is not None
        assert (history.value is not None, history.error) == (True, "")
        assert await shard.reading(Metric.CUSTOM) == Reading(any_pair.replica.port)
        assert await shard.reading(Metric.LOADAVG) is None
        shard.custom_query[0] = "select x from nowhere.at_all"
        shard.clock.advance(1)
        custom = await shard.reading(Metric.CUSTOM)
        assert custom is not None
        assert "cannot be read" in custom.error
        shard.custom_query[0] = ""
        shard.clock.advance(1)
        assert await shard.reading(Metric.CUSTOM) is None


async def test_before_it_was_asked_nothing_is_known_of_a_replica(any_pair: Pair) -> None:
    async with pool_of(any_pair.replica) as pool:
        replicas = SqlReplicas(
            {REPLICA: pool},
            keyspace_shard="test:0",
            written=lambda: (1, ()),
            custom_query=lambda: "",
            is_wanted=lambda: True,
            is_dormant=lambda: False,
            clock=FakeClock(),
        )
        lag = replicas.readings()[REPLICA].reading("lag")
        assert lag is not None
        assert "not asked yet" in lag.error


async def test_a_server_that_cannot_be_asked_is_no_data_after_a_while(any_pair: Pair) -> None:
    async with shard_of(any_pair) as shard:
        await shard.beat()
        assert await shard.lag() == Reading(0.0)
        await asyncio.to_thread(any_pair.replica.shut_down)
        assert await shard.lag() == Reading(0.0)
        shard.clock.advance(60)
        lag = await shard.lag()
        assert lag.value == 0.0
        assert "cannot be asked" in lag.error
        await asyncio.to_thread(any_pair.replica.restart)
