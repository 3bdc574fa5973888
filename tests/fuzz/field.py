"""What inputs are sent to, and how it is looked after meanwhile."""

from __future__ import annotations

import asyncio
import resource
from contextlib import suppress
from typing import Any, Final, Protocol

import grpc.aio
import psutil

from tabletd_pb import tabletmanagerdata_pb2, tabletmanagerservice_pb2_grpc

# Nobody waits so long but where something is wrong: a machine may be as slow as it likes.
PATIENCE_SECONDS: Final = 120.0
_OWN_CONNECTION: Final = (("grpc.use_local_subchannel_pool", 1),)
Metadata = tuple[tuple[str, str], ...]
OPERATOR: Final[Metadata] = (("username", "olga"), ("password", "olga"))


class Field(Protocol):
    """What is under fire.

    Attributes:
        grpc: `host:port`.
        http: `host:port`.
        channel: to the gRPC port, kept open.
    """

    grpc: str
    http: str
    channel: Any

    async def look(self) -> list[str]:
        """Return what is wrong since the last look."""
        ...

    async def renew(self) -> None:
        """Clear away what inputs have left, so that the next ones meet the same."""
        ...

    def resident_bytes(self) -> int:
        """Return the memory of its process."""
        ...


class OwnProcess:
    """Nothing but this process: for what is only read and never sent."""

    grpc = ""
    http = ""
    channel: Any = None

    async def look(self) -> list[str]:
        return []

    async def renew(self) -> None:
        """Leave everything as it is."""

    def resident_bytes(self) -> int:
        return int(psutil.Process().memory_info().rss)


async def ping(address: str, metadata: Metadata = ()) -> str:
    """Return what is wrong with a daemon's answer to a Ping over a connection of its own."""
    async with grpc.aio.insecure_channel(address, options=_OWN_CONNECTION) as channel:
        stub = tabletmanagerservice_pb2_grpc.TabletManagerStub(channel)
        request = tabletmanagerdata_pb2.PingRequest(payload="there?")
        try:
            answer = await stub.Ping(
                request, metadata=metadata, timeout=PATIENCE_SECONDS, wait_for_ready=True
            )
        except grpc.aio.AioRpcError as error:
            return f"Ping ends with {error.code().name}: {error.details()}"
    return "" if answer.payload == "there?" else f"Ping answers {answer.payload!r}"


async def exchange(address: str, sent: bytes, *, wait_seconds: float = 0.02) -> bytes:
    """Send bytes on a connection of their own and return the answer.

    Args:
        address: `host:port`.
        sent: all that is sent.
        wait_seconds: for the first of the answer, before we say that no more comes from us.

    Raises:
        TimeoutError: the other side does not end the connection even then.
    """
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    found = b""
    try:
        with suppress(OSError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                writer.write(sent)
                await writer.drain()
                with suppress(TimeoutError):
                    while data := await asyncio.wait_for(reader.read(65536), wait_seconds):
                        found += data
                        wait_seconds = 0.02
                writer.write_eof()
                while data := await reader.read(65536):
                    found += data
    finally:
        # With a reset no port waits behind each of a hundred thousand connections.
        writer.transport.abort()
    return found


def allow_many_files() -> None:
    """Let this process have as many connections open as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
