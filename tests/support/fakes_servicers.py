"""Stand-ins for the components behind the gRPC services, and a server in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import grpc.aio
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from tabletd.admin.tablet_admin import FetchOptions, TabletAdmin
from tabletd.clock import SystemClock
from tabletd.errors import TabletdError
from tabletd.executor.explain import Explainer, Explanation
from tabletd.executor.leftover import Leftover, Swept
from tabletd.executor.watch import Watch
from tabletd.mysql.result import ResultSet
from tabletd.servicers.guard import Guard
from tabletd.servicers.lag import LagService
from tabletd.servicers.limits import CallLimits
from tabletd.servicers.migrations import Migrations
from tabletd.servicers.query import Query
from tabletd.servicers.server import GrpcServer, Listener, build_server
from tabletd.servicers.tablet_manager import TabletManager
from tabletd.servicers.throttling import Throttling
from tabletd.servicers.vtctl import VtctlService
from tabletd.servicers.vtctld import VtctldService
from tabletd.tablet import Health, Subscription, TabletAlias, TabletType
from tabletd.telemetry.vars import Registry
from tabletd.throttler import AppRules
from tabletd.topology import Layout, StaticTopology, Topology
from tabletd.vtctld.vtctld import build_vtctld
from tests.support.fakes_lag import FakeLag
from tests.support.fakes_throttler import FakeShard
from tests.support.watched import FakeTable, running

SERVING = Health(TabletType.PRIMARY, serving=True, primary_term_start_seconds=1_700_000_000)


class FakeTablet:
    """Implements `servicers.ports.TabletPort`; tests set its health and end its streams."""

    def __init__(self) -> None:
        self.alias = TabletAlias("zone1", 101)
        self.keyspace = "shop"
        self.shard = "0"
        self.health = SERVING
        self.asked: list[str] = []
        self.subscriptions: set[Subscription] = set()

    @property
    def type(self) -> TabletType:
        return self.health.type

    def accepts(self, tablet_type: TabletType) -> bool:
        return tablet_type is self.health.type

    async def change_type(self, wanted: TabletType) -> None:
        self.asked.append(f"change_type {wanted}")

    async def refresh(self) -> None:
        self.asked.append("refresh")

    async def run_health_check(self) -> None:
        self.asked.append("run_health_check")

    @asynccontextmanager
    async def subscribe(self) -> AsyncGenerator[Subscription]:
        subscription = Subscription(self.health, buffer_max=20)
        self.subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self.subscriptions.discard(subscription)

    def tell(self, health: Health) -> None:
        """Broadcast."""
        self.health = health
        for subscription in self.subscriptions:
            subscription.put(health)

    def end_streams(self, error: TabletdError) -> None:
        """End all subscriptions with an error."""
        for subscription in list(self.subscriptions):
            subscription.end(error)


async def _no_result(*_: object) -> ResultSet:
    return ResultSet()


async def _not_about_migrations(_: str) -> ResultSet | None:
    return None


@dataclass
class FakeExecutor:
    """Implements `servicers.ports.MigrationQueue` with what the test gives it to do."""

    on_vexec: Callable[[str], Awaitable[ResultSet]] = _no_result
    on_statement: Callable[[str], Awaitable[ResultSet | None]] = _not_about_migrations

    async def vexec(self, query: str) -> ResultSet:
        return await self.on_vexec(query)

    async def execute_statement(self, sql: str) -> ResultSet | None:
        return await self.on_statement(sql)


class FakeAdmin(TabletAdmin):
    """Notes what it is asked, and answers with `result` or raises `error`."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.result = ResultSet()
        self.error: BaseException | None = None

    def _answer(self, *asked: Any) -> ResultSet:
        self.asked.append(asked)
        if self.error is not None:
            raise self.error
        return self.result

    async def fetch_as_dba(self, sql: bytes, options: FetchOptions) -> ResultSet:
        return self._answer(sql, options)

    async def fetch_multi_as_dba(self, sql: bytes, options: FetchOptions) -> list[ResultSet]:
        return [self._answer(sql, options)] * 2

    async def fetch_as_app(self, sql: bytes, rows_max: int) -> ResultSet:
        return self._answer(sql, rows_max)

    async def execute_query(
        self, sql: str, variables: Any, *, database: str = "", rows_max: int = 0
    ) -> ResultSet:
        return self._answer(sql, dict(variables), database, rows_max)

    async def set_read_only(self, read_only: bool) -> None:
        self._answer(read_only)


class FakeExplainer(Explainer):
    """Notes what it is asked, and answers with `answer`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.answer: list[Explanation] = []

    async def explain(
        self, statement: str, ddl_strategy: str, migration_context: str
    ) -> list[Explanation]:
        self.asked.append((statement, ddl_strategy, migration_context))
        return self.answer


class FakeSweeper:
    """Implements `servicers.ports.Sweeping` with what the test lets it find."""

    def __init__(self) -> None:
        self.found: list[Leftover] = []
        self.failures: dict[str, str] = {}

    async def find(self) -> list[Leftover]:
        return self.found

    async def sweep(self) -> tuple[list[Swept], list[Leftover]]:
        removable = [one for one in self.found if one.is_removable]
        swept = [Swept(one, self.failures.get(one.name, "")) for one in removable]
        return swept, [one for one in self.found if not one.is_removable]


@dataclass
class GrpcBench:
    """A served set of fakes, and a channel to it."""

    server: GrpcServer
    channel: grpc.aio.Channel
    tablet: FakeTablet
    executor: FakeExecutor
    admin: FakeAdmin
    registry: Registry
    shard: FakeShard
    app_rules: AppRules
    table: FakeTable
    watch: Watch
    explainer: FakeExplainer
    sweeper: FakeSweeper
    lag: FakeLag
    address: str = field(default="")


@asynccontextmanager
async def grpc_bench(
    limits: CallLimits | None = None,
    options: Sequence[tuple[str, Any]] = (),
    port: int = 0,
    topology: Topology | None = None,
    guard: Guard | None = None,
    listeners: Sequence[Listener] = (),
) -> AsyncGenerator[GrpcBench]:
    """Serve fakes on a free loopback port while the context lasts; Vtctld knows `topology`."""
    tablet, executor, admin, registry = FakeTablet(), FakeExecutor(), FakeAdmin(), Registry()
    shard, table = FakeShard(), FakeTable()
    app_rules, throttler = await shard.primary()
    vtctld = build_vtctld(topology or StaticTopology(Layout(()), clock=SystemClock()))
    watch, explainer = Watch(table, clock=SystemClock()), FakeExplainer()
    sweeper, lag = FakeSweeper(), FakeLag()
    built = build_server(
        tablet_manager=TabletManager(
            tablet=tablet, executor=executor, admin=admin, throttler=throttler
        ),
        query=Query(tablet=tablet, executor=executor, admin=admin),
        throttling=Throttling(app_rules=app_rules, keyspace="shop", shard="0"),
        migrations=Migrations(watch=watch, explainer=explainer, sweeper=sweeper),
        lag=LagService(tablet=tablet, tracker=lag, clock=lag.clock),
        vtctld=VtctldService(vtctld),
        vtctl=VtctlService(vtctld.commands),
        listeners=listeners or [Listener("127.0.0.1", port)],
        limits=limits or CallLimits(),
        registry=registry,
        guard=guard,
    )
    await built.server.start()
    address = f"127.0.0.1:{built.port}"
    try:
        async with running(watch), grpc.aio.insecure_channel(address, options=options) as channel:
            yield GrpcBench(
                built,
                channel,
                tablet,
                executor,
                admin,
                registry,
                shard,
                app_rules,
                table,
                watch,
                explainer,
                sweeper,
                lag,
                address,
            )
    finally:
        await built.server.stop(None)
        await vtctld.clients.close()


async def failure(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    """Return the error that a call ends with."""
    try:
        async with asyncio.timeout(60):
            answer = await call
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError(f"an error was expected, the answer is {answer!r}")


def error_info(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    """Return the `google.rpc.ErrorInfo` of an error."""
    status: Any = cast(Any, rpc_status).from_call(error)
    assert status is not None, "no details"
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info
