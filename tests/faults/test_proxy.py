"""The proxy does to connections what its faults say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from tests.faults.proxy import Proxy, Trouble, mysql_login, proxy_to
from tests.support.waiting import PATIENCE_SECONDS, eventually

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Echo:
    """A server that sends back what it gets; its proxy tells owners by their first word."""

    proxy: Proxy
    opened: list[asyncio.StreamWriter]

    async def connect(self, owner: str) -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.proxy.port)
        self.opened.append(writer)
        writer.write(f"{owner}\n".encode())
        return reader, writer


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    opened: list[asyncio.StreamWriter] = []
    async with server, proxy_to(("127.0.0.1", port), owner_of=_first_word) as proxy:
        yield Echo(proxy, opened)
        for writer in opened:
            writer.close()


def _first_word(data: bytes) -> str:
    return data.split()[0].decode()


async def answer(streams: Streams, text: str) -> str:
    reader, writer = streams
    writer.write(f"{text}\n".encode())
    return (await asyncio.wait_for(reader.readline(), PATIENCE_SECONDS)).decode().strip()


async def greeted(echo: Echo, owner: str) -> Streams:
    streams = await echo.connect(owner)
    assert (
        await asyncio.wait_for(streams[0].readline(), PATIENCE_SECONDS)
    ).decode().strip() == owner
    return streams


async def test_what_is_said_passes_both_ways(echo: Echo) -> None:
    assert await answer(await greeted(echo, "tool"), "hello") == "hello"
    assert echo.proxy.owners == ["tool"]


async def test_a_cut_ends_one_owners_connections_and_takes_no_new_ones(echo: Echo) -> None:
    tool, daemon = await greeted(echo, "tool"), await greeted(echo, "daemon")
    echo.proxy.trouble(Trouble.CUT, "tool")
    assert await asyncio.wait_for(tool[0].read(), PATIENCE_SECONDS) == b""
    again = await echo.connect("tool")
    with suppress(ConnectionError):
        assert await asyncio.wait_for(again[0].read(), PATIENCE_SECONDS) == b""
    assert await answer(daemon, "still here") == "still here"
    echo.proxy.heal("tool")
    assert await answer(await greeted(echo, "tool"), "back") == "back"


async def test_a_reset_is_an_error_to_the_peer_and_the_next_connection_passes(echo: Echo) -> None:
    tool = await greeted(echo, "tool")
    echo.proxy.trouble(Trouble.RESET, "tool")
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(tool[0].read(), PATIENCE_SECONDS)
    assert await answer(await greeted(echo, "tool"), "again") == "again"


async def test_what_a_stall_holds_back_arrives_after_it(echo: Echo) -> None:
    tool, daemon = await greeted(echo, "tool"), await greeted(echo, "daemon")
    echo.proxy.trouble(Trouble.STALL, "tool")
    tool[1].write(b"late\n")
    assert await answer(daemon, "meanwhile") == "meanwhile"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(tool[0].readline(), 0.2)
    echo.proxy.heal_all()
    assert await asyncio.wait_for(tool[0].readline(), PATIENCE_SECONDS) == b"late\n"


async def test_a_delay_is_added_on_the_way(echo: Echo) -> None:
    tool = await greeted(echo, "tool")
    echo.proxy.trouble(Trouble.DELAY, "tool", delay_seconds=0.2)
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await answer(tool, "slow") == "slow"
    assert loop.time() - began >= 0.4


async def test_a_client_that_leaves_is_forgotten(echo: Echo) -> None:
    tool = await greeted(echo, "tool")
    tool[1].close()
    await eventually(lambda: not echo.proxy.owners)


def test_the_user_of_a_mysql_login_is_read() -> None:
    packet = b"\x50\0\0\1" + bytes(32) + b"tabletd_0a1b2c3d\0" + b"\x14" + bytes(20)
    assert mysql_login(packet) == "tabletd_0a1b2c3d"
    assert mysql_login(b"GET / HTTP/1.1\r\n") == ""
