"""How many calls a server answers, in rounds that several servers take in turn."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio
import psutil

from tabletd.sandbox.sandbox import Sandbox
from tabletd.sandbox.servers import free_port
from tabletd.sandbox.vexec_client import literal, new_migration_uuid
from tests.bench.report import Measurement
from tests.bench.stage import pool_to, wait_for_sidecar

RATIO_MIN = 0.75
_ROUNDS = 5
_ROUND_SECONDS = 3.0
_OPTIONS = (("grpc.max_receive_message_length", 16 * 1024 * 1024),)


@dataclass
class Series:
    """What one server showed over all rounds.

    Attributes:
        calls_per_second: of each round.
        seconds: that each call took.
        processor_seconds: of the server's process for a call, in each round that looked at it.
    """

    calls_per_second: list[float] = field(default_factory=list[float])
    seconds: list[float] = field(default_factory=list[float])
    processor_seconds: list[float] = field(default_factory=list[float])

    @property
    def throughput(self) -> float:
        return statistics.median(self.calls_per_second)

    @property
    def p99_ms(self) -> float:
        return statistics.quantiles(self.seconds, n=100)[98] * 1e3

    def __str__(self) -> str:
        return f"{self.throughput:.0f} calls/s, p99 {self.p99_ms:.0f} ms"


@dataclass(frozen=True)
class Call:
    """One call that is made again and again.

    Attributes:
        method: its full name.
        payload: the request as it travels.
        in_flight: how many at the same time.
    """

    method: str
    payload: bytes
    in_flight: int

    async def once(self, address: str) -> bytes:
        """Make it once; return the answer as it travels."""
        async with grpc.aio.insecure_channel(address, options=_OPTIONS) as channel:
            unary: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(self.method)
            answer: bytes = await unary(self.payload, timeout=10)
            return answer


async def in_turn(
    call: Call, addresses: Mapping[str, str], pids: Mapping[str, int] | None = None
) -> dict[str, Series]:
    """Call each server in turn, round after round.

    Args:
        call: what is called.
        addresses: of the servers, by name.
        pids: of those whose processor time is wanted, by name.
    """
    series = {name: Series() for name in addresses}
    processes = {name: psutil.Process(pid) for name, pid in (pids or {}).items()}
    for _ in range(_ROUNDS):
        for name, address in addresses.items():
            before = _busy_seconds(processes.get(name))
            calls = await _round(call, address, series[name])
            if name in processes:
                spent = _busy_seconds(processes[name]) - before
                series[name].processor_seconds.append(spent / calls)
    return series


def _busy_seconds(process: psutil.Process | None) -> float:
    if process is None:
        return 0.0
    times = process.cpu_times()
    return times.user + times.system


def compared(what: str, ours: Series, bare: Series, *, has_goal: bool = True) -> Measurement:
    """Return the line that holds ours against the bare handler's."""
    ratio = ours.throughput / bare.throughput
    return Measurement(
        what,
        str(ours),
        str(bare),
        f"{ratio:.2f}",
        f"at least {RATIO_MIN}" if has_goal else "",
        ratio >= RATIO_MIN if has_goal else None,
    )


async def _round(call: Call, address: str, series: Series) -> int:
    """Call for some seconds; returns how many calls were answered."""
    # The load must not be the bottleneck: answers are counted, not read.
    async with grpc.aio.insecure_channel(address, options=_OPTIONS) as channel:
        unary: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(call.method)
        await unary(call.payload, timeout=10)
        seconds: list[float] = []
        start = time.monotonic()
        end = start + _ROUND_SECONDS

        async def keep_calling() -> None:
            while (sent := time.monotonic()) < end:
                await unary(call.payload, timeout=30)
                seconds.append(time.monotonic() - sent)

        async with asyncio.TaskGroup() as group:
            for _ in range(call.in_flight):
                group.create_task(keep_calling())
        series.calls_per_second.append(len(seconds) / (time.monotonic() - start))
        series.seconds += seconds
        return len(seconds)


@asynccontextmanager
async def bare_handler(sandbox: Sandbox) -> AsyncGenerator[str]:
    """Run the bare handler beside the sandbox's primary; yields its address."""
    socket = sandbox.primary.server.socket
    async with bare_process("tests.bench.bare_handler", str(socket)) as bare:
        yield bare.address


@dataclass(frozen=True)
class BareServer:
    """A bare server that runs."""

    address: str
    pid: int


@asynccontextmanager
async def bare_process(module: str, *arguments: str) -> AsyncGenerator[BareServer]:
    """Run a bare server, a module whose last argument is its port."""
    port = free_port()
    command = [sys.executable, "-m", module, *arguments, str(port)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    address = f"127.0.0.1:{port}"
    try:
        async with grpc.aio.insecure_channel(address) as channel, asyncio.timeout(15):
            await channel.channel_ready()
        yield BareServer(address, process.pid)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 10)


async def fill(sandbox: Sandbox, rows_count: int) -> None:
    """Write finished migrations."""
    rows = ", ".join(
        f"({literal(new_migration_uuid())}, 'commerce', '0', 'commerce', 'orders', "
        "'ALTER TABLE orders ADD COLUMN a INT', 'gh-ost', '', 'alter', 'bench:1', 'complete', "
        "NOW(), NOW(), NOW(6), 'host:/tmp/x')"
        for _ in range(rows_count)
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
