"""A request whose path is no text: the library's server may end, ours goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import grpc.aio
import pytest

from tabletd_pb import tabletmanagerdata_pb2 as pb
from tests.fuzz.frames import PREFACE, call, frame
from tests.support.fakes_servicers import GrpcBench, grpc_bench
from tests.support.stubs import manager
from tests.support.waiting import eventually

_HEADERS = 1


@asynccontextmanager
async def kept_bench() -> AsyncGenerator[GrpcBench]:
    async with grpc_bench() as bench, asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(bench.server.keep_listening())
        yield bench
        await bench.server.server.stop(None)
        async with asyncio.timeout(60):
            await keeping


async def send_a_path_that_is_no_text(bench: GrpcBench) -> None:
    """Send it, and wait until it is answered or the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.server.port)
    writer.write(
        PREFACE + frame(0x4, 0, 0) + call("a.Service/Method", b"").replace(b"a.S", b"a\x8cS")
    )
    await writer.drain()
    kind = 0
    async with asyncio.timeout(60):
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while kind != _HEADERS:
                head = await reader.readexactly(9)
                kind = head[3]
                await reader.readexactly(int.from_bytes(head[:3]))
    writer.transport.abort()


async def answers(bench: GrpcBench) -> bool:
    async with grpc.aio.insecure_channel(
        bench.address, options=(("grpc.use_local_subchannel_pool", 1),)
    ) as channel:
        try:
            answer = await manager(channel).Ping(pb.PingRequest(payload="x"), timeout=60)
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.payload == "x")


async def test_a_path_that_is_no_text_does_not_close_the_port(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL)
    async with kept_bench() as bench:
        for _ in range(3):
            await send_a_path_that_is_no_text(bench)
            await eventually(lambda: answers(bench))


async def test_a_server_can_be_stopped_after_nobody_keeps_it_any_more() -> None:
    async with grpc_bench() as bench:
        keeping = asyncio.ensure_future(bench.server.keep_listening())
        assert await answers(bench)
        keeping.cancel()
        await asyncio.wait({keeping})
        async with asyncio.timeout(60):
            await bench.server.server.stop(None)
