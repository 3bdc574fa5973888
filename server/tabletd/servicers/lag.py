"""`tabletd.v1.Lag`: the lag of this tablet, and the writer's time."""

from __future__ import annotations

from typing import Any

import grpc.aio

from tabletd.clock import Clock
from tabletd.servicers.convert import alias_to_proto, tablet_type_to_proto
from tabletd.servicers.convert_lag import (
    answer_to_proto,
    lag_to_proto,
    question_from_proto,
    sample_to_proto,
)
from tabletd.servicers.ports import LagTracking, TabletPort
from tabletd_pb import lag_pb2 as pb
from tabletd_pb.lag_pb2_grpc import LagServicer

_Context = grpc.aio.ServicerContext[Any, Any]


class LagService(LagServicer):
    """Tells both from memory.

    Args:
        tablet: identity and role.
        tracker: measures the lag, and writes the heartbeats of a primary.
        clock: the one that the tracker measures by.
    """

    def __init__(self, *, tablet: TabletPort, tracker: LagTracking, clock: Clock) -> None:
        self._tablet = tablet
        self._tracker = tracker
        self._clock = clock

    async def GetLag(self, request: pb.GetLagRequest, context: _Context) -> pb.GetLagResponse:
        tablet, tracker = self._tablet, self._tracker
        tracker.want_heartbeats()
        now = self._clock.monotonic_seconds()
        history = tracker.history() if request.with_history else ()
        return pb.GetLagResponse(
            tablet_alias=alias_to_proto(tablet.alias),
            keyspace=tablet.keyspace,
            shard=tablet.shard,
            tablet_type=tablet_type_to_proto(tablet.type),
            lag=lag_to_proto(tracker.status(), now),
            history=[sample_to_proto(sample, now) for sample in history],
        )

    async def Exchange(self, request: pb.ExchangeRequest, context: _Context) -> pb.ExchangeResponse:
        received = self._clock.monotonic_seconds()
        answer = await self._tracker.answer(question_from_proto(request), received)
        return answer_to_proto(answer)
