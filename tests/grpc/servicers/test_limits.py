"""How many calls are taken at the same time, and who is never refused."""

from __future__ import annotations

import asyncio

import grpc
from grpc_health.v1 import health_pb2

from tabletd.mysql.result import ResultSet
from tabletd.servicers.interceptors import CallLimits
from tabletd_pb import query_pb2
from tabletd_pb import tabletmanagerdata_pb2 as tm
from tests.support.fakes_servicers import error_info, failure, grpc_bench
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
