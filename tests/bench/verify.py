"""What comparing every row costs, against the copying of the same rows by the tool."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from pathlib import Path
from typing import Final

from tabletd.executor import ddl
from tabletd.executor.migration import Migration, Strategy
from tabletd.executor.verify import open_comparison
from tabletd.mysql.pool import Pool
from tabletd.sandbox.releases import ReleaseName
from tabletd.sandbox.sandbox import Sandbox
from tabletd.sandbox.vexec_client import Record, VExecClient, vexec_client
from tabletd.sandbox.workload import load
from tests.bench.report import Measurement
from tests.bench.stage import pool_to, stage, wait_for_sidecar

_TABLE: Final = "orders"
_STATEMENTS: Final = {
    "a column added": f"ALTER TABLE {_TABLE} ADD COLUMN extra INT NULL",
    "types changed": f"ALTER TABLE {_TABLE} MODIFY amount DECIMAL(16,4) NOT NULL,"
    " MODIFY note VARCHAR(300), MODIFY changed DATETIME(3) NOT NULL",
}
_HELD: Final = "--postpone-completion --verify=false"
_LOOKS: Final = 3
_RATIO_MAX: Final = 0.25
_CASES: Final = (
    (ReleaseName.MYSQL_57, Strategy.GH_OST),
    (ReleaseName.MYSQL_57, Strategy.PT_OSC),
    (ReleaseName.MARIADB, Strategy.PT_OSC),
)
# What the hooks write when copying begins and when it is through.
_MARKS: Final = {
    Strategy.GH_OST: ("before-row-copy", "row-copy-complete"),
    Strategy.PT_OSC: ("before_copy_rows", "holding"),
}
_WITHIN_SECONDS: Final = 900.0


async def measure() -> list[Measurement]:
    """Have each tool copy a table of ROWS rows, and compare both while it waits."""
    rows = int(os.environ.get("ROWS", "1000000"))
    measurements: list[Measurement] = []
    for server, strategy in _CASES:
        async with (
            stage(f"verify-{strategy}-{server.value[0]}", server, replicas=0) as sandbox,
            pool_to(sandbox.primary.server) as pool,
            vexec_client(sandbox.primary.daemon.grpc, sandbox.keyspace) as client,
        ):
            await wait_for_sidecar(sandbox)
            await load(pool, sandbox.keyspace, _TABLE, rows)
            for what, statement in _STATEMENTS.items():
                title = f"{strategy} on {server.value}, {rows:,} rows, {what}"
                measurements.append(
                    await _measure(title, sandbox, pool, client, strategy, statement)
                )
    return measurements


async def _measure(
    title: str,
    sandbox: Sandbox,
    pool: Pool,
    client: VExecClient,
    strategy: Strategy,
    statement: str,
) -> Measurement:
    uuid = await client.submit(_TABLE, statement, strategy, options=_HELD)
    record = await _held(client, uuid)
    began, ended = (
        (Path(record["run_directory"] or "") / f"report.{mark}").stat().st_mtime
        for mark in _MARKS[strategy]
    )
    copied_seconds = ended - began
    compared = [await _compare(sandbox, pool, record) for _ in range(_LOOKS)]
    compared_seconds = statistics.median(compared)
    await client.cancel(uuid)
    await client.wait(uuid, until={"cancelled"}, within_seconds=60)
    ratio = compared_seconds / copied_seconds
    return Measurement(
        f"{title}: comparing against copying",
        f"{compared_seconds:.2f} s",
        f"{copied_seconds:.2f} s",
        f"{ratio:.2f}",
        f"at most {_RATIO_MAX:.2f}",
        ratio <= _RATIO_MAX,
    )


async def _held(client: VExecClient, migration_uuid: str) -> Record:
    async with asyncio.timeout(_WITHIN_SECONDS):
        while True:
            record = await client.wait(
                migration_uuid, until={"running"}, within_seconds=_WITHIN_SECONDS
            )
            if record["ready_to_complete"] == "1":
                return record
            await asyncio.sleep(0.2)


async def _compare(sandbox: Sandbox, pool: Pool, record: Record) -> float:
    migration = Migration(
        id=int(record["id"] or 0),
        migration_uuid=str(record["migration_uuid"]),
        keyspace=sandbox.keyspace,
        shard="0",
        mysql_schema=sandbox.keyspace,
        mysql_table=_TABLE,
        migration_statement=str(record["migration_statement"]),
        strategy=Strategy(str(record["strategy"])),
    )
    names = await pool.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = %s"
        " AND table_name LIKE %s",
        (sandbox.keyspace, f"%{migration.migration_uuid}%"),
    )
    (copy,) = [str(name) for (name,) in names.rows if str(name).endswith(("_gho", "_new"))]
    started = time.monotonic()
    statement = ddl.parse(migration.migration_statement)
    async with open_comparison(pool, migration, statement, _TABLE, copy) as comparison:
        async for chunk in comparison.chunks():
            assert not chunk.differences, chunk.differences
    return time.monotonic() - started
