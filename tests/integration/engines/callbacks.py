"""A stand-in for the daemon's HTTP side: remembers what tools ask, answers as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Request:
    """One request of a tool."""

    path: str
    query: dict[str, str]
    token: str


@dataclass
class CallbackServer:
    """Answers `/throttler/check` with `throttle_status`, everything else with 200."""

    url: str = ""
    throttle_status: int = 200
    requests: list[Request] = field(default_factory=list[Request])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request; a tool that is ended may hang up before it has asked."""
        with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(self._answer(head.decode().split("\r\n")))

    def _answer(self, lines: list[str]) -> bytes:
        target = urlsplit(lines[0].split()[1])
        token = ""
        for line in lines:
            if line.lower().startswith("authorization: bearer "):
                token = line.split(" ", 2)[2]
        self.requests.append(Request(target.path, dict(parse_qsl(target.query)), token))
        status = self.throttle_status if "throttler" in target.path else 200
        body = b'{"Message": "replica r1 lags 9 s"}' if status != 200 else b"ok"
        has_body = not lines[0].startswith("HEAD")
        head = f"HTTP/1.0 {status} x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        return head + (body if has_body else b"")


@asynccontextmanager
async def callback_server() -> AsyncGenerator[CallbackServer]:
    """Serve on a free port of loopback."""
    state = CallbackServer()
    server = await asyncio.start_server(state.serve, "127.0.0.1", 0)
    state.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield state
    finally:
        server.close()
