"""uvicorn inside our event loop, with limits on what a client may cost."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final, cast

import uvicorn
from h11 import LocalProtocolError
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from tabletd.errors import Reason, TabletdError

_EXCHANGE_SECONDS_MAX: Final = 20.0
_IDLE_SECONDS_MAX: Final = 5
_CONNECTIONS_MAX: Final = 256
_HEADER_BYTES_MAX: Final = 16 * 1024


class _BoundedProtocol(H11Protocol):
    """Cuts a connection on which a request and its answer take too long, at whichever end."""

    _exchange_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begin_exchange()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_exchange()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._begin_exchange()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, unless this connection has had its last answer already."""
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request
        if cycle is not None and not cycle.response_complete:
            # Its answer comes too late.
            cycle.disconnected = True
            cycle.message_event.set()
        try:
            super().send_400_response(msg)
        except LocalProtocolError:
            self.transport.close()

    def _begin_exchange(self) -> None:
        self._end_exchange()
        self._exchange_timer = self.loop.call_later(_EXCHANGE_SECONDS_MAX, self.transport.abort)

    def _end_exchange(self) -> None:
        if self._exchange_timer is not None:
            self._exchange_timer.cancel()


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield  # signals are the composition root's


class HttpServer:
    """Serves an application on one port.

    Args:
        application: what answers.
        listener: a socket of `listen`.
    """

    def __init__(self, application: ASGIApp, listener: socket.socket) -> None:
        self._socket = listener
        self._server = _Uvicorn(
            uvicorn.Config(
                application,
                http=_BoundedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                # Otherwise a header could claim that the peer is on this machine.
                proxy_headers=False,
                limit_concurrency=_CONNECTIONS_MAX,
                h11_max_incomplete_event_size=_HEADER_BYTES_MAX,
                timeout_keep_alive=_IDLE_SECONDS_MAX,
                timeout_graceful_shutdown=2,
            )
        )

    async def run(self) -> None:
        """Serve until `stop`; closes the listening socket."""
        with self._socket:
            await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Take no more requests and let `run` return when the running ones are answered."""
        self._server.should_exit = True


def listen(host: str, port: int) -> socket.socket:
    """Take a port; connections wait until a server accepts them.

    Args:
        host: address to listen on.
        port: 0 takes a free one.

    Raises:
        TabletdError: INVALID_CONFIG, the port cannot be taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        address: Any = (host, port)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise TabletdError(
            Reason.INVALID_CONFIG,
            f"cannot listen for HTTP on {host}:{port}: {error.strerror or error}",
            hint="choose another http_port or http_bind, or stop what listens there",
            address=f"{host}:{port}",
        ) from None
    return listener
