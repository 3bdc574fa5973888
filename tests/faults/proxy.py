"""A TCP proxy that breaks what goes through it: cut, reset, stall, delay.

One proxy stands before one port. Whose connection it is, is read from its first words where these
tell (`mysql_login`), so that the daemon's connections to a server can be cut and the tool's not.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tests.support.waiting import eventually

_CHUNK_BYTES: Final = 64 * 1024
_NAME_OFFSET: Final = 36
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Trouble(StrEnum):
    """What a proxy can do to the connections of one kind."""

    CUT = "cut"
    RESET = "reset"
    STALL = "stall"
    DELAY = "delay"


def mysql_login(first_words: bytes) -> str:
    """Return the user in the packet that a MySQL client logs in with; empty when it has none."""
    end = first_words.find(b"\0", _NAME_OFFSET)
    return first_words[_NAME_OFFSET:end].decode(errors="replace") if end > 0 else ""


@dataclass(eq=False)
class _Link:
    """One connection: the two halves, and whose it is once that is known."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    owner: str | None = None

    def close(self, *, reset: bool) -> None:
        for writer in (self.client, self.server):
            if writer is None:
                continue
            if reset:
                endpoint: socket.socket = writer.get_extra_info("socket")
                with suppress(OSError):
                    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()


class Proxy:
    """Passes connections on, until it is told to trouble some of them.

    Args:
        upstream: host and port behind it; may be set anew, for connections to come.
        owner_of: tells from the first bytes of a client whose connection it is; None: nobody asks,
            all have the owner "".
    """

    def __init__(
        self, upstream: tuple[str, int], owner_of: Callable[[bytes], str] | None = None
    ) -> None:
        self.upstream = upstream
        self.carried = 0
        self._owner_of = owner_of
        self._links: set[_Link] = set()
        self._cut: set[str] = set()
        self._stalled: dict[str, asyncio.Event] = {}
        self._delays: dict[str, float] = {}
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def owners(self) -> list[str]:
        """Whose connections go through it now."""
        return sorted(link.owner for link in self._links if link.owner is not None)

    async def open(self, host: str, port: int = 0) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, host, port)

    async def close(self) -> None:
        """End every connection and listen no more."""
        assert self._server is not None
        self._server.close()
        self.heal_all()
        for link in list(self._links):
            link.close(reset=False)
        await eventually(lambda: not self._links, 10)
        await self._server.wait_closed()

    def trouble(self, kind: Trouble, owner: str = "", *, delay_seconds: float = 0.2) -> None:
        """Begin to trouble the connections of one owner, those to come too; until `heal`.

        A reset is over at once: whoever connects again gets through.
        """
        match kind:
            case Trouble.CUT | Trouble.RESET:
                if kind is Trouble.CUT:
                    self._cut.add(owner)
                for link in list(self._links):
                    if link.owner == owner:
                        link.close(reset=kind is Trouble.RESET)
            case Trouble.STALL:
                self._stalled.setdefault(owner, asyncio.Event())
            case Trouble.DELAY:
                self._delays[owner] = delay_seconds

    def heal(self, owner: str = "") -> None:
        """Let the connections of one owner pass again; what was held back goes on its way."""
        self._cut.discard(owner)
        self._delays.pop(owner, None)
        if (stalled := self._stalled.pop(owner, None)) is not None:
            stalled.set()

    def heal_all(self) -> None:
        """Let every connection pass again."""
        for owner in {*self._cut, *self._delays, *self._stalled}:
            self.heal(owner)

    def drop_all(self) -> None:
        """Close every connection; new ones get through."""
        for link in list(self._links):
            link.close(reset=False)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer, owner=None if self._owner_of else "")
        self._links.add(link)
        try:
            if link.owner in self._cut:
                return
            upstream_reader, link.server = await asyncio.open_connection(*self.upstream)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(link, reader, link.server, from_client=True))
                group.create_task(self._pump(link, upstream_reader, writer, from_client=False))
        except* OSError:
            pass
        finally:
            self._links.discard(link)
            link.close(reset=False)

    async def _pump(
        self,
        link: _Link,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        from_client: bool,
    ) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            if from_client and link.owner is None:
                assert self._owner_of is not None
                link.owner = self._owner_of(data)
            if link.owner is not None and not await self._pass(link.owner):
                link.close(reset=False)
                return
            writer.write(data)
            self.carried += len(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    async def _pass(self, owner: str) -> bool:
        """Wait for as long as the owner's bytes are held back; whether they may go on."""
        while (stalled := self._stalled.get(owner)) is not None:
            await stalled.wait()
        if delay_seconds := self._delays.get(owner):
            await asyncio.sleep(delay_seconds)
        return owner not in self._cut


@asynccontextmanager
async def proxy_to(
    upstream: tuple[str, int],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    owner_of: Callable[[bytes], str] | None = None,
) -> AsyncGenerator[Proxy]:
    """Run a proxy for the length of a block."""
    proxy = Proxy(upstream, owner_of)
    await proxy.open(host, port)
    try:
        yield proxy
    finally:
        await proxy.close()
