"""A long queue, small migrations that finish all the time, and many clients, at once.

The daemon is looked at twice in the same run: with nothing to do, and under that load.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import grpc.aio
import psutil

from tabletd.mysql.pool import Pool
from tabletd.sandbox.sandbox import Sandbox
from tabletd.sandbox.vexec_client import (
    VExecClient,
    literal,
    new_migration_uuid,
    vexec_client,
)
from tabletd_pb import migrations_pb2 as pb
from tabletd_pb import migrations_pb2_grpc
from tests.bench.beats import heartbeat_gaps, keep_heartbeats
from tests.bench.report import Measurement
from tests.bench.stage import pool_to, stage, wait_for_sidecar
from tests.bench.tick import tick_seconds

_QUEUED: Final = 1_000
_CLIENTS: Final = 200
# How many arrive at a time: each is told of the whole queue first.
_AT_ONCE: Final = 10
_PER_MINUTE: Final = 50
# A table is created, altered and dropped; a little faster than what is asked for.
_ROUND_SECONDS: Final = 3 * 60.0 / (_PER_MINUTE + 4)
_PARTS: Final = 3
_TICKS: Final = 5
_INTERVAL_SECONDS: Final = 1.0
_DEVIATION_MAX: Final = 0.1
_SETTINGS: Final = {
    "heartbeat_interval": f"{_INTERVAL_SECONDS:g}s",
    "max_concurrent_migrations": "4",
    "table_gc_lifecycle": "drop",
}
# Else all channels of a process to one address share a connection.
_OWN_CONNECTION: Final = (("grpc.use_local_subchannel_pool", 1),)
_WITHIN_SECONDS: Final = 120.0


@dataclass(frozen=True)
class _Look:
    """What a daemon did in some seconds: heartbeats by their own time, core share, memory."""

    gaps: tuple[float, ...]
    core_share: float
    resident_mb: float

    @property
    def late(self) -> int:
        """How many heartbeats were off by more than is allowed."""
        return sum(abs(gap / _INTERVAL_SECONDS - 1) > _DEVIATION_MAX for gap in self.gaps)

    @property
    def words(self) -> str:
        ordered = sorted(self.gaps)
        return (
            f"{ordered[0]:.3f} to {ordered[-1]:.3f} s, "
            f"{self.late} of {len(ordered)} off by more than {_DEVIATION_MAX:.0%}"
        )


async def measure() -> list[Measurement]:
    """Look at the daemon for LOAD_SECONDS (180) without and with load."""
    seconds = float(os.environ.get("LOAD_SECONDS", "180"))
    async with (
        stage("load", replicas=0, settings=_SETTINGS) as sandbox,
        pool_to(sandbox.primary.server) as pool,
        vexec_client(sandbox.primary.daemon.grpc, sandbox.keyspace) as client,
    ):
        await wait_for_sidecar(sandbox)
        await keep_heartbeats(pool, sandbox.keyspace)
        quiet = await _look(sandbox, pool, seconds)
        queued = await _queue(pool, sandbox.keyspace)
        tick_before = await tick_seconds(pool, pending=_QUEUED, ticks=_TICKS)
        finished: list[str] = []
        ready = asyncio.Semaphore(0)
        async with asyncio.TaskGroup() as group:
            address = sandbox.primary.daemon.grpc
            tasks: list[asyncio.Task[None]] = []
            for uuid in queued[:_CLIENTS]:
                watching = _watch_and_poll(address, sandbox.keyspace, uuid, ready)
                tasks.append(group.create_task(watching))
                if len(tasks) > _AT_ONCE:
                    await ready.acquire()
            for _ in range(_AT_ONCE):
                await ready.acquire()
            tasks.append(group.create_task(_work(client, finished)))
            await asyncio.sleep(4 * _ROUND_SECONDS)
            finished.clear()
            loaded = [await _look(sandbox, pool, seconds / _PARTS) for _ in range(_PARTS)]
            per_minute = 60 * len(finished) / seconds
            for task in tasks:
                task.cancel()
        gc.collect()
        tick_after = await tick_seconds(pool, pending=_QUEUED, ticks=_TICKS)
    return _lines(quiet, loaded, per_minute, tick_before, tick_after)


def _lines(
    quiet: _Look, loaded: Sequence[_Look], per_minute: float, tick_before: float, tick_after: float
) -> list[Measurement]:
    load = f"{_QUEUED:,} queued, {_CLIENTS} clients"
    first, last = loaded[0], loaded[-1]
    everything = _Look(
        tuple(gap for look in loaded for gap in look.gaps), last.core_share, last.resident_mb
    )
    return [
        Measurement(
            f"small migrations finished per minute, {load}",
            f"{per_minute:.0f}",
            goal=f"at least {_PER_MINUTE}",
            is_met=per_minute >= _PER_MINUTE,
        ),
        Measurement(
            f"time between heartbeats, due each {_INTERVAL_SECONDS:g} s, {load}, against no load",
            everything.words,
            quiet.words,
            goal=f"each within {_DEVIATION_MAX:.0%}",
            is_met=not everything.late,
        ),
        _flat("resident memory", "MB", first.resident_mb, last.resident_mb, load, most=1.05),
        _flat("share of a core", "%", first.core_share * 100, last.core_share * 100, load),
        _flat("scheduler tick", "ms", tick_before * 1e3, tick_after * 1e3, load),
        Measurement(
            f"what the load costs: share of a core, {load}, against no load",
            f"{last.core_share:.0%}",
            f"{quiet.core_share:.0%}",
        ),
    ]


def _flat(
    what: str, unit: str, first: float, last: float, load: str, *, most: float = 1.2
) -> Measurement:
    return Measurement(
        f"{what} at the end against the begin, {load}",
        f"{last:.1f} {unit}",
        f"{first:.1f} {unit}",
        f"{last / first:.2f}",
        f"at most {most}",
        last <= most * first,
    )


async def _look(sandbox: Sandbox, pool: Pool, seconds: float) -> _Look:
    process = psutil.Process(sandbox.primary.daemon.identity.pid)
    began, cpu_before = time.monotonic(), sum(process.cpu_times()[:2])
    gaps = await heartbeat_gaps(pool, sandbox.keyspace, seconds)
    cpu_seconds = sum(process.cpu_times()[:2]) - cpu_before
    core_share = cpu_seconds / (time.monotonic() - began)
    return _Look(gaps, core_share, process.memory_info().rss / 1e6)


async def _queue(pool: Pool, schema: str) -> list[str]:
    """Put migrations into the queue that wait to be launched; return their UUIDs."""
    uuids = [new_migration_uuid() for _ in range(_QUEUED)]
    rows = [
        f"('{uuid}', '{schema}', '0', '{schema}', 'waiting{number}', 'pt-osc', 'alter', 'queued',"
        f" 'ALTER TABLE waiting{number} ADD COLUMN c INT', '--postpone-launch', 1)"
        for number, uuid in enumerate(uuids)
    ]
    async with pool.session() as session:
        # Columns that say nothing here get the empty text that a lenient session gives them.
        await session.execute("SET SESSION sql_mode = ''")
        session.drop_afterwards()
        await session.execute(
            "INSERT INTO _vt.schema_migrations (migration_uuid, keyspace, shard, mysql_schema,"
            " mysql_table, strategy, ddl_action, migration_status, migration_statement, options,"
            f" postpone_launch) VALUES {', '.join(rows)}"
        )
    return uuids


async def _work(client: VExecClient, finished: list[str]) -> None:
    """Begin a round with another table at a fixed pace, whatever becomes of those before."""
    async with asyncio.TaskGroup() as group:
        number = 0
        while True:
            group.create_task(_round(client, f"small{number}", finished))
            number += 1
            await asyncio.sleep(_ROUND_SECONDS)


async def _round(client: VExecClient, table: str, finished: list[str]) -> None:
    for action, statement, strategy in (
        ("create", f"CREATE TABLE {table} (id INT PRIMARY KEY)", "direct"),
        ("alter", f"ALTER TABLE {table} ADD COLUMN note INT", "pt-osc"),
        ("drop", f"DROP TABLE {table}", "direct"),
    ):
        uuid = await client.submit(table, statement, strategy, ddl_action=action)
        await client.wait(uuid, until={"complete"}, within_seconds=_WITHIN_SECONDS)
        finished.append(uuid)


async def _watch_and_poll(
    address: str, keyspace: str, migration_uuid: str, ready: asyncio.Semaphore
) -> None:
    """Follow all news, and ask for one migration once a second, on a connection of its own."""
    async with grpc.aio.insecure_channel(address, options=_OWN_CONNECTION) as channel:
        client = VExecClient(channel, keyspace)
        stub = cast(Any, migrations_pb2_grpc.MigrationsStub)(channel)
        stream = cast("AsyncIterator[pb.WatchResponse]", stub.Watch(pb.WatchRequest()))

        async def poll() -> None:
            where = f"migration_uuid = {literal(migration_uuid)}"
            query = f"SELECT * FROM _vt.schema_migrations WHERE {where}"
            while True:
                await client.vexec(query, timeout_seconds=_WITHIN_SECONDS)
                await asyncio.sleep(1)

        async with asyncio.TaskGroup() as group:
            is_ready = False
            async for news in stream:
                if not is_ready and news.WhichOneof("event") == "up_to_date":
                    is_ready = True
                    ready.release()
                    group.create_task(poll())
