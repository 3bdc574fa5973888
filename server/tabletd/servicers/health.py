"""`grpc.health.v1` follows the tablet: serving or not, for the server and each of its services."""

from __future__ import annotations

import logging
from typing import Final

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio

from tabletd.errors import Reason, TabletdError
from tabletd.servicers.ports import TabletPort

logger = logging.getLogger(__name__)
_OVERALL: Final = ""


async def follow_health(
    tablet: TabletPort, health: health_aio.HealthServicer, services: tuple[str, ...]
) -> None:
    """Publish each change of the tablet's health until the tablet stops.

    Args:
        tablet: whose health it is.
        health: what clients ask.
        services: full names of the services that share the answer.
    """
    while True:
        try:
            async with tablet.subscribe() as updates:
                async for update in updates:
                    await set_serving(health, services, update.serving)
        except TabletdError as error:
            if error.reason is not Reason.SLOW_READER:
                return  # the tablet is shut down, and `set_serving` is not ours any more
            logger.warning("health of the gRPC server fell behind: %s", error)


async def set_serving(
    health: health_aio.HealthServicer, services: tuple[str, ...], serving: bool
) -> None:
    """Answer the same for the server as a whole and each service."""
    status = (
        health_pb2.HealthCheckResponse.SERVING
        if serving
        else health_pb2.HealthCheckResponse.NOT_SERVING
    )
    for service in (_OVERALL, *services):
        await health.set(service, status)
