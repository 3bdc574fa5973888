"""Tablets of a cluster that answer as a test says, each a gRPC server in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
from google.protobuf.message import Message

from tabletd.clock import SystemClock
from tabletd.errors import TabletdError
from tabletd.servicers.status import error_status
from tabletd.topology import Layout, StaticTopology, TabletPlace
from tabletd_pb import query_pb2, topodata_pb2
from tabletd_pb.lag_pb2_grpc import LagServicer, add_LagServicer_to_server
from tabletd_pb.queryservice_pb2_grpc import QueryServicer, add_QueryServicer_to_server
from tabletd_pb.tabletmanagerservice_pb2_grpc import (
    TabletManagerServicer,
    add_TabletManagerServicer_to_server,
)
from tabletd_pb.throttling_pb2_grpc import ThrottlingServicer, add_ThrottlingServicer_to_server

KEYSPACE = "shop"
Answer = Callable[[Any], Message]


@dataclass
class FakeDaemon:
    """One tablet.

    Attributes:
        place: where it is.
        answers: what it answers, by method; it may raise a `TabletdError`.
        asked: each request that it got, with the method's name.
    """

    place: TabletPlace
    answers: dict[str, Answer] = field(default_factory=dict[str, Answer])
    asked: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    _health: query_pb2.StreamHealthResponse = field(default_factory=query_pb2.StreamHealthResponse)
    _listeners: set[asyncio.Queue[query_pb2.StreamHealthResponse]] = field(
        default_factory=set[asyncio.Queue[query_pb2.StreamHealthResponse]]
    )
    _server: grpc.aio.Server | None = None

    def become(
        self, tablet_type: topodata_pb2.TabletType.ValueType, *, term_start_seconds: int = 0
    ) -> None:
        """Take a role, and say so to all who listen."""
        self._health = query_pb2.StreamHealthResponse(
            target=query_pb2.Target(
                keyspace=self.place.keyspace, shard=self.place.shard, tablet_type=tablet_type
            ),
            serving=True,
            primary_term_start_timestamp=term_start_seconds,
            tablet_alias=topodata_pb2.TabletAlias(cell=self.place.cell, uid=self.place.uid),
            realtime_stats=query_pb2.RealtimeStats(),
        )
        for listener in self._listeners:
            listener.put_nowait(self._health)

    def statements(self) -> list[str]:
        """Return the statements that it was given by ExecuteQuery."""
        return [request.query.decode() for name, request in self.asked if name == "ExecuteQuery"]

    async def stop(self) -> None:
        """End it, as a crash does."""
        assert self._server is not None
        await self._server.stop(None)

    async def start(self, port: int = 0) -> int:
        """Serve on a port, 0: on a free one; return it."""
        self._server = grpc.aio.server()
        add_TabletManagerServicer_to_server(_answering(self, TabletManagerServicer), self._server)
        add_LagServicer_to_server(_answering(self, LagServicer), self._server)
        add_ThrottlingServicer_to_server(_answering(self, ThrottlingServicer), self._server)
        add_QueryServicer_to_server(_Telling(self), self._server)
        port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        await self._server.start()
        return port

    async def answer(self, name: str, request: Any, context: Any) -> Message:
        """Answer one call."""
        self.asked.append((name, request))
        try:
            return self.answers[name](request)
        except TabletdError as error:
            await context.abort_with_status(error_status(error))
            raise AssertionError("aborted") from error

    @asynccontextmanager
    async def listening(
        self,
    ) -> AsyncGenerator[asyncio.Queue[query_pb2.StreamHealthResponse]]:
        """Hear each health that it tells."""
        queue: asyncio.Queue[query_pb2.StreamHealthResponse] = asyncio.Queue()
        queue.put_nowait(self._health)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)


def _answering(daemon: FakeDaemon, service: type) -> Any:
    """Return a servicer whose methods all ask the daemon."""

    def method(name: str) -> Any:
        async def call(self: object, request: Any, context: Any) -> Message:
            return await daemon.answer(name, request, context)

        return call

    names = [name for name in vars(service) if not name.startswith("_")]
    return type("Answering", (service,), {name: method(name) for name in names})()


class _Telling(QueryServicer):
    def __init__(self, daemon: FakeDaemon) -> None:
        self._daemon = daemon

    async def Execute(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    async def StreamHealth(
        self, request: Any, context: Any
    ) -> AsyncIterator[query_pb2.StreamHealthResponse]:
        async with self._daemon.listening() as healths:
            while True:
                yield await healths.get()


@dataclass
class FakeCluster:
    """Tablets of one keyspace and what is known of them.

    Attributes:
        daemons: by alias.
        topology: follows them.
    """

    daemons: dict[str, FakeDaemon]
    topology: StaticTopology

    def primary(self, shard: str) -> FakeDaemon:
        """Return the tablet that began as primary of a shard."""
        return next(
            daemon
            for daemon in self.daemons.values()
            if daemon.place.shard == shard and daemon.place.uid % 100 == 0
        )

    def answer(self, name: str, answer: Answer) -> None:
        """Let every tablet answer a method in one way."""
        for daemon in self.daemons.values():
            daemon.answers[name] = answer


@asynccontextmanager
async def fake_cluster(
    shards: Sequence[str] = ("-80", "80-"), *, replicas: int = 0, patience_seconds: float = 5.0
) -> AsyncGenerator[FakeCluster]:
    """Serve a primary and its replicas for each shard while the context lasts."""
    daemons: dict[str, FakeDaemon] = {}
    for number, shard in enumerate(shards, 1):
        for index in range(replicas + 1):
            uid = 100 * number + index
            daemon = FakeDaemon(TabletPlace("zone1", uid, KEYSPACE, shard, "127.0.0.1", 0))
            port = await daemon.start()
            daemon.place = TabletPlace("zone1", uid, KEYSPACE, shard, "127.0.0.1", port, 15100)
            daemon.become(
                topodata_pb2.REPLICA if index else topodata_pb2.PRIMARY,
                term_start_seconds=0 if index else 1_700_000_000,
            )
            daemons[daemon.place.alias] = daemon
    topology = StaticTopology(
        Layout(tuple(daemon.place for daemon in daemons.values()), "test"),
        clock=SystemClock(),
        patience_seconds=patience_seconds,
    )
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(topology.run())
        try:
            yield FakeCluster(daemons, topology)
        finally:
            watching.cancel()
            for daemon in daemons.values():
                await daemon.stop()
