"""Calls to tablets: a connection to each, deadlines, and errors as our own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeVar, cast

import grpc
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from tabletd.access.peers import PLAIN, Metadata, Peers
from tabletd.errors import Reason, TabletdError
from tabletd.topology import TabletPlace
from tabletd_pb.lag_pb2_grpc import LagStub
from tabletd_pb.tabletmanagerservice_pb2_grpc import TabletManagerStub
from tabletd_pb.throttling_pb2_grpc import ThrottlingStub

CALL_SECONDS_MAX: Final = 30.0
# A DDL may take long; a caller that has less patience sets a deadline, which ends the call.
STATEMENT_SECONDS_MAX: Final = 6 * 3600.0
# Of a message, in both directions. Vitess's own limit.
MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024
_OPTIONS: Final[tuple[tuple[str, Any], ...]] = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.keepalive_time_ms", 15_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
# Of tablets that say no reason of ours.
_REASONS: Final[Mapping[grpc.StatusCode, Reason]] = MappingProxyType(
    {
        grpc.StatusCode.INVALID_ARGUMENT: Reason.INVALID_REQUEST,
        grpc.StatusCode.NOT_FOUND: Reason.TOPOLOGY_NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION: Reason.MIGRATION_REJECTED,
        grpc.StatusCode.ABORTED: Reason.LOST_RACE,
        grpc.StatusCode.UNIMPLEMENTED: Reason.UNSUPPORTED_METHOD,
        grpc.StatusCode.UNAVAILABLE: Reason.MYSQL_UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED: Reason.TIMEOUT,
        grpc.StatusCode.RESOURCE_EXHAUSTED: Reason.TOO_MANY_CALLS,
        grpc.StatusCode.UNAUTHENTICATED: Reason.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED: Reason.PERMISSION_DENIED,
    }
)

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
_Request_contra = TypeVar("_Request_contra", contravariant=True)
_Response_co = TypeVar("_Response_co", covariant=True)


class Method(Protocol[_Request_contra, _Response_co]):
    """A method of a tablet, ready to be called."""

    def __call__(
        self, request: _Request_contra, /, *, timeout: float, metadata: Metadata
    ) -> Awaitable[_Response_co]: ...


class TabletStub:
    """The services of one tablet.

    Attributes:
        manager: its `TabletManager`.
        throttling: its throttler's settings.
        lag: its replication lag, and the time of its heartbeats.
    """

    def __init__(
        self, manager: TabletManagerStub, throttling: ThrottlingStub, lag: LagStub
    ) -> None:
        self.manager = manager
        self.throttling = throttling
        self.lag = lag


def own_tablet(manager: object, throttling: object, lag: object) -> TabletStub:
    """Return the stub of the tablet in this process: its servicers are called without a network.

    Args:
        manager: the servicer of `TabletManager`.
        throttling: the servicer of `Throttling`.
        lag: the servicer of `Lag`.
    """
    return TabletStub(
        cast(TabletManagerStub, _InProcess(manager)),
        cast(ThrottlingStub, _InProcess(throttling)),
        cast(LagStub, _InProcess(lag)),
    )


class _InProcess:
    """Has the methods of a stub, and calls those of a servicer."""

    def __init__(self, servicer: object) -> None:
        self._servicer = servicer

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        behaviour = getattr(self._servicer, name)

        async def call(request: Any, /, *, timeout: float, metadata: Metadata) -> Any:
            try:
                async with asyncio.timeout(timeout):
                    return await behaviour(request, None)
            except TimeoutError:
                raise TabletdError(
                    Reason.TIMEOUT, f"{name} was not answered within {timeout:g} s"
                ) from None

        return call


class TabletClients:
    """A connection to each tablet, opened when it is first needed.

    Args:
        own: the tablet in this process, by alias.
        peers: opens the connections.
    """

    def __init__(
        self, own: Mapping[str, TabletStub] | None = None, *, peers: Peers = PLAIN
    ) -> None:
        self._own = dict(own or {})
        self._peers = peers
        self._channels: list[grpc.aio.Channel] = []
        # By address and by what it was opened with; calls may still run on one that is outdated.
        self._stubs: dict[tuple[str, int], TabletStub] = {}

    async def call(
        self,
        tablet: TabletPlace,
        method: Callable[[TabletStub], Method[RequestT, ResponseT]],
        request: RequestT,
        *,
        timeout_seconds: float = CALL_SECONDS_MAX,
    ) -> ResponseT:
        """Call a tablet.

        Args:
            tablet: which.
            method: picks the method: `lambda stub: stub.manager.Ping`.
            request: what is sent.
            timeout_seconds: it is given up after this.

        Raises:
            TabletdError: what the tablet answered, with its reason.
        """
        stub = self._own.get(tablet.alias) or self._stub(tablet.grpc_address)
        try:
            return await method(stub)(
                request, timeout=timeout_seconds, metadata=self._peers.metadata()
            )
        except grpc.aio.AioRpcError as error:
            raise tablet_error(error, tablet) from None

    def _stub(self, address: str) -> TabletStub:
        key = (address, self._peers.generation)
        stub = self._stubs.get(key)
        if stub is None:
            channel = self._peers.open(address, _OPTIONS)
            self._channels.append(channel)
            stub = TabletStub(TabletManagerStub(channel), ThrottlingStub(channel), LagStub(channel))
            self._stubs[key] = stub
        return stub

    async def close(self) -> None:
        """Close all connections; what is under way ends with an error."""
        channels = list(self._channels)
        self._channels.clear()
        self._stubs.clear()
        for channel in channels:
            await channel.close()


def tablet_error(error: grpc.aio.AioRpcError, tablet: TabletPlace) -> TabletdError:
    """Return the error of a tablet with the reason that it gave."""
    text = error.details() or error.code().name
    status = cast(Any, rpc_status.from_call(error))  # type: ignore[arg-type]
    details = cast(list[Any], status.details) if status is not None else []
    for detail in details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.reason in Reason.__members__:
            return TabletdError(Reason(info.reason), text, **dict(info.metadata))
    # Not from the daemon itself: gRPC says it, and does not say of whom.
    reason = _REASONS.get(error.code(), Reason.OUTCOME_UNKNOWN)
    text = f"{tablet.alias} at {tablet.grpc_address}: {text}"
    return TabletdError(reason, text, tablet=tablet.alias)
