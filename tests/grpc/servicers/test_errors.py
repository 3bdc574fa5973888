"""How a failure reaches a caller."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import pytest

from tabletd.errors import MigrationNotFound, Reason, TabletdError
from tabletd.mysql.result import ResultSet
from tabletd_pb import tabletmanagerdata_pb2 as tm
from tests.support.fakes_servicers import GrpcBench, error_info, failure, grpc_bench
from tests.support.stubs import manager, untyped_call
from tests.support.waiting import eventually


def raising(error: BaseException) -> Callable[[str], Awaitable[ResultSet]]:
    async def vexec(query: str) -> ResultSet:
        raise error

    return vexec


def vexec(bench: GrpcBench, **options: float) -> Any:
    return manager(bench.channel).VExec(tm.VExecRequest(query="q"), **options)


async def test_an_expected_failure_has_its_code_message_hint_reason_and_facts() -> None:
    async with grpc_bench() as bench:
        bench.executor.on_vexec = raising(MigrationNotFound("u1"))
        error = await failure(vexec(bench))
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert error.details() == f"{MigrationNotFound('u1')}"
        assert "Migration not found: u1" in str(error.details())
        info = error_info(error)
        assert (info.reason, info.domain) == ("MIGRATION_NOT_FOUND", "tabletd")
        assert dict(info.metadata) == {"migration_uuid": "u1"}


async def test_an_unexpected_failure_shows_a_number_and_the_log_has_its_cause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with grpc_bench() as bench:
        bench.executor.on_vexec = raising(RuntimeError("the password is sesame"))
        with caplog.at_level(logging.ERROR):
            error = await failure(vexec(bench))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "sesame" not in str(error)
    assert error_info(error).metadata["error_id"] in caplog.text
    assert "the password is sesame" in caplog.text


async def test_a_megabyte_in_the_message_still_arrives_as_its_own_error() -> None:
    async with grpc_bench() as bench:
        huge = TabletdError(Reason.INVALID_REQUEST, "query=" + "é`'\0\N{PILE OF POO}" * 200_000)
        bench.executor.on_vexec = raising(huge)
        error = await failure(vexec(bench))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert str(error.details()).startswith("query=é`'")


async def test_a_deadline_of_a_millisecond_ends_the_work_and_harms_nobody() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def slow(query: str) -> ResultSet:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async with grpc_bench() as bench:
        bench.executor.on_vexec = slow
        await manager(bench.channel).Ping(tm.PingRequest())
        deadline_seconds = 0.05
        while not begun.is_set():  # on a slow machine it may be over before it arrives
            error = await failure(vexec(bench, timeout=deadline_seconds))
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            deadline_seconds *= 2
        await asyncio.wait_for(ended.wait(), 60)
        tiny = await failure(vexec(bench, timeout=0.001))
        assert tiny.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert await manager(bench.channel).Ping(tm.PingRequest(payload="still here"))
        await eventually(lambda: bench.registry.export()["RpcCallsOpen"] == 0)


async def test_a_client_that_goes_away_ends_its_call() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def slow(query: str) -> ResultSet:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async with grpc_bench() as bench:
        bench.executor.on_vexec = slow
        async with grpc.aio.insecure_channel(bench.address) as doomed:
            call = manager(doomed).VExec(tm.VExecRequest())
            await asyncio.wait_for(begun.wait(), 60)
        await asyncio.wait_for(ended.wait(), 60)
        assert call.cancelled() or call.done()
        await eventually(lambda: bench.registry.export()["RpcCallsOpen"] == 0)
        assert await manager(bench.channel).Ping(tm.PingRequest())


async def test_a_request_over_16_mib_is_refused_and_one_below_is_taken() -> None:
    options = [("grpc.max_send_message_length", 64 << 20)]
    async with grpc_bench(options=options) as bench:
        stub = manager(bench.channel)
        await stub.VExec(tm.VExecRequest(query="x" * (15 << 20)))
        error = await failure(stub.VExec(tm.VExecRequest(query="x" * (17 << 20))))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await stub.Ping(tm.PingRequest())


async def test_an_answer_over_16_mib_is_refused_with_what_to_do() -> None:
    async with grpc_bench() as bench:
        bench.executor.on_vexec = answering("x" * (17 << 20))
        error = await failure(vexec(bench))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error_info(error).reason == "RESULT_TOO_LARGE"
        assert "LIMIT" in str(error.details())


def answering(info: str) -> Callable[[str], Awaitable[ResultSet]]:
    async def vexec(query: str) -> ResultSet:
        return ResultSet(info=info)

    return vexec


async def test_an_answer_just_below_16_mib_arrives_at_a_client_with_the_same_limit() -> None:
    options = [("grpc.max_receive_message_length", 16 << 20)]
    async with grpc_bench(options=options) as bench:
        bench.executor.on_vexec = answering("x" * ((16 << 20) - 100))
        assert len((await vexec(bench)).result.info) > 16_000_000


async def test_bytes_that_are_no_message_are_refused_and_harm_nobody() -> None:
    async with grpc_bench() as bench:
        raw = untyped_call(bench.channel, "/tabletmanagerservice.TabletManager/VExec")
        error = await failure(raw(b"\xff\xff\xff\xff"))
        assert error.code() is not grpc.StatusCode.OK
        assert await manager(bench.channel).Ping(tm.PingRequest())
