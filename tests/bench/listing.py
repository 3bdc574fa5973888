"""How fast a list of 1,000 migrations is given, against a bare handler in the same run."""

from __future__ import annotations

from typing import Final

from tabletd_pb import vtctldata_pb2
from tests.bench.report import Measurement
from tests.bench.stage import stage
from tests.bench.throughput import Call, bare_handler, compared, fill, in_turn

_METHOD: Final = "/vtctlservice.Vtctld/GetSchemaMigrations"
_ROWS: Final = 1_000
_IN_FLIGHT: Final = 8


async def measure() -> list[Measurement]:
    """Let the bare handler and the daemon answer in turn."""
    async with stage("listing", replicas=0) as sandbox, bare_handler(sandbox) as bare:
        await fill(sandbox, _ROWS)
        request = vtctldata_pb2.GetSchemaMigrationsRequest(keyspace=sandbox.keyspace)
        call = Call(_METHOD, request.SerializeToString(), _IN_FLIGHT)
        addresses = {"bare": bare, "daemon": sandbox.primary.daemon.grpc}
        for address in addresses.values():
            answer = vtctldata_pb2.GetSchemaMigrationsResponse.FromString(await call.once(address))
            assert len(answer.migrations) == _ROWS
        series = await in_turn(call, addresses)
    what = f"GetSchemaMigrations of {_ROWS:,} rows, {_IN_FLIGHT} in flight"
    return [compared(what, series["daemon"], series["bare"])]
