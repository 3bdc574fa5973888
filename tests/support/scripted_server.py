"""A server that says what a test tells it to: for answers that no real one would give."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from pymysql.constants import CLIENT

SALT: Final = b"0123456789abcdefghij"
OK: Final = b"\x00\x00\x00\x02\x00\x00\x00"
_CAPABILITIES: Final = CLIENT.CAPABILITIES | CLIENT.PLUGIN_AUTH


def packet(number: int, payload: bytes) -> bytes:
    """Return a packet as it is on the wire."""
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


def text(cell: bytes) -> bytes:
    """Return a text with its length in front."""
    return bytes([len(cell)]) + cell


class Wire:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        """Return the payload of the client's next packet."""
        head = await self._reader.readexactly(4)
        return await self._reader.readexactly(int.from_bytes(head[:3], "little"))

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)


LogIn = Callable[[Wire], Awaitable[None]]


async def let_in(wire: Wire) -> None:
    """Let whoever comes in."""
    wire.write(packet(2, OK))


@asynccontextmanager
async def scripted_server(
    answer: bytes = b"",
    *,
    plugin: str = "mysql_native_password",
    log_in: LogIn = let_in,
    heard: list[bytes] | None = None,
) -> AsyncGenerator[int]:
    """Listen on 127.0.0.1.

    Each connection is greeted and its login is left to `log_in`; SET and KILL are answered by OK,
    the first other statement by `answer`, after which the stream ends. What clients answer to the
    greeting is put into `heard`.

    Yields:
        the port.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = Wire(reader, writer)
        try:
            wire.write(packet(0, _greeting(plugin)))
            said = await wire.read()
            if heard is not None:
                heard.append(said)
            await log_in(wire)
            while (await wire.read()).startswith((b"\x03SET ", b"\x03KILL ")):
                wire.write(packet(1, OK))
            wire.write(answer)
        except (asyncio.IncompleteReadError, OSError):
            pass  # the client has gone
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port: int = server.sockets[0].getsockname()[1]
        yield port


def _greeting(plugin: str) -> bytes:
    return b"".join(
        [
            b"\x0a8.0.12\0",
            struct.pack("<I", 7),
            SALT[:8] + b"\0",
            struct.pack("<HBHH", _CAPABILITIES & 0xFFFF, 45, 2, _CAPABILITIES >> 16),
            bytes([len(SALT) + 1]),
            bytes(10),
            SALT[8:] + b"\0",
            plugin.encode() + b"\0",
        ]
    )
