"""How many calls are taken, of all and of one caller, and who is never refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2

from tabletd.access.access import Access, AccessSettings
from tabletd.access.audit import AuditLog
from tabletd.mysql.result import ResultSet
from tabletd.servicers.guard import Guard
from tabletd.servicers.limits import CallLimits
from tabletd.telemetry.vars import Registry
from tabletd_pb import query_pb2
from tabletd_pb import tabletmanagerdata_pb2 as tm
from tests.support.fakes_servicers import GrpcBench, error_info, failure, grpc_bench
from tests.support.stubs import health_service, manager, query_service
from tests.support.waiting import eventually


async def test_a_call_too_many_is_refused_at_once_but_ping_and_health_are_not() -> None:
    release = asyncio.Event()

    async def wait(query: str) -> ResultSet:
        await release.wait()
        return ResultSet()

    async with grpc_bench(CallLimits(calls_max=2, streams_max=2)) as bench:
        bench.executor.on_vexec = wait
        stub = manager(bench.channel)
        taken = [asyncio.ensure_future(stub.VExec(tm.VExecRequest())) for _ in range(2)]
        await eventually(lambda: bench.registry.export()["RpcCallsOpen"] == 2)
        error = await failure(stub.VExec(tm.VExecRequest()))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error_info(error).reason == "TOO_MANY_CALLS"
        assert "grpc_calls_max" in str(error.details())
        assert (await stub.Ping(tm.PingRequest(payload="p"))).payload == "p"
        health = await health_service(bench.channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        release.set()
        await asyncio.gather(*taken)
        await stub.VExec(tm.VExecRequest())
        assert bench.registry.export()["RpcCallsRefused"] == 1


async def test_streams_have_a_limit_of_their_own_and_give_their_place_back() -> None:
    async with grpc_bench(CallLimits(calls_max=1, streams_max=1)) as bench:
        query = query_service(bench.channel)
        first = query.StreamHealth(query_pb2.StreamHealthRequest())
        await first.read()
        await manager(bench.channel).VExec(tm.VExecRequest())
        error = await failure(query.StreamHealth(query_pb2.StreamHealthRequest()).read())
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "grpc_streams_max" in str(error.details())
        first.cancel()
        await eventually(lambda: bench.registry.export()["RpcStreamsOpen"] == 0)
        assert await query.StreamHealth(query_pb2.StreamHealthRequest()).read()


async def test_a_burst_of_calls_is_answered_without_a_loss() -> None:
    async with grpc_bench(CallLimits(calls_max=10_000)) as bench:
        stub = manager(bench.channel)
        answers = await asyncio.gather(
            *(stub.Ping(tm.PingRequest(payload=str(number))) for number in range(1_500))
        )
        assert [answer.payload for answer in answers] == [str(number) for number in range(1_500)]


# Of refused changes one a second is noted; no machine takes a minute for these.
_FLOOD = 100
ANN = (("username", "ann"), ("password", "a"))
BOB = (("username", "bob"), ("password", "b"))
CANCEL = tm.VExecRequest(
    query="UPDATE _vt.schema_migrations SET migration_status='cancel-all' WHERE mysql_schema='s'"
)


@asynccontextmanager
async def two_operators(directory: Path, limits: CallLimits) -> AsyncGenerator[GrpcBench]:
    """Serve two callers with passwords; the audit log is `audit.log` in the directory."""
    users = directory / "users.json"
    entries = [
        {"Username": login[0][1], "Password": login[1][1], "Role": "operator"}
        for login in (ANN, BOB)
    ]
    users.write_text(json.dumps(entries))
    users.chmod(0o600)
    access = Access(AccessSettings(mode="static", users=users), Registry())
    guard = Guard(access, AuditLog(directory / "audit.log", "zone1-0000000100"))
    async with grpc_bench(limits, guard=guard) as bench:
        yield bench


async def test_a_caller_with_too_many_calls_is_refused_and_another_is_answered(
    tmp_path: Path,
) -> None:
    release, begun = asyncio.Event(), list[str]()

    async def wait(query: str) -> ResultSet:
        begun.append(query)
        await release.wait()
        return ResultSet()

    async with two_operators(tmp_path, CallLimits(caller_calls_max=2)) as bench:
        bench.executor.on_vexec = wait
        stub = manager(bench.channel)
        taken = [
            asyncio.ensure_future(stub.VExec(CANCEL, metadata=login)) for login in (ANN, ANN, BOB)
        ]
        await eventually(lambda: len(begun) == 3)
        error = await failure(stub.VExec(CANCEL, metadata=ANN))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error_info(error).reason == "TOO_MANY_CALLS"
        assert str(error.details()).startswith("ann has 2 calls open already")
        assert (await stub.Ping(tm.PingRequest(payload="p"), metadata=ANN)).payload == "p"
        release.set()
        await stub.VExec(CANCEL, metadata=BOB)
        await asyncio.gather(*taken)


async def test_a_caller_who_floods_with_changes_is_refused_and_another_is_answered(
    tmp_path: Path,
) -> None:
    async with two_operators(tmp_path, CallLimits(changes_per_second=0.001)) as bench:
        stub = manager(bench.channel)
        await stub.VExec(CANCEL, metadata=ANN)
        errors = await asyncio.gather(
            *(failure(stub.VExec(CANCEL, metadata=ANN)) for _ in range(_FLOOD))
        )
        assert {error.code() for error in errors} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert error_info(errors[0]).reason == "TOO_MANY_CALLS"
        assert float(error_info(errors[0]).metadata["wait_seconds"]) > 0
        assert "grpc_changes_per_second" in str(errors[0].details())
        await stub.VExec(CANCEL, metadata=BOB)
        # What only reads is not counted.
        select = tm.VExecRequest(query="SELECT * FROM _vt.schema_migrations")
        await stub.VExec(select, metadata=ANN)
        assert bench.registry.export()["RpcChangesRefused"] == _FLOOD
    notes = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    refused = [note for note in notes if note["reason"] == "TOO_MANY_CALLS"]
    assert 1 <= len(refused) < _FLOOD
    assert [note["caller"] for note in notes if note["code"] == "OK"] == ["ann", "bob"]


async def test_without_credentials_a_caller_is_the_address_that_he_calls_from() -> None:
    async with grpc_bench(CallLimits(caller_streams_max=1)) as bench:
        query = query_service(bench.channel)
        first = query.StreamHealth(query_pb2.StreamHealthRequest())
        await first.read()
        error = await failure(query.StreamHealth(query_pb2.StreamHealthRequest()).read())
        assert str(error.details()).startswith("127.0.0.1 has 1 streams open already")
        first.cancel()
        await eventually(lambda: bench.registry.export()["RpcStreamsOpen"] == 0)
        assert await query.StreamHealth(query_pb2.StreamHealthRequest()).read()
