"""`tabletd.v1.Throttling`: the throttler's settings and rules of one shard."""

from __future__ import annotations

from typing import Any

import grpc.aio

from tabletd.errors import Reason, TabletdError
from tabletd.servicers.convert_throttler import (
    change_from_proto,
    rule_from_proto,
    snapshot_from_proto,
    snapshot_to_proto,
)
from tabletd.throttler import AppRules
from tabletd_pb import throttling_pb2 as pb
from tabletd_pb import vtctldata_pb2
from tabletd_pb.throttling_pb2_grpc import ThrottlingServicer

_Context = grpc.aio.ServicerContext[Any, Any]


class Throttling(ThrottlingServicer):
    """Changes and tells them.

    Args:
        app_rules: the rules and the settings.
        keyspace: whose they are.
        shard: whose they are.
    """

    def __init__(self, *, app_rules: AppRules, keyspace: str, shard: str) -> None:
        self._app_rules = app_rules
        self._keyspace = keyspace
        self._shard = shard

    async def UpdateConfig(
        self, request: vtctldata_pb2.UpdateThrottlerConfigRequest, context: _Context
    ) -> vtctldata_pb2.UpdateThrottlerConfigResponse:
        await self._app_rules.update(change_from_proto(request), rule_from_proto(request))
        return vtctldata_pb2.UpdateThrottlerConfigResponse()

    async def GetConfig(
        self, request: pb.GetConfigRequest, context: _Context
    ) -> pb.GetConfigResponse:
        return snapshot_to_proto(self._app_rules.snapshot(), self._keyspace, self._shard)

    async def TakeConfig(
        self, request: pb.TakeConfigRequest, context: _Context
    ) -> pb.TakeConfigResponse:
        stored = request.stored
        if (stored.keyspace, stored.shard) != (self._keyspace, self._shard):
            raise TabletdError(
                Reason.WRONG_TARGET,
                f"these are rules of {stored.keyspace}/{stored.shard}, "
                f"this tablet belongs to {self._keyspace}/{self._shard}",
            )
        return pb.TakeConfigResponse(taken=self._app_rules.take(snapshot_from_proto(stored)))
