"""How soon a tool that has paused goes on, once its daemon is back."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Final

from tabletd.mysql.pool import Pool
from tabletd.mysql.quote import identifier
from tabletd.sandbox.daemons import Daemon, restart_daemon
from tabletd.sandbox.releases import ReleaseName
from tabletd.sandbox.sandbox import Sandbox
from tabletd.sandbox.vexec_client import VExecClient, vexec_client
from tabletd.sandbox.workload import load
from tests.bench.report import Measurement
from tests.bench.stage import pool_to, stage, wait_for_sidecar

_TABLE: Final = "orders"
_ROWS: Final = 100_000
_RUNS: Final = 10
_SECONDS_MAX: Final = 2.0
_STILL_SECONDS: Final = 3.0
_WITHIN_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.01
# Enough to do for all runs.
_CASES: Final = (
    (ReleaseName.MYSQL_57, "gh-ost", "--chunk-size=50 --nice-ratio=5"),
    (ReleaseName.MARIADB, "pt-osc", "--chunk-size=50 --chunk-time=0 --sleep=0.02"),
)


async def measure() -> list[Measurement]:
    """Kill each tool's daemon again and again, and start it at the same address."""
    measurements: list[Measurement] = []
    for server, strategy, options in _CASES:
        async with (
            stage(f"resume-{strategy}", server, replicas=0) as sandbox,
            pool_to(sandbox.primary.server) as pool,
        ):
            await wait_for_sidecar(sandbox)
            await load(pool, sandbox.keyspace, _TABLE, _ROWS)
            async with vexec_client(sandbox.primary.daemon.grpc, sandbox.keyspace) as client:
                uuid, copy = await _begin(client, pool, sandbox, strategy, options)
            daemon = sandbox.primary.daemon
            seconds: list[float] = []
            for _ in range(_RUNS):
                daemon, took = await _kill_and_restart(daemon, pool, copy)
                seconds.append(took)
            async with vexec_client(daemon.grpc, sandbox.keyspace) as client:
                await _cancel(client, uuid)
            await asyncio.to_thread(daemon.terminate)
        measurements.append(_line(f"{strategy} on {server.value}", seconds))
    return measurements


def _line(title: str, seconds: list[float]) -> Measurement:
    return Measurement(
        f"{title}: from the daemon's return until the next rows are copied ({len(seconds)} runs)",
        f"{max(seconds):.2f} s at most (median {statistics.median(seconds):.2f} s)",
        goal=f"within {_SECONDS_MAX:.0f} s",
        is_met=max(seconds) <= _SECONDS_MAX,
    )


async def _begin(
    client: VExecClient, pool: Pool, sandbox: Sandbox, strategy: str, options: str
) -> tuple[str, str]:
    """Let a tool copy the table; return the migration's UUID, and the copy's name, quoted."""
    statement = f"ALTER TABLE {_TABLE} ADD COLUMN extra INT NULL"
    uuid = await client.submit(_TABLE, statement, strategy, options=options)
    async with asyncio.timeout(_WITHIN_SECONDS):
        while int((await client.migration(uuid))["rows_copied"] or 0) == 0:
            await asyncio.sleep(_LOOK_SECONDS)
    names = await pool.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = %s"
        " AND table_name LIKE %s",
        (sandbox.keyspace, f"%{uuid}%"),
    )
    (copy,) = [str(name) for (name,) in names.rows if str(name).endswith(("_gho", "_new"))]
    return uuid, identifier(sandbox.keyspace, copy)


async def _cancel(client: VExecClient, migration_uuid: str) -> None:
    await client.cancel(migration_uuid)
    async with asyncio.timeout(_WITHIN_SECONDS):
        while (await client.migration(migration_uuid))["run_nonce"]:
            await asyncio.sleep(_LOOK_SECONDS)


async def _kill_and_restart(daemon: Daemon, pool: Pool, copy: str) -> tuple[Daemon, float]:
    """Return the daemon that came back, and the seconds until its tool had copied more."""
    await asyncio.to_thread(daemon.kill)
    last, since = -1, time.monotonic()
    async with asyncio.timeout(_WITHIN_SECONDS):
        while time.monotonic() - since < _STILL_SECONDS:
            now = await _last_key(pool, copy)
            if now != last:
                last, since = now, time.monotonic()
            await asyncio.sleep(_LOOK_SECONDS)
        async with asyncio.TaskGroup() as group:
            starting = group.create_task(asyncio.to_thread(restart_daemon, daemon))
            answers_at = await _answers(daemon)
            while await _last_key(pool, copy) == last:
                await asyncio.sleep(_LOOK_SECONDS)
            goes_on_at = time.monotonic()
    return starting.result(), goes_on_at - answers_at


async def _answers(daemon: Daemon) -> float:
    """Return when the daemon's HTTP port was open."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", daemon.http_port)
        except OSError:
            await asyncio.sleep(_LOOK_SECONDS)
        else:
            writer.close()
            return time.monotonic()


async def _last_key(pool: Pool, copy: str) -> int:
    return int((await pool.execute(f"SELECT MAX(id) FROM {copy}")).scalar() or 0)
