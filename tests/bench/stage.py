"""The servers and daemons that a benchmark runs on: a sandbox of its own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tabletd.mysql.pool import Pool
from tabletd.mysql.quote import identifier
from tabletd.mysql.settings import MySQLSettings
from tabletd.sandbox.releases import ReleaseName
from tabletd.sandbox.removal import stop_sandbox
from tabletd.sandbox.sandbox import UNSHARDED, Sandbox, SandboxRequest, start_sandbox
from tabletd.sandbox.servers import Server
from tabletd.sandbox.workload import Workload, load


@asynccontextmanager
async def stage(
    name: str,
    server: ReleaseName = ReleaseName.MARIADB,
    *,
    replicas: int = 1,
    shards: Sequence[str] = (UNSHARDED,),
    settings: Mapping[str, str] | None = None,
) -> AsyncGenerator[Sandbox]:
    """Start a sandbox for the length of a block."""
    full_name = f"bench-{name}-{os.getpid()}"
    request = SandboxRequest(full_name, server, replicas, shards, settings=settings or {})
    sandbox = await asyncio.to_thread(start_sandbox, request)
    try:
        yield sandbox
    finally:
        await asyncio.to_thread(stop_sandbox, full_name)


@asynccontextmanager
async def pool_to(server: Server, *, raw: bool = False) -> AsyncGenerator[Pool]:
    """Connect to a server of the stage as root for the length of a block."""
    settings = MySQLSettings(unix_socket=str(server.socket), user="root", password="")
    pool = Pool(settings, name="Bench", raw=raw)
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def application(
    sandbox: Sandbox, table: str, rows: int, transactions_per_second: float
) -> AsyncGenerator[None]:
    """Have an application write into a new table of the primary for the length of a block."""
    stopped = asyncio.Event()
    async with pool_to(sandbox.primary.server) as pool:
        name = f"{identifier(sandbox.keyspace)}.{identifier(table)}"
        await pool.execute(f"DROP TABLE IF EXISTS {name}")
        book = await load(pool, sandbox.keyspace, table, rows)
        writers = Workload(
            pool,
            sandbox.keyspace,
            table,
            book,
            transactions_per_second=transactions_per_second,
        )
        task = asyncio.create_task(writers.run(stopped))
        try:
            yield
        finally:
            stopped.set()
            await task


@asynccontextmanager
async def beside(module: str, *arguments: str) -> AsyncGenerator[None]:
    """Run a module of this package in a process of its own for the length of a block."""
    command = [sys.executable, "-m", f"tests.bench.{module}", *arguments]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    try:
        yield
    finally:
        process.kill()
        await asyncio.to_thread(process.wait, 10)


async def debug_vars(address: str) -> dict[str, Any]:
    """Read a daemon's counters."""

    def read() -> dict[str, Any]:
        with urllib.request.urlopen(f"http://{address}/debug/vars", timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    return await asyncio.to_thread(read)


async def wait_for_sidecar(sandbox: Sandbox, within_seconds: float = 15.0) -> None:
    """Wait until the primary's daemon has made its tables."""
    async with asyncio.timeout(within_seconds), pool_to(sandbox.primary.server) as pool:
        probe = "SELECT COUNT(*) FROM information_schema.tables WHERE table_name = %s"
        while (await pool.execute(probe, ("schema_migrations",))).scalar() != 1:
            await asyncio.sleep(0.05)
