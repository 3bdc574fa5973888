"""How fast a VExec SELECT of 100 rows is answered, against a bare handler in the same run."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio

from tabletd.sandbox.daemons import Daemon, start_daemon
from tabletd.sandbox.sandbox import Sandbox
from tabletd.sandbox.servers import free_port
from tabletd.sandbox.vexec_client import literal, new_migration_uuid
from tabletd_pb import tabletmanagerdata_pb2
from tests.bench.report import Measurement
from tests.bench.stage import pool_to, stage, wait_for_sidecar

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
_ROUNDS = 5
_ROUND_SECONDS = 3.0
_RATIO_MIN = 0.75


@dataclass
class _Series:
    """What one server showed over all rounds."""

    calls_per_second: list[float] = field(default_factory=list[float])
    seconds: list[float] = field(default_factory=list[float])

    @property
    def throughput(self) -> float:
        return statistics.median(self.calls_per_second)

    @property
    def p99_ms(self) -> float:
        return statistics.quantiles(self.seconds, n=100)[98] * 1e3

    def __str__(self) -> str:
        return f"{self.throughput:.0f} calls/s, p99 {self.p99_ms:.0f} ms"


async def measure() -> list[Measurement]:
    """Let the bare handler, the daemon and the traced daemon answer in turn."""
    measurements: list[Measurement] = []
    async with stage("vexec", replicas=0) as sandbox, _bare_handler(sandbox) as bare:
        await _fill(sandbox)
        async with _collector() as (endpoint, spans), _traced_daemon(sandbox, endpoint) as traced:
            addresses = {
                "bare": bare,
                "tracing off": sandbox.primary.daemon.grpc,
                "tracing on": traced.grpc,
            }
            for title, query in _QUERIES.items():
                series = {name: _Series() for name in addresses}
                for _ in range(_ROUNDS):
                    for name, address in addresses.items():
                        await _round(address, query, series[name])
                measurements += _lines(title, series)
        assert spans.is_set(), "the traced daemon has sent no span"
    return measurements


def _lines(title: str, series: dict[str, _Series]) -> list[Measurement]:
    bare = series.pop("bare")
    lines: list[Measurement] = []
    for name, ours in series.items():
        ratio = ours.throughput / bare.throughput
        has_goal = name == "tracing off"
        lines.append(
            Measurement(
                f"VExec SELECT of {_ROWS} rows, {title}, {_IN_FLIGHT} in flight, {name}",
                str(ours),
                str(bare),
                f"{ratio:.2f}",
                f"at least {_RATIO_MIN}" if has_goal else "",
                ratio >= _RATIO_MIN if has_goal else None,
            )
        )
    return lines


async def _round(address: str, query: str, series: _Series) -> None:
    request = tabletmanagerdata_pb2.VExecRequest(query=query, keyspace="commerce")
    payload = request.SerializeToString()
    # A newcomer's client reads rows; the load must not be the bottleneck, so it only counts.
    async with grpc.aio.insecure_channel(address) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_METHOD)
        answer: bytes = await call(payload, timeout=10)
        response = tabletmanagerdata_pb2.VExecResponse.FromString(answer)
        assert len(response.result.rows) == _ROWS
        seconds: list[float] = []
        start = time.monotonic()
        end = start + _ROUND_SECONDS

        async def keep_calling() -> None:
            while (sent := time.monotonic()) < end:
                await call(payload, timeout=30)
                seconds.append(time.monotonic() - sent)

        async with asyncio.TaskGroup() as group:
            for _ in range(_IN_FLIGHT):
                group.create_task(keep_calling())
        series.calls_per_second.append(len(seconds) / (time.monotonic() - start))
        series.seconds += seconds


async def _fill(sandbox: Sandbox) -> None:
    rows = ", ".join(
        f"({literal(new_migration_uuid())}, 'commerce', '0', 'commerce', 'orders', "
        "'ALTER TABLE orders ADD COLUMN a INT', 'gh-ost', '', 'alter', 'bench:1', 'complete', "
        "NOW(), NOW(), NOW(6), 'host:/tmp/x')"
        for _ in range(_ROWS)
    )
    await wait_for_sidecar(sandbox)
    async with pool_to(sandbox.primary.server) as pool, pool.session() as session:
        # Columns that say nothing here get the empty text that a lenient session gives them.
        await session.execute("SET SESSION sql_mode = ''")
        session.drop_afterwards()
        await session.execute(
            "INSERT INTO _vt.schema_migrations (migration_uuid, keyspace, shard, mysql_schema, "
            "mysql_table, migration_statement, strategy, options, ddl_action, migration_context, "
            "migration_status, requested_timestamp, started_timestamp, completed_timestamp, "
            f"log_path) VALUES {rows}"
        )


@asynccontextmanager
async def _bare_handler(sandbox: Sandbox) -> AsyncGenerator[str]:
    port = free_port()
    socket = sandbox.primary.server.socket
    command = [sys.executable, "-m", "tests.bench.bare_handler", str(socket), str(port)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    address = f"127.0.0.1:{port}"
    try:
        async with grpc.aio.insecure_channel(address) as channel, asyncio.timeout(15):
            await channel.channel_ready()
        yield address
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 10)


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
