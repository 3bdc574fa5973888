"""The gRPC server: our services and gRPC's own on one port."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import grpc
import grpc.aio
from grpc_channelz.v1 import channelz, channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from tabletd.errors import Reason, TabletdError
from tabletd.servicers.calls import Methods, Surroundings
from tabletd.servicers.decoding import Decoding
from tabletd.servicers.guard import Guard
from tabletd.servicers.limits import CallLimits, build_limits
from tabletd.telemetry.rpc import RpcTelemetry
from tabletd.telemetry.rpc_durations import Durations, no_durations
from tabletd.telemetry.vars import Registry
from tabletd.vtctld.tablets import MESSAGE_BYTES_MAX
from tabletd_pb import (
    lag_pb2,
    lag_pb2_grpc,
    migrations_pb2,
    migrations_pb2_grpc,
    queryservice_pb2,
    queryservice_pb2_grpc,
    tabletmanagerservice_pb2,
    tabletmanagerservice_pb2_grpc,
    throttling_pb2,
    throttling_pb2_grpc,
    vtctlservice_pb2,
    vtctlservice_pb2_grpc,
)

logger = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 3600.0
_OPTIONS: Final[tuple[tuple[str, Any], ...]] = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    # vtctldclient pings every 10 s, also without a call.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
    # A peer that vanished without a word is found and its streams are ended.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # With the defaults a burst of calls is shed at random; our own limit answers honestly.
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 40_000),
    # Otherwise a second daemon on the same port would take half of the calls.
    ("grpc.so_reuseport", 0),
)
DECLARED: Final = (
    tabletmanagerservice_pb2.DESCRIPTOR.services_by_name["TabletManager"],
    queryservice_pb2.DESCRIPTOR.services_by_name["Query"],
    vtctlservice_pb2.DESCRIPTOR.services_by_name["Vtctld"],
    vtctlservice_pb2.DESCRIPTOR.services_by_name["Vtctl"],
    throttling_pb2.DESCRIPTOR.services_by_name["Throttling"],
    migrations_pb2.DESCRIPTOR.services_by_name["Migrations"],
    lag_pb2.DESCRIPTOR.services_by_name["Lag"],
)


@dataclass(frozen=True)
class Listener:
    """One port.

    Attributes:
        host: address to listen on.
        port: 0 takes a free one.
        credentials: TLS; None: plain text.
        setting: which one names the port.
    """

    host: str
    port: int
    credentials: grpc.ServerCredentials | None = None
    setting: str = "grpc_port"


class GrpcServer:
    """A server that listens once started, and again should it end by itself.

    The library's own ends for good at one request whose path is no UTF-8 (grpcio 1.84 and 1.85):
    whoever can reach a port could close it for everybody.

    Args:
        methods: what answers.
        health: what `grpc.health.v1` answers from.
        listeners: where; one at least.
        registry: gets `GrpcServerRestarts`.

    Attributes:
        server: the library's.
        port: the port that it listens on.
        further_ports: those of the listeners behind the first.

    Raises:
        TabletdError: INVALID_CONFIG, a port cannot be taken.
    """

    def __init__(
        self,
        methods: Methods,
        health: health_aio.HealthServicer,
        listeners: Sequence[Listener],
        registry: Registry,
    ) -> None:
        self._methods = methods
        self.health = health
        self._restarts = registry.counter(
            "GrpcServerRestarts", "gRPC servers that ended by themselves and were made anew"
        )
        self.server, ports = self._make(listeners)
        self.port, *further = ports
        self.further_ports = tuple(further)
        self._listeners = [
            replace(listener, port=port) for listener, port in zip(listeners, ports, strict=True)
        ]

    def _make(self, listeners: Sequence[Listener]) -> tuple[grpc.aio.Server, list[int]]:
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers((self._methods,))
        return server, [_listen(server, listener) for listener in listeners]

    async def keep_listening(self) -> None:
        """Make the server anew whenever it ends without having been stopped; returns after that.

        Raises:
            TabletdError: INVALID_CONFIG, somebody else took the port meanwhile.
        """
        while True:
            try:
                # With a limit the library shields what `stop` waits for from the end of this task.
                if await self.server.wait_for_termination(_LOOK_SECONDS):
                    continue
            except Exception as error:
                logger.error("the gRPC server ended by itself and is made anew: %s", error)
            else:
                return
            self._restarts.add()
            self.server, _ = self._make(self._listeners)
            await self.server.start()


SERVICE_NAMES: Final = tuple(service.full_name for service in DECLARED)


def build_server(
    *,
    tablet_manager: tabletmanagerservice_pb2_grpc.TabletManagerServicer,
    query: queryservice_pb2_grpc.QueryServicer,
    throttling: throttling_pb2_grpc.ThrottlingServicer,
    migrations: migrations_pb2_grpc.MigrationsServicer,
    lag: lag_pb2_grpc.LagServicer,
    vtctld: vtctlservice_pb2_grpc.VtctldServicer,
    vtctl: vtctlservice_pb2_grpc.VtctlServicer,
    listeners: Sequence[Listener],
    limits: CallLimits,
    registry: Registry,
    tracing: bool = False,
    durations: Durations = no_durations,
    guard: Guard | None = None,
) -> GrpcServer:
    """Put the services together and take the ports; must be called in the event loop.

    Args:
        tablet_manager: serves `tabletmanagerservice.TabletManager`.
        query: serves `queryservice.Query`.
        throttling: serves `tabletd.v1.Throttling`.
        migrations: serves `tabletd.v1.Migrations`.
        lag: serves `tabletd.v1.Lag`.
        vtctld: serves `vtctlservice.Vtctld`.
        vtctl: serves `vtctlservice.Vtctl`.
        listeners: where; one at least.
        limits: how many calls are taken.
        registry: gets the counters of RPCs.
        tracing: whether each RPC gets a span.
        durations: takes how long each took.
        guard: lets callers in; None: everybody may do everything.

    Raises:
        TabletdError: INVALID_CONFIG, a port cannot be taken.
    """
    # The generated functions know servers only, of which they use two methods.
    methods: Any = Methods(
        Surroundings(
            limits=build_limits(limits, registry),
            telemetry=RpcTelemetry(registry, tracing=tracing, durations=durations),
            guard=guard,
        ),
        Decoding(registry),
    )
    tabletmanagerservice_pb2_grpc.add_TabletManagerServicer_to_server(tablet_manager, methods)
    queryservice_pb2_grpc.add_QueryServicer_to_server(query, methods)
    throttling_pb2_grpc.add_ThrottlingServicer_to_server(throttling, methods)
    migrations_pb2_grpc.add_MigrationsServicer_to_server(migrations, methods)
    lag_pb2_grpc.add_LagServicer_to_server(lag, methods)
    vtctlservice_pb2_grpc.add_VtctldServicer_to_server(vtctld, methods)
    vtctlservice_pb2_grpc.add_VtctlServicer_to_server(vtctl, methods)
    health = health_aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, methods)
    channelz_pb2_grpc.add_ChannelzServicer_to_server(  # pyright: ignore[reportUnknownMemberType]
        channelz.aio.ChannelzServicer(), methods
    )
    reflected = (
        *SERVICE_NAMES,
        health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
        channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name,
        reflection.SERVICE_NAME,
    )
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(  # type: ignore[no-untyped-call]
        reflection.aio.ReflectionServicer(reflected), methods
    )
    return GrpcServer(methods, health, listeners, registry)


def _listen(server: grpc.aio.Server, listener: Listener) -> int:
    host, port = listener.host, listener.port
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if listener.credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, listener.credentials)
    except RuntimeError:
        raise TabletdError(
            Reason.INVALID_CONFIG,
            f"cannot listen for gRPC on {address}: {_bind_problem(host, port)}",
            hint=f"choose another {listener.setting} or grpc_bind, or stop what listens there",
            address=address,
        ) from None


def _bind_problem(host: str, port: int) -> str:
    """Ask the system for the cause, which gRPC keeps for its own log."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
    except OSError as error:
        return error.strerror or str(error)
    return os.strerror(errno.EADDRINUSE)
