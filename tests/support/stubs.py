"""Stubs for plain and asyncio channels alike.

The typed stubs know one kind of channel only, so here they are untyped.
"""

from __future__ import annotations

from typing import Any, cast

from grpc_channelz.v1 import channelz_pb2_grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc

from tabletd_pb import queryservice_pb2_grpc, tabletmanagerservice_pb2_grpc


def manager(channel: object) -> Any:
    """Return a stub of TabletManager."""
    return cast(Any, tabletmanagerservice_pb2_grpc.TabletManagerStub)(channel)


def query_service(channel: object) -> Any:
    """Return a stub of Query."""
    return cast(Any, queryservice_pb2_grpc.QueryStub)(channel)


def health_service(channel: object) -> Any:
    """Return a stub of grpc.health.v1.Health."""
    return cast(Any, health_pb2_grpc.HealthStub)(channel)


def reflection_service(channel: object) -> Any:
    """Return a stub of ServerReflection."""
    return cast(Any, reflection_pb2_grpc.ServerReflectionStub)(channel)


def untyped_call(channel: Any, method: str, *, stream: bool = False) -> Any:
    """Return a caller of any method, with bytes for messages."""
    return (channel.unary_stream if stream else channel.unary_unary)(method)


def channelz_service(channel: object) -> Any:
    """Return a stub of Channelz."""
    return cast(Any, channelz_pb2_grpc.ChannelzStub)(channel)
