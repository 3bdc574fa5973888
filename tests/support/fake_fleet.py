"""Tablets in this process, as a client sees them: Vtctld, Migrations, Query and Lag over real gRPC.

What they know is put in by the tests; the calls that they get are remembered.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn, cast

import grpc
import grpc.aio
from google.protobuf.message import Message

from tabletd.errors import Reason, TabletdError
from tabletd.servicers.status import error_status
from tabletd_pb import (
    lag_pb2,
    migrations_pb2,
    query_pb2,
    topodata_pb2,
    vtctldata_pb2,
)
from tabletd_pb.lag_pb2_grpc import add_LagServicer_to_server
from tabletd_pb.migrations_pb2_grpc import add_MigrationsServicer_to_server
from tabletd_pb.queryservice_pb2_grpc import add_QueryServicer_to_server
from tabletd_pb.vtctlservice_pb2_grpc import add_VtctldServicer_to_server

UUID = "aaaaaaaa_1111_11f0_8de9_0242ac110002"
OTHER_UUID = "bbbbbbbb_2222_11f0_8de9_0242ac110002"
SM = vtctldata_pb2.SchemaMigration


def state(
    status: str = "RUNNING", *, uuid: str = UUID, shard: str = "-80", **fields: Any
) -> migrations_pb2.MigrationState:
    """Return the state of a migration as a tablet tells it."""
    told: dict[str, Any] = {
        "keyspace": "commerce",
        "schema": "commerce",
        "table": "orders",
        "migration_statement": "alter table orders add column i int",
        "migration_context": "release-7",
        "ddl_action": "alter",
        "strategy": "gh-ost",
        "eta_seconds": -1,
        "tablet": "zone1-0000000100",
        **fields,
    }
    return migrations_pb2.MigrationState(
        uuid=uuid, shard=shard, status=SM.Status.Value(status), **told
    )


def listed(of: migrations_pb2.MigrationState) -> SM:
    """Return the same migration as `GetSchemaMigrations` tells it."""
    return SM(
        uuid=of.uuid,
        keyspace=of.keyspace,
        shard=of.shard,
        schema=of.schema,
        table=of.table,
        migration_statement=of.migration_statement,
        strategy=SM.GHOST if of.strategy == "gh-ost" else SM.PTOSC,
        options=of.options,
        status=of.status,
        migration_context=of.migration_context,
        ddl_action=of.ddl_action,
        stage=of.stage,
        message=of.message,
        progress=of.progress_percent,
        eta_seconds=of.eta_seconds,
        rows_copied=of.rows_copied,
        table_rows=of.rows_estimated,
        component_throttled=of.component_throttled,
        last_throttled_at=of.last_throttled_at if of.HasField("last_throttled_at") else None,
        retries=of.retries,
        tablet_failure=of.tablet_failure,
        tablet=topodata_pb2.TabletAlias(cell="zone1", uid=100),
        artifacts="".join(f"{name}," for name in of.artifacts),
    )


class FakeTablet:
    """One tablet.

    Attributes:
        states: of the migrations in its shard, by UUID.
        history_max: how many changes it remembers for those who resume.
        failing: what a method answers instead, by its name.
        silent: `Watch` says nothing at all.
        lag: None: it is a tablet of before there were bounds.
    """

    def __init__(self, fleet: FakeFleet, uid: int, shard: str, kind: str) -> None:
        self.fleet = fleet
        self.uid = uid
        self.shard = shard
        self.kind = kind
        self.port = 0
        self.told_host = "127.0.0.1"
        self.states: dict[str, migrations_pb2.MigrationState] = {}
        self.failing: dict[str, TabletdError | grpc.StatusCode] = {}
        self.watches: list[migrations_pb2.WatchRequest] = []
        self.watchers = 0
        self.silent = False
        self.health_error = ""
        self.lag_seconds = 0
        self.lag: lag_pb2.GetLagResponse | None = None
        self.log = ""
        self.plans: Sequence[migrations_pb2.Plan] = ()
        self.leftovers: Sequence[migrations_pb2.Leftover] = ()
        self.history_max = 100
        self._history: list[migrations_pb2.WatchResponse] = []
        self._sequence = 0
        self._changed = asyncio.Event()
        self._cut = asyncio.Event()
        self._runs = 0
        self._server: grpc.aio.Server | None = None

    @property
    def series(self) -> str:
        return f"{self.uid}/{self._runs}"

    @property
    def record(self) -> topodata_pb2.Tablet:
        kind = self.kind if self._server is not None else "UNKNOWN"
        return topodata_pb2.Tablet(
            alias=topodata_pb2.TabletAlias(cell="zone1", uid=self.uid),
            hostname=self.told_host,
            port_map={"grpc": self.port, "vt": 15100},
            keyspace="commerce",
            shard=self.shard,
            type=topodata_pb2.TabletType.Value(kind),
            mysql_hostname="127.0.0.1",
            mysql_port=3306,
        )

    async def start(self, credentials: grpc.ServerCredentials | None = None) -> None:
        """Listen: at a free port, later at the same one."""
        self._runs += 1
        self._history = []
        self._sequence = 0
        server = self._server = grpc.aio.server()
        for add in (
            add_VtctldServicer_to_server,
            add_MigrationsServicer_to_server,
            add_QueryServicer_to_server,
            add_LagServicer_to_server,
        ):
            add(cast(Any, _Servicer(self)), server)
        address = f"127.0.0.1:{self.port}"
        if credentials is None:
            self.port = server.add_insecure_port(address)
        else:
            self.port = server.add_secure_port(address, credentials)
        await server.start()

    async def stop(self) -> None:
        """End at once, like a daemon that is killed."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(None)

    async def cut(self) -> None:
        """End every stream, and go on."""
        self._cut.set()
        while self.watchers:
            await asyncio.sleep(0.01)
        self._cut.clear()

    def put(self, *states: migrations_pb2.MigrationState) -> None:
        """Take the states of migrations and tell those who watch."""
        for one in states:
            self.states[one.uuid] = one
            self._tell(migrations_pb2.WatchResponse(migration=one))

    def remove(self, uuid: str) -> None:
        """Forget a migration and tell those who watch."""
        del self.states[uuid]
        removed = migrations_pb2.Removed(uuid=uuid)
        self._tell(migrations_pb2.WatchResponse(removed=removed))

    def _tell(self, news: migrations_pb2.WatchResponse) -> None:
        self._sequence += 1
        news.series, news.sequence = self.series, self._sequence
        self._history = [*self._history, news][-self.history_max :]
        self._changed.set()

    async def watch(
        self, request: migrations_pb2.WatchRequest
    ) -> AsyncIterator[migrations_pb2.WatchResponse]:
        """Send the state, then what comes; as the service's comments say."""
        at = request.resume_after
        oldest = self._history[0].sequence if self._history else self._sequence + 1
        if request.resume_series != self.series or at + 1 < oldest:
            at = self._sequence
            yield self._news(reset=migrations_pb2.Reset())
            for one in list(self.states.values()):
                if _matches(request, one) and not (request.pending_only and _ended(one)):
                    yield self._news(migration=one)
        while True:
            self._changed.clear()
            for news in [news for news in self._history if news.sequence > at]:
                at = news.sequence
                if not news.HasField("migration") or _matches(request, news.migration):
                    yield news
            yield self._news(up_to_date=migrations_pb2.UpToDate())
            await self._something()
            if self._cut.is_set():
                return

    async def _something(self) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (self._changed, self._cut)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _news(self, **event: Any) -> migrations_pb2.WatchResponse:
        return migrations_pb2.WatchResponse(series=self.series, sequence=self._sequence, **event)


def _matches(request: migrations_pb2.WatchRequest, one: migrations_pb2.MigrationState) -> bool:
    return (not request.uuids or one.uuid in request.uuids) and (
        request.migration_context in ("", one.migration_context)
    )


def _ended(one: migrations_pb2.MigrationState) -> bool:
    return one.status in (SM.COMPLETE, SM.FAILED, SM.CANCELLED)


class FakeFleet:
    """Two shards of the keyspace `commerce`: a primary and a replica each.

    Attributes:
        tablets: by uid: 100 and 101 of shard -80, 200 and 201 of 80-.
        calls: what Vtctld was asked, and with which metadata.
    """

    def __init__(self, tablets: Sequence[tuple[int, str, str]]) -> None:
        self.tablets = {uid: FakeTablet(self, uid, shard, kind) for uid, shard, kind in tablets}
        self.calls: list[tuple[str, Message]] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.uuids: Sequence[str] = (UUID,)
        self.affected = {"-80": 1, "80-": 0}

    @property
    def address(self) -> str:
        """Of the tablet 100."""
        return f"127.0.0.1:{self.tablets[100].port}"

    def last(self, name: str) -> Any:
        """Return the last request to a method of Vtctld."""
        return [request for method, request in self.calls if method == name][-1]


TWO_SHARDS = (
    (100, "-80", "PRIMARY"),
    (101, "-80", "REPLICA"),
    (200, "80-", "PRIMARY"),
    (201, "80-", "REPLICA"),
)
ONE_SHARD = ((100, "-80", "PRIMARY"),)


@asynccontextmanager
async def fake_fleet(
    tablets: Sequence[tuple[int, str, str]] = TWO_SHARDS,
    credentials: grpc.ServerCredentials | None = None,
) -> AsyncGenerator[FakeFleet]:
    """Run tablets until the block is left."""
    fleet = FakeFleet(tablets)
    try:
        for tablet in fleet.tablets.values():
            await tablet.start(credentials)
        yield fleet
    finally:
        for tablet in fleet.tablets.values():
            await tablet.stop()


def own_certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """Make a key and a certificate that vouches for itself; return their PEM files."""
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", f"/CN={name}"),
            *("-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    return key, certificate


class _Servicer:
    """All services of a tablet; a method that is not here is UNIMPLEMENTED."""

    def __init__(self, tablet: FakeTablet) -> None:
        self._tablet = tablet
        self._fleet = tablet.fleet

    def __getattr__(self, name: str) -> Any:
        async def answer(request: Message, context: Any) -> Any:
            self._fleet.metadata.append(dict(context.invocation_metadata()))
            self._fleet.calls.append((name, request))
            await self._fail(name, context)
            method = getattr(self, f"_{name}", None)
            if method is not None:
                return method(request)
            return await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"no method {name}")

        return answer

    async def _fail(self, name: str, context: Any) -> None:
        error = self._tablet.failing.get(name)
        if isinstance(error, TabletdError):
            await _abort(context, error)
        elif error is not None:
            await context.abort(error, "as the test wants it")

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self._tablet.watches.append(request)
        await self._fail("Watch", context)
        if self._tablet.silent:
            await asyncio.Event().wait()
        if self._tablet.kind != "PRIMARY":
            await _abort(context, TabletdError(Reason.NOT_PRIMARY, "this tablet is a replica"))
        self._tablet.watchers += 1
        try:
            async for news in self._tablet.watch(request):
                yield news
        finally:
            self._tablet.watchers -= 1

    async def StreamHealth(self, _: Any, context: Any) -> AsyncIterator[Any]:
        await self._fail("StreamHealth", context)
        yield query_pb2.StreamHealthResponse(
            target=query_pb2.Target(
                keyspace="commerce",
                shard=self._tablet.shard,
                tablet_type=topodata_pb2.TabletType.Value(self._tablet.kind),
            ),
            serving=not self._tablet.health_error,
            realtime_stats=query_pb2.RealtimeStats(
                health_error=self._tablet.health_error,
                replication_lag_seconds=self._tablet.lag_seconds,
            ),
        )
        await asyncio.Event().wait()

    async def GetLag(self, _: Any, context: Any) -> Any:
        if self._tablet.lag is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no method GetLag")
        return self._tablet.lag

    def _Explain(self, _: Any) -> Any:
        return migrations_pb2.ExplainResponse(plans=self._tablet.plans)

    def _ListLeftovers(self, _: Any) -> Any:
        return migrations_pb2.ListLeftoversResponse(leftovers=self._tablet.leftovers)

    def _FixLeftovers(self, _: Any) -> Any:
        found = self._tablet.leftovers
        return migrations_pb2.FixLeftoversResponse(
            removed=[one for one in found if one.removable and not one.failure],
            left=[one for one in found if one.failure or not one.removable],
        )

    def _Execute(self, request: Any) -> Any:
        text = self._tablet.log.encode()
        return query_pb2.ExecuteResponse(
            result=query_pb2.QueryResult(
                fields=[query_pb2.Field(name="migration_log", type=query_pb2.TEXT)],
                rows=[query_pb2.Row(lengths=[len(text)], values=text)],
            )
        )

    def _GetKeyspaces(self, _: Any) -> Any:
        return vtctldata_pb2.GetKeyspacesResponse(
            keyspaces=[vtctldata_pb2.Keyspace(name="commerce")]
        )

    def _GetTablets(self, request: Any) -> Any:
        return vtctldata_pb2.GetTabletsResponse(
            tablets=[
                tablet.record
                for tablet in self._fleet.tablets.values()
                if request.shard in ("", tablet.shard)
            ]
        )

    def _ApplySchema(self, request: Any) -> Any:
        commands = request.sql[0].lower().startswith("alter vitess_migration")
        return vtctldata_pb2.ApplySchemaResponse(
            uuid_list=() if commands else self._fleet.uuids,
            rows_affected_by_shard=self._fleet.affected,
        )

    def _GetSchemaMigrations(self, request: Any) -> Any:
        found = [
            listed(one)
            for tablet in self._fleet.tablets.values()
            for one in tablet.states.values()
            if tablet.kind == "PRIMARY"
            and request.uuid in ("", one.uuid)
            and request.migration_context in ("", one.migration_context)
        ]
        return vtctldata_pb2.GetSchemaMigrationsResponse(migrations=found)

    def _CancelSchemaMigration(self, _: Any) -> Any:
        return vtctldata_pb2.CancelSchemaMigrationResponse(
            rows_affected_by_shard=self._fleet.affected
        )

    # The answers have the same bytes.
    _RetrySchemaMigration = _CancelSchemaMigration
    _LaunchSchemaMigration = _CancelSchemaMigration
    _CompleteSchemaMigration = _CancelSchemaMigration
    _CleanupSchemaMigration = _CancelSchemaMigration
    _ForceCutOverSchemaMigration = _CancelSchemaMigration

    def _UpdateThrottlerConfig(self, _: Any) -> Any:
        return vtctldata_pb2.UpdateThrottlerConfigResponse()


async def _abort(context: Any, error: TabletdError) -> NoReturn:
    await context.abort_with_status(error_status(error))
    raise AssertionError("unreachable")
