"""`tabletd.v1.Throttling`: the throttler's settings and rules of one shard."""

from __future__ import annotations

from typing import Any

import grpc.aio

from tabletd.servicers.convert_throttler import (
    change_from_proto,
    config_to_proto,
    rule_from_proto,
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
    """

    def __init__(self, *, app_rules: AppRules) -> None:
        self._app_rules = app_rules

    async def UpdateConfig(
        self, request: vtctldata_pb2.UpdateThrottlerConfigRequest, context: _Context
    ) -> vtctldata_pb2.UpdateThrottlerConfigResponse:
        await self._app_rules.update(change_from_proto(request), rule_from_proto(request))
        return vtctldata_pb2.UpdateThrottlerConfigResponse()

    async def GetConfig(
        self, request: pb.GetConfigRequest, context: _Context
    ) -> pb.GetConfigResponse:
        rules = self._app_rules
        return pb.GetConfigResponse(config=config_to_proto(rules.config, rules.stored_rules()))
