"""How long small changes take on two shards, from the submission until both are complete."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import grpc.aio

from tabletd.mysql.quote import identifier
from tabletd.sandbox.releases import ReleaseName
from tabletd.sandbox.sandbox import Sandbox
from tabletd_pb import vtctldata_pb2 as pb
from tabletd_pb import vtctlservice_pb2_grpc
from tests.bench.report import Measurement
from tests.bench.stage import pool_to, stage, wait_for_sidecar

_SHARDS: Final = ("-80", "80-")
_CASES: Final = ((ReleaseName.MYSQL_57, "gh-ost", 5.0), (ReleaseName.MARIADB, "pt-osc", 3.0))
# Whether the copied rows are compared before the tables are swapped, and what that may add.
_VERIFY: Final[Mapping[bool, float]] = {False: 0.0, True: 2.0}
_BY_SERVER_SECONDS_MAX: Final = 1.0
_RUNS: Final = 5
_LOOK_SECONDS: Final = 0.05
_TABLE: Final = "nine"
_SM: Final = pb.SchemaMigration
_ENDED: Final = frozenset({_SM.COMPLETE, _SM.FAILED, _SM.CANCELLED})
# What a change is, and how often it is made before the next one.
_CHANGES: Final[Mapping[str, Sequence[str]]] = {
    "ALTER of 9 rows": [f"ALTER TABLE {_TABLE} ADD COLUMN c{n} INT" for n in range(_RUNS)],
    "CREATE": [f"CREATE TABLE t{n} (id INT PRIMARY KEY)" for n in range(_RUNS)],
    "DROP": [f"DROP TABLE t{n}" for n in range(_RUNS)],
}


async def measure() -> list[Measurement]:
    """Submit each change to both shards, one after the other, and wait for its end."""
    measurements: list[Measurement] = []
    for server, strategy, seconds_max in _CASES:
        for verify, more_seconds in _VERIFY.items():
            settings = {"verify": str(verify).lower()}
            async with stage(
                strategy, server, replicas=0, shards=_SHARDS, settings=settings
            ) as sandbox:
                await _prepare(sandbox)
                for what, statements in _CHANGES.items():
                    is_copy = what.startswith("ALTER")
                    if verify and not is_copy:
                        continue
                    limit = seconds_max + more_seconds if is_copy else _BY_SERVER_SECONDS_MAX
                    seconds = [await _run(sandbox, sql, strategy) for sql in statements]
                    compared = f", verify {'on' if verify else 'off'}" if is_copy else ""
                    title = f"{strategy}, two shards: {what}{compared}"
                    measurements.append(_line(title, seconds, limit))
    return measurements


def _line(what: str, seconds: Sequence[float], seconds_max: float) -> Measurement:
    return Measurement(
        f"{what}, until complete ({len(seconds)} runs)",
        f"{max(seconds):.2f} s at most (median {statistics.median(seconds):.2f} s)",
        goal=f"within {seconds_max:.0f} s",
        is_met=max(seconds) <= seconds_max,
    )


async def _prepare(sandbox: Sandbox) -> None:
    await wait_for_sidecar(sandbox)
    table = identifier(sandbox.keyspace, _TABLE)
    rows = ", ".join(f"({number})" for number in range(9))
    for tablet in sandbox.tablets:
        async with pool_to(tablet.server) as pool:
            await pool.execute(f"CREATE TABLE {table} (id INT PRIMARY KEY)")
            await pool.execute(f"INSERT INTO {table} VALUES {rows}")


async def _run(sandbox: Sandbox, sql: str, strategy: str) -> float:
    """Submit a change; return the seconds until it is complete on both shards."""
    async with (
        grpc.aio.insecure_channel(sandbox.primary.daemon.grpc) as channel,
        asyncio.timeout(60),
    ):
        stub = cast(Any, vtctlservice_pb2_grpc.VtctldStub)(channel)
        submission = pb.ApplySchemaRequest(
            keyspace=sandbox.keyspace, sql=[sql], ddl_strategy=strategy
        )
        start = time.perf_counter()
        (uuid,) = (await stub.ApplySchema(submission)).uuid_list
        listing = pb.GetSchemaMigrationsRequest(keyspace=sandbox.keyspace, uuid=uuid)
        while True:
            found = (await stub.GetSchemaMigrations(listing)).migrations
            if len(found) == len(_SHARDS) and all(one.status in _ENDED for one in found):
                break
            await asyncio.sleep(_LOOK_SECONDS)
        seconds = time.perf_counter() - start
        assert {one.status for one in found} == {_SM.COMPLETE}, found
        return seconds
