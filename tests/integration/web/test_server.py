"""What a client may cost: the HTTP server on a real socket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.web import server as web_server
from tabletd.web.application import build_application
from tabletd.web.server import HttpServer, listen
from tests.support.fakes_web import FakeWeb


@asynccontextmanager
async def served() -> AsyncGenerator[tuple[int, FakeWeb]]:
    web = FakeWeb()
    listener = listen("127.0.0.1", 0)
    port: int = listener.getsockname()[1]
    server = HttpServer(build_application(web.ports()), listener)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.run())
        try:
            yield port, web
        finally:
            server.stop()


async def exchange(port: int, request: bytes) -> bytes:
    """Send a request and return all that comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(60):
            return await reader.read()
    finally:
        writer.close()


async def test_a_page_is_served_and_a_connection_is_used_again() -> None:
    async with served() as (port, _), httpx.AsyncClient() as client:
        for _ in range(3):
            assert (await client.get(f"http://127.0.0.1:{port}/healthz")).text == "ok\n"


async def test_a_head_request_has_a_status_and_no_body() -> None:
    async with served() as (port, _):
        answer = await exchange(
            port, b"HEAD /throttler/check HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert body == b""


async def test_a_header_without_end_is_refused() -> None:
    async with served() as (port, _):
        answer = await exchange(port, b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000)
        assert answer.startswith(b"HTTP/1.1 4")


async def test_what_is_no_http_is_refused() -> None:
    async with served() as (port, _):
        assert (await exchange(port, b"\x16\x03\x01\x00\xff\r\n\r\n")).startswith(b"HTTP/1.1 400")


async def test_a_body_that_breaks_after_its_answer_ends_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with served() as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        async with asyncio.timeout(60):
            await reader.readuntil(b"ok\n")
            writer.write(b"no length\r\n")
            with suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


async def test_a_body_that_is_broken_from_the_start_is_refused_without_a_word_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with served() as (port, _):
        answer = await exchange(
            port,
            b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\n",
        )
    assert answer.startswith(b"HTTP/1.1 400")
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_client_that_never_finishes_its_request_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web_server, "_EXCHANGE_SECONDS_MAX", 0.3)
    async with served() as (port, _):
        for beginning in (
            b"",
            b"GET /healthz HTTP/1.1\r\nHost:",
        ):
            with pytest.raises((ConnectionResetError, AssertionError)):
                assert await exchange(port, beginning) != b""


async def test_a_body_that_never_ends_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server, "_EXCHANGE_SECONDS_MAX", 0.3)
    async with served() as (port, _):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /schema-migration/report-status?uuid=u&status=running HTTP/1.1\r\n"
            b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        async with asyncio.timeout(60):
            assert await writing_is_ended(writer)


async def writing_is_ended(writer: asyncio.StreamWriter) -> bool:
    """Write until the other side has had enough."""
    try:
        while True:
            writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0)
    except (ConnectionResetError, BrokenPipeError):
        return True
    finally:
        writer.close()


async def test_a_report_that_was_forwarded_is_not_taken_for_one_from_here() -> None:
    async with served() as (port, web), httpx.AsyncClient() as client:
        answer = await client.get(
            f"http://127.0.0.1:{port}/schema-migration/report-status?uuid=u&status=running",
            headers={"X-Forwarded-For": "10.0.0.1"},
        )
        assert answer.status_code == 403
        assert not web.reports.reports


async def test_a_taken_port_is_named() -> None:
    async with served() as (port, _):
        with pytest.raises(TabletdError, match=f"127.0.0.1:{port}: Address already in use") as e:
            listen("127.0.0.1", port)
        assert e.value.reason is Reason.INVALID_CONFIG
        assert "http_port" in str(e.value)
