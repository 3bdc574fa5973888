"""How far a tablet is behind its primary, and how sure it is of that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import grpc
import grpc.aio

from tabletd_client.convert import type_name
from tabletd_client.errors import from_rpc_error
from tabletd_client.models import LagMethod, LagPoint, LagState, TabletLag
from tabletd_client.places import Place
from tabletd_pb import lag_pb2, query_pb2
from tabletd_pb.lag_pb2_grpc import LagStub
from tabletd_pb.queryservice_pb2_grpc import QueryStub

_NS_PER_MS: Final = 1_000_000
_Metadata = tuple[tuple[str, str], ...]


async def tablet_lag(
    place: Place, with_history: bool, metadata: _Metadata, timeout_seconds: float
) -> TabletLag:
    """Return the lag of a tablet; when it is silent, why."""
    tablet = place.tablet
    health, told = None, lag_pb2.GetLagResponse()
    silent = f"{place.address} ended the stream"
    try:
        health = await _health(place, metadata, timeout_seconds)
        told = await _figure(place, with_history, metadata, timeout_seconds)
    except grpc.aio.AioRpcError as error:
        health = None
        silent = from_rpc_error(error, place.address).message
    figure = told.lag
    return TabletLag(
        alias=tablet.alias,
        keyspace=tablet.keyspace,
        shard=tablet.shard,
        type=tablet.type if health is None else type_name(health.target.tablet_type),
        serving=None if health is None else health.serving,
        lag_seconds=_whole_seconds(health),
        error=silent if health is None else health.realtime_stats.health_error or figure.error,
        state=_state(figure.state),
        method=_method(figure.method),
        lag_ms=_ms(figure.lag_ns, figure.HasField("lag_ns")),
        lower_ms=_ms(figure.lower_ns, figure.HasField("lower_ns")),
        upper_ms=_ms(figure.upper_ns, figure.HasField("upper_ns")),
        age_ms=_ms(figure.age_ns, figure.HasField("age_ns")),
        held_ms=_ms(figure.held_ns, figure.HasField("held_ns")),
        delay_ms=figure.delay_ns / _NS_PER_MS,
        cause=figure.cause,
        history=tuple(map(_point, told.history)),
    )


async def _health(
    place: Place, metadata: _Metadata, timeout_seconds: float
) -> query_pb2.StreamHealthResponse | None:
    """Return what the tablet says of itself first; None: it ended the stream before."""
    call = QueryStub(place.channel).StreamHealth(
        query_pb2.StreamHealthRequest(), metadata=metadata, timeout=timeout_seconds
    )
    try:
        message = await call.read()
    finally:
        call.cancel()
    return message if isinstance(message, query_pb2.StreamHealthResponse) else None


async def _figure(
    place: Place, with_history: bool, metadata: _Metadata, timeout_seconds: float
) -> lag_pb2.GetLagResponse:
    request = lag_pb2.GetLagRequest(with_history=with_history)
    try:
        return await LagStub(place.channel).GetLag(
            request, metadata=metadata, timeout=timeout_seconds
        )
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
            raise
        return lag_pb2.GetLagResponse()  # a daemon of before there were bounds


def _whole_seconds(health: query_pb2.StreamHealthResponse | None) -> int | None:
    if health is None or health.realtime_stats.health_error:
        return None
    return health.realtime_stats.replication_lag_seconds


def _point(message: lag_pb2.LagPoint) -> LagPoint:
    return LagPoint(
        age_ms=message.age_ns / _NS_PER_MS,
        state=_state(message.state),
        lag_ms=_ms(message.lag_ns, message.HasField("lag_ns")),
        lower_ms=_ms(message.lower_ns, message.HasField("lower_ns")),
        upper_ms=_ms(message.upper_ns, message.HasField("upper_ns")),
    )


def _ms(nanoseconds: int, is_known: bool) -> float | None:
    return nanoseconds / _NS_PER_MS if is_known else None


def _state(number: int) -> LagState:
    return _STATES.get(number, LagState.UNKNOWN)


def _method(number: int) -> LagMethod:
    return _METHODS.get(number, LagMethod.NONE)


_STATES: Final[Mapping[int, LagState]] = {
    number: LagState(name.removeprefix("STATE_").lower())
    for name, number in lag_pb2.LagFigure.State.items()
}
_METHODS: Final[Mapping[int, LagMethod]] = {
    number: LagMethod(name.removeprefix("METHOD_").lower())
    for name, number in lag_pb2.LagFigure.Method.items()
}
