"""What a tablet says of itself over StreamHealth."""

from __future__ import annotations

import grpc.aio

from tabletd_client.convert import type_name
from tabletd_client.errors import from_rpc_error
from tabletd_client.models import Tablet, TabletLag
from tabletd_client.places import Place
from tabletd_pb import query_pb2
from tabletd_pb.queryservice_pb2_grpc import QueryStub


async def tablet_lag(
    place: Place,
    *,
    metadata: tuple[tuple[str, str], ...],
    timeout_seconds: float,
) -> TabletLag:
    """Return the lag of a tablet; when it is silent, why."""
    tablet = place.tablet
    call = QueryStub(place.channel).StreamHealth(
        query_pb2.StreamHealthRequest(), metadata=metadata, timeout=timeout_seconds
    )
    try:
        message = await call.read()
    except grpc.aio.AioRpcError as error:
        return _silent(tablet, from_rpc_error(error, place.address).message)
    finally:
        call.cancel()
    if not isinstance(message, query_pb2.StreamHealthResponse):
        return _silent(tablet, f"{place.address} ended the stream")
    stats = message.realtime_stats
    return TabletLag(
        alias=tablet.alias,
        keyspace=tablet.keyspace,
        shard=tablet.shard,
        type=type_name(message.target.tablet_type),
        serving=message.serving,
        lag_seconds=None if stats.health_error else stats.replication_lag_seconds,
        error=stats.health_error,
    )


def _silent(tablet: Tablet, why: str) -> TabletLag:
    return TabletLag(
        alias=tablet.alias,
        keyspace=tablet.keyspace,
        shard=tablet.shard,
        type=tablet.type,
        serving=None,
        lag_seconds=None,
        error=why,
    )
