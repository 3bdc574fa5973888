"""What is no message is refused by us, before anybody asks who sends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from tabletd.errors import Reason
from tabletd.telemetry.logging import is_of_no_strange_caller
from tests.support.fakes_servicers import GrpcBench, error_info, failure, grpc_bench
from tests.support.stubs import health_service, untyped_call

_MANAGER = "/tabletmanagerservice.TabletManager"
_UNARY = {
    "no field has this number": (f"{_MANAGER}/Ping", b"\xff\xff\xff"),
    "a text that is not UTF-8": (f"{_MANAGER}/VExec", b"\x0a\x02\xff\xfe"),
    "a field without its end": ("/vtctlservice.Vtctld/ApplySchema", b"\x0a\x7f"),
    "gRPC's own health": ("/grpc.health.v1.Health/Check", b"\xff"),
    "gRPC's own channelz": ("/grpc.channelz.v1.Channelz/GetServers", b"\xff"),
}
_STREAMS = ("/tabletd.v1.Migrations/Watch", "/grpc.health.v1.Health/Watch")
_REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> object:
    yield
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record for record in told if is_of_no_strange_caller(record)] == []


def check(error: grpc.aio.AioRpcError) -> None:
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_info(error).reason == Reason.INVALID_REQUEST.value
    assert "DecodeError" not in (error.details() or "")


@pytest.mark.parametrize(("method", "data"), _UNARY.values(), ids=_UNARY)
async def test_a_request_that_is_no_message_is_an_invalid_argument(
    method: str, data: bytes
) -> None:
    async with grpc_bench() as bench:
        for _ in range(2):
            check(await failure(untyped_call(bench.channel, method)(data)))
        assert bench.registry.export()["RpcRequestsBroken"] == 2


@pytest.mark.parametrize("method", _STREAMS)
async def test_a_stream_is_refused_likewise(method: str) -> None:
    async with grpc_bench() as bench:
        check(await failure(first(untyped_call(bench.channel, method, stream=True)(b"\xff"))))


async def test_a_stream_of_requests_ends_with_its_first_broken_one() -> None:
    async def requests() -> AsyncIterator[bytes]:
        yield b""
        yield b"\xff"

    async with grpc_bench() as bench:
        check(await failure(last(bench, requests())))


async def test_a_health_stream_still_tells_of_changes() -> None:
    async with grpc_bench() as bench:
        stream = health_service(bench.channel).Watch(health_pb2.HealthCheckRequest())
        async with asyncio.timeout(60):
            assert (await stream.read()).status == health_pb2.HealthCheckResponse.SERVING
        await bench.server.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        async with asyncio.timeout(60):
            assert (await stream.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        stream.cancel()


async def first(stream: AsyncIterator[object]) -> object:
    async for response in stream:
        return response
    return None


async def last(bench: GrpcBench, requests: AsyncIterator[bytes]) -> object:
    found: object = None
    call: Any = bench.channel.stream_stream
    async for response in call(_REFLECTION)(requests):
        found = response
    return found
