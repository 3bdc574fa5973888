"""How soon a change of a migration's state reaches each of a hundred watchers."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from typing import Any, Final, cast

import grpc.aio

from tabletd.sandbox.vexec_client import VExecClient, vexec_client
from tabletd_pb import migrations_pb2 as pb
from tabletd_pb import migrations_pb2_grpc, vtctldata_pb2
from tests.bench.report import Measurement
from tests.bench.stage import stage, wait_for_sidecar

_WATCHERS: Final = 100
_CHANGES: Final = 50
_PAUSE_SECONDS: Final = 0.1
_P99_SECONDS_MAX: Final = 0.2
_CANCELLED: Final = vtctldata_pb2.SchemaMigration.CANCELLED


async def measure() -> list[Measurement]:
    """Cancel migrations one by one, and note when each watcher has the news."""
    async with stage("watch", replicas=0) as sandbox:
        await wait_for_sidecar(sandbox)
        address = sandbox.primary.daemon.grpc
        async with vexec_client(address, "commerce") as client, asyncio.TaskGroup() as group:
            statement = "ALTER TABLE orders ADD c INT"
            uuids = [
                await client.submit("orders", statement, "pt-osc", options="--postpone-launch")
                for _ in range(_CHANGES)
            ]
            arrivals: dict[str, list[float]] = {uuid: [] for uuid in uuids}
            ready = asyncio.Semaphore(0)
            for _ in range(_WATCHERS):
                group.create_task(_watch(address, arrivals, ready))
            for _ in range(_WATCHERS):
                await ready.acquire()
            seconds = await _cancel_all(client, arrivals)
    p99 = statistics.quantiles(seconds, n=100)[98]
    return [
        Measurement(
            f"a change of state until each of {_WATCHERS} watchers has it (p99 of {len(seconds)})",
            f"{p99 * 1e3:.0f} ms (median {statistics.median(seconds) * 1e3:.0f} ms)",
            goal=f"at most {_P99_SECONDS_MAX * 1e3:.0f} ms",
            is_met=p99 <= _P99_SECONDS_MAX,
        ),
    ]


async def _watch(address: str, arrivals: dict[str, list[float]], ready: asyncio.Semaphore) -> None:
    """Watch on a connection of its own until all have been cancelled."""
    left = len(arrivals)
    # Else all channels of a process to one address share a connection.
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        stub = cast(Any, migrations_pb2_grpc.MigrationsStub)(channel)
        stream = cast("AsyncIterator[pb.WatchResponse]", stub.Watch(pb.WatchRequest()))
        async for news in stream:
            if news.WhichOneof("event") == "up_to_date":
                ready.release()
            elif news.migration.uuid in arrivals and news.migration.status == _CANCELLED:
                arrivals[news.migration.uuid].append(time.perf_counter())
                left -= 1
                if not left:
                    return


async def _cancel_all(client: VExecClient, arrivals: dict[str, list[float]]) -> list[float]:
    """Return the seconds from each request until each watcher had the news."""
    sent: dict[str, float] = {}
    for uuid in arrivals:
        sent[uuid] = time.perf_counter()
        await client.cancel(uuid)
        await asyncio.sleep(_PAUSE_SECONDS)
    async with asyncio.timeout(10):
        while any(len(times) < _WATCHERS for times in arrivals.values()):
            await asyncio.sleep(_PAUSE_SECONDS)
    return [moment - sent[uuid] for uuid, times in arrivals.items() for moment in times]
