"""Watching tablets over StreamHealth, against a real gRPC server in the same process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import grpc
import pytest

from tabletd.clock import Clock, SystemClock
from tabletd.topology import ReplicaLag, ReplicaWatcher, WatcherSettings
from tabletd_pb import query_pb2, queryservice_pb2_grpc, topodata_pb2
from tests.support.clock import FakeClock
from tests.support.waiting import eventually


def message(
    lag_seconds: int = 0,
    *,
    tablet_type: topodata_pb2.TabletType.ValueType = topodata_pb2.REPLICA,
    health_error: str = "",
    shard: str = "0",
) -> query_pb2.StreamHealthResponse:
    return query_pb2.StreamHealthResponse(
        target=query_pb2.Target(keyspace="ks", shard=shard, tablet_type=tablet_type),
        serving=True,
        realtime_stats=query_pb2.RealtimeStats(
            replication_lag_seconds=lag_seconds, health_error=health_error
        ),
        tablet_alias=topodata_pb2.TabletAlias(cell="zone1", uid=101),
    )


class Daemon(queryservice_pb2_grpc.QueryServicer):
    """A tablet that says what the test lets it say."""

    def __init__(self) -> None:
        self.says: asyncio.Queue[query_pb2.StreamHealthResponse | None] = asyncio.Queue()
        self.streams = 0

    async def Execute(
        self,
        request: query_pb2.ExecuteRequest,
        context: grpc.aio.ServicerContext[
            query_pb2.ExecuteRequest, Awaitable[query_pb2.ExecuteResponse]
        ],
    ) -> query_pb2.ExecuteResponse:
        raise NotImplementedError

    async def StreamHealth(
        self,
        request: query_pb2.StreamHealthRequest,
        context: grpc.aio.ServicerContext[
            query_pb2.StreamHealthRequest, AsyncIterator[query_pb2.StreamHealthResponse]
        ],
    ) -> AsyncIterator[query_pb2.StreamHealthResponse]:
        self.streams += 1
        while (said := await self.says.get()) is not None:
            yield said


@asynccontextmanager
async def serving(daemon: Daemon, port: int = 0) -> AsyncGenerator[int]:
    server = grpc.aio.server()
    queryservice_pb2_grpc.add_QueryServicer_to_server(daemon, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(None)


class Watch:
    """A watcher of one address."""

    def __init__(self, watcher: ReplicaWatcher, address: str) -> None:
        self._watcher = watcher
        self._address = address
        self.named: list[str] = []
        watcher.on_named = lambda: self.named.append(watcher.names()[address])

    @property
    def lag(self) -> ReplicaLag:
        return self._watcher.lags()[self._address]

    async def hears(self, lag_seconds: int) -> ReplicaLag:
        await eventually(lambda: self.lag.lag_seconds == lag_seconds and not self.lag.error)
        return self.lag


@asynccontextmanager
async def watching(
    port: int, *, health_check_interval_seconds: float = 20, clock: Clock | None = None
) -> AsyncGenerator[Watch]:
    address = f"127.0.0.1:{port}"
    settings = WatcherSettings((address,), "ks", "0", health_check_interval_seconds)
    watcher = ReplicaWatcher(settings, clock=clock or SystemClock())
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(watcher.run())
        try:
            yield Watch(watcher, address)
        finally:
            task.cancel()


async def test_each_message_renews_what_is_known() -> None:
    daemon = Daemon()
    async with serving(daemon) as port, watching(port) as watch:
        for lag_seconds in (3, 0, 7):
            daemon.says.put_nowait(message(lag_seconds))
            lag = await watch.hears(lag_seconds)
        assert (lag.tablet_type, lag.alias, lag.is_counted) == (
            "REPLICA",
            "zone1-0000000101",
            True,
        )
        assert daemon.streams == 1


async def test_the_name_of_a_tablet_is_told_once_and_again_when_it_is_another() -> None:
    daemon = Daemon()
    async with serving(daemon) as port, watching(port) as watch:
        for lag_seconds, uid in ((1, 101), (2, 101), (3, 102)):
            said = message(lag_seconds)
            said.tablet_alias.uid = uid
            daemon.says.put_nowait(said)
            await watch.hears(lag_seconds)
    assert watch.named == ["zone1-0000000101", "zone1-0000000102"]


async def test_before_it_is_heard_a_replica_is_silent_and_counted() -> None:
    async with serving(Daemon()) as port:
        pass
    async with watching(port) as watch:
        await eventually(lambda: "UNAVAILABLE" in watch.lag.error)
        assert watch.lag.error.startswith("is silent: ")
        assert (watch.lag.lag_seconds, watch.lag.is_counted) == (None, True)


async def test_a_daemon_that_goes_is_silent_at_once_and_heard_again_when_it_is_back() -> None:
    daemon = Daemon()
    async with serving(daemon) as port, watching(port) as watch:
        daemon.says.put_nowait(message(1))
        await watch.hears(1)
        daemon.says.put_nowait(None)
        daemon.says.put_nowait(None)
        await eventually(lambda: watch.lag.error.startswith("is silent: it ended the stream"))
        daemon.says.put_nowait(message(2))
        await watch.hears(2)


async def test_a_restarted_daemon_is_found_again() -> None:
    first, second = Daemon(), Daemon()
    async with serving(first) as port:
        watching_it = watching(port)
        watch = await watching_it.__aenter__()
        first.says.put_nowait(message(1))
        await watch.hears(1)
    await eventually(lambda: watch.lag.error.startswith("is silent"))
    async with serving(second, port):
        second.says.put_nowait(message(5))
        await watch.hears(5)
        await watching_it.__aexit__(None, None, None)


async def test_a_daemon_that_says_nothing_for_two_intervals_is_silent_and_asked_anew() -> None:
    daemon = Daemon()
    async with (
        serving(daemon) as port,
        watching(port, health_check_interval_seconds=0.1) as watch,
    ):
        daemon.says.put_nowait(message(1))
        await eventually(lambda: "it said nothing for" in watch.lag.error)
        assert watch.lag.lag_seconds == 1
        await eventually(lambda: daemon.streams >= 2)


async def test_an_old_message_is_silence_whatever_the_connection_does() -> None:
    daemon, clock = Daemon(), FakeClock()
    async with serving(daemon) as port, watching(port, clock=clock) as watch:
        daemon.says.put_nowait(message(1))
        await watch.hears(1)
        errors: list[str] = []
        for seconds in (40, 1):
            clock.advance(seconds)
            errors.append(watch.lag.error)
        assert errors == ["", "is silent: it said nothing for 41 s"]
        assert watch.lag.age_seconds == 41


async def test_an_unhealthy_replica_passes_its_reason_on() -> None:
    daemon = Daemon()
    async with serving(daemon) as port, watching(port) as watch:
        daemon.says.put_nowait(message(0, health_error="SQL thread stopped"))
        await eventually(lambda: watch.lag.error == "SQL thread stopped")


async def test_a_tablet_of_another_shard_is_a_mistake_that_is_named() -> None:
    daemon = Daemon()
    async with serving(daemon) as port, watching(port) as watch:
        daemon.says.put_nowait(message(0, shard="-80"))
        await eventually(lambda: watch.lag.error == "belongs to ks/-80, not to ks/0")


@pytest.mark.parametrize(
    ("tablet_type", "is_counted"),
    [
        (topodata_pb2.REPLICA, True),
        (topodata_pb2.RDONLY, True),
        (topodata_pb2.PRIMARY, False),
        (topodata_pb2.DRAINED, False),
        (topodata_pb2.SPARE, False),
        (topodata_pb2.BACKUP, False),
    ],
)
async def test_a_tablet_that_is_primary_or_set_aside_is_not_counted(
    tablet_type: topodata_pb2.TabletType.ValueType, is_counted: bool
) -> None:
    daemon = Daemon()
    async with serving(daemon) as port, watching(port) as watch:
        daemon.says.put_nowait(message(9, tablet_type=tablet_type))
        assert (await watch.hears(9)).is_counted is is_counted


async def test_a_primary_that_falls_silent_is_counted_again() -> None:
    daemon = Daemon()
    async with serving(daemon) as port, watching(port) as watch:
        daemon.says.put_nowait(message(9, tablet_type=topodata_pb2.PRIMARY))
        await watch.hears(9)
    assert watch.lag.is_counted is False
    async with serving(daemon) as port, watching(port) as watch:
        daemon.says.put_nowait(message(9, tablet_type=topodata_pb2.PRIMARY))
        await watch.hears(9)
        daemon.says.put_nowait(None)
        await eventually(lambda: watch.lag.is_counted)


async def test_without_addresses_there_is_nothing_to_do() -> None:
    watcher = ReplicaWatcher(WatcherSettings((), "ks", "0"), clock=SystemClock())
    await watcher.run()
    assert watcher.lags() == {}
