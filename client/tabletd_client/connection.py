"""Channels to servers: how they are secured, and calls with a deadline and errors by reason."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

import grpc
import grpc.aio

from tabletd_client.errors import from_rpc_error

_MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024
_OPTIONS: Final[tuple[tuple[str, Any], ...]] = (
    ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", _MESSAGE_BYTES_MAX),
    # A peer that is gone without a word is noticed within 15 s.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Also how long an attempt to connect may take.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Another daemon behind the same address must be a new connection.
    ("grpc.use_local_subchannel_pool", 1),
)

_Request_contra = TypeVar("_Request_contra", contravariant=True)
_Response_co = TypeVar("_Response_co", covariant=True)
RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """How the connection is secured; every value is the content of a PEM file.

    Attributes:
        ca: the authorities that may vouch for the server; None: those of the system.
        certificate: what the client shows of itself; needs `private_key`.
        private_key: of `certificate`.
        server_name: the name in the server's certificate, where it is not its host name.
    """

    ca: bytes | None = None
    certificate: bytes | None = None
    private_key: bytes | None = field(default=None, repr=False)
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class PasswordCredentials:
    """Who calls; sent with every call, as Vitess's static authentication has it."""

    username: str
    password: str = field(repr=False)


class Method(Protocol[_Request_contra, _Response_co]):
    """A unary method of a stub."""

    def __call__(
        self,
        request: _Request_contra,
        /,
        *,
        timeout: float,
        metadata: tuple[tuple[str, str], ...],
    ) -> Awaitable[_Response_co]: ...


class Connections:
    """One channel for each address, opened when it is first needed.

    Args:
        tls: None: plain text.
        credentials: None: none are sent.
    """

    def __init__(self, tls: TlsOptions | None, credentials: PasswordCredentials | None) -> None:
        self._tls = tls
        self._channels: dict[str, grpc.aio.Channel] = {}
        self.metadata: tuple[tuple[str, str], ...] = ()
        if credentials is not None:
            self.metadata = (
                ("username", credentials.username),
                ("password", credentials.password),
            )

    def channel(self, address: str) -> grpc.aio.Channel:
        """Return the channel to `host:port`."""
        channel = self._channels.get(address)
        if channel is None:
            channel = self._channels[address] = self._open(address)
        return channel

    async def call(
        self,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        *,
        address: str,
        timeout_seconds: float,
    ) -> ResponseT:
        """Call a unary method.

        Args:
            method: of a stub on the channel to `address`.
            request: its argument.
            address: for the text of errors.
            timeout_seconds: how long the answer may take, connecting included.

        Raises:
            TabletdClientError: with the server's reason, or NOT_REACHABLE or TIMEOUT.
        """
        try:
            return await method(request, timeout=timeout_seconds, metadata=self.metadata)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, address) from None

    async def close(self) -> None:
        """Close all channels; calls that are open end."""
        channels = list(self._channels.values())
        self._channels.clear()
        for channel in channels:
            await channel.close()

    def _open(self, address: str) -> grpc.aio.Channel:
        if self._tls is None:
            return grpc.aio.insecure_channel(address, options=_OPTIONS)
        options = _OPTIONS
        if self._tls.server_name:
            options = (*_OPTIONS, ("grpc.ssl_target_name_override", self._tls.server_name))
        credentials = grpc.ssl_channel_credentials(
            root_certificates=self._tls.ca,
            private_key=self._tls.private_key,
            certificate_chain=self._tls.certificate,
        )
        return grpc.aio.secure_channel(address, credentials, options=options)
