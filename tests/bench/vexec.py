"""How fast a VExec SELECT of 100 rows is answered, against a bare handler in the same run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import grpc
import grpc.aio

from tabletd.sandbox.daemons import Daemon, start_daemon
from tabletd.sandbox.sandbox import Sandbox
from tabletd_pb import tabletmanagerdata_pb2
from tests.bench.report import Measurement
from tests.bench.stage import stage
from tests.bench.throughput import Call, Series, bare_handler, compared, fill, in_turn

_METHOD = "/tabletmanagerservice.TabletManager/VExec"
_QUERIES = {
    # What `vtctl OnlineDDL <keyspace> show all` sends.
    "9 columns": (
        "SELECT shard, mysql_schema, mysql_table, ddl_action, migration_uuid, strategy, "
        "started_timestamp, completed_timestamp, migration_status FROM _vt.schema_migrations"
    ),
    "all columns": "SELECT * FROM _vt.schema_migrations",
}
_ROWS = 100
_IN_FLIGHT = 64


async def measure() -> list[Measurement]:
    """Let the bare handler, the daemon and the traced daemon answer in turn."""
    measurements: list[Measurement] = []
    async with stage("vexec", replicas=0) as sandbox, bare_handler(sandbox) as bare:
        await fill(sandbox, _ROWS)
        async with _collector() as (endpoint, spans), _traced_daemon(sandbox, endpoint) as traced:
            addresses = {
                "bare": bare,
                "tracing off": sandbox.primary.daemon.grpc,
                "tracing on": traced.grpc,
            }
            for title, query in _QUERIES.items():
                request = tabletmanagerdata_pb2.VExecRequest(query=query, keyspace="commerce")
                call = Call(_METHOD, request.SerializeToString(), _IN_FLIGHT)
                for address in addresses.values():
                    answer = tabletmanagerdata_pb2.VExecResponse.FromString(
                        await call.once(address)
                    )
                    assert len(answer.result.rows) == _ROWS
                measurements += _lines(title, await in_turn(call, addresses))
        assert spans.is_set(), "the traced daemon has sent no span"
    return measurements


def _lines(title: str, series: dict[str, Series]) -> list[Measurement]:
    bare = series.pop("bare")
    return [
        compared(
            f"VExec SELECT of {_ROWS} rows, {title}, {_IN_FLIGHT} in flight, {name}",
            ours,
            bare,
            has_goal=name == "tracing off",
        )
        for name, ours in series.items()
    ]


@asynccontextmanager
async def _traced_daemon(sandbox: Sandbox, endpoint: str) -> AsyncGenerator[Daemon]:
    """A second daemon beside the same server, sending its spans to the collector."""
    variables = (
        f"OTEL_EXPORTER_OTLP_ENDPOINT={endpoint}",
        "OTEL_EXPORTER_OTLP_INSECURE=true",
        "OTEL_TRACES_EXPORTER=otlp",
    )
    daemon = await asyncio.to_thread(
        start_daemon,
        sandbox.primary.server,
        sandbox.directory / "traced",
        alias="zone1-0000000900",
        keyspace=sandbox.keyspace,
        launcher=("env", *variables),
    )
    try:
        yield daemon
    finally:
        await asyncio.to_thread(daemon.terminate)


@asynccontextmanager
async def _collector() -> AsyncGenerator[tuple[str, asyncio.Event]]:
    """Take spans and metrics and forget them, as cheaply as possible.

    Yields:
        the address, and an event that is set by the first spans.
    """
    spans = asyncio.Event()

    async def export_spans(request: bytes, context: object) -> bytes:
        spans.set()
        return b""

    async def export(request: bytes, context: object) -> bytes:
        return b""

    server = grpc.aio.server()
    services = {
        "trace.v1.TraceService": export_spans,
        "metrics.v1.MetricsService": export,
        "logs.v1.LogsService": export,
    }
    for name, method in services.items():
        handler = grpc.method_handlers_generic_handler(
            f"opentelemetry.proto.collector.{name}",
            {"Export": grpc.unary_unary_rpc_method_handler(method)},
        )
        server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"http://127.0.0.1:{port}", spans
    finally:
        await server.stop(None)
