"""`vtctlservice.Vtctld`: schema changes and the throttler's settings."""

from __future__ import annotations

from typing import Any

import grpc.aio

from tabletd.servicers.sizes import bounded
from tabletd.vtctld.migrations import Verb
from tabletd.vtctld.vtctld import Vtctld
from tabletd_pb import tabletmanagerdata_pb2
from tabletd_pb import vtctldata_pb2 as pb

_Context = grpc.aio.ServicerContext[Any, Any]
_Command = (
    pb.CancelSchemaMigrationRequest
    | pb.CleanupSchemaMigrationRequest
    | pb.CompleteSchemaMigrationRequest
    | pb.ForceCutOverSchemaMigrationRequest
    | pb.LaunchSchemaMigrationRequest
    | pb.RetrySchemaMigrationRequest
)


class MigrationMethods:
    """The methods on migrations.

    Args:
        vtctld: does what is asked.
    """

    def __init__(self, vtctld: Vtctld) -> None:
        self._vtctld = vtctld

    async def ApplySchema(
        self, request: pb.ApplySchemaRequest, context: _Context
    ) -> pb.ApplySchemaResponse:
        applied = await self._vtctld.schema.apply(request)
        return pb.ApplySchemaResponse(
            uuid_list=applied.uuids, rows_affected_by_shard=applied.rows_affected
        )

    async def GetSchemaMigrations(
        self, request: pb.GetSchemaMigrationsRequest, context: _Context
    ) -> pb.GetSchemaMigrationsResponse:
        migrations = await self._vtctld.migrations.listing(request)
        return bounded(pb.GetSchemaMigrationsResponse(migrations=migrations))

    async def CancelSchemaMigration(
        self, request: pb.CancelSchemaMigrationRequest, context: _Context
    ) -> pb.CancelSchemaMigrationResponse:
        rows = await self._command(Verb.CANCEL, request)
        return pb.CancelSchemaMigrationResponse(rows_affected_by_shard=rows)

    async def CleanupSchemaMigration(
        self, request: pb.CleanupSchemaMigrationRequest, context: _Context
    ) -> pb.CleanupSchemaMigrationResponse:
        rows = await self._command(Verb.CLEANUP, request)
        return pb.CleanupSchemaMigrationResponse(rows_affected_by_shard=rows)

    async def CompleteSchemaMigration(
        self, request: pb.CompleteSchemaMigrationRequest, context: _Context
    ) -> pb.CompleteSchemaMigrationResponse:
        rows = await self._command(Verb.COMPLETE, request)
        return pb.CompleteSchemaMigrationResponse(rows_affected_by_shard=rows)

    async def ForceCutOverSchemaMigration(
        self, request: pb.ForceCutOverSchemaMigrationRequest, context: _Context
    ) -> pb.ForceCutOverSchemaMigrationResponse:
        rows = await self._command(Verb.FORCE_CUTOVER, request)
        return pb.ForceCutOverSchemaMigrationResponse(rows_affected_by_shard=rows)

    async def LaunchSchemaMigration(
        self, request: pb.LaunchSchemaMigrationRequest, context: _Context
    ) -> pb.LaunchSchemaMigrationResponse:
        rows = await self._command(Verb.LAUNCH, request)
        return pb.LaunchSchemaMigrationResponse(rows_affected_by_shard=rows)

    async def RetrySchemaMigration(
        self, request: pb.RetrySchemaMigrationRequest, context: _Context
    ) -> pb.RetrySchemaMigrationResponse:
        rows = await self._command(Verb.RETRY, request)
        return pb.RetrySchemaMigrationResponse(rows_affected_by_shard=rows)

    async def UpdateThrottlerConfig(
        self, request: pb.UpdateThrottlerConfigRequest, context: _Context
    ) -> pb.UpdateThrottlerConfigResponse:
        await self._vtctld.throttling.update(request)
        return pb.UpdateThrottlerConfigResponse()

    async def CheckThrottler(
        self, request: pb.CheckThrottlerRequest, context: _Context
    ) -> pb.CheckThrottlerResponse:
        check = await self._vtctld.calls.call(
            request.tablet_alias,
            lambda stub: stub.manager.CheckThrottler,
            tabletmanagerdata_pb2.CheckThrottlerRequest(
                app_name=request.app_name,
                scope=request.scope,
                skip_request_heartbeats=request.skip_request_heartbeats,
                ok_if_not_exists=request.ok_if_not_exists,
            ),
        )
        return pb.CheckThrottlerResponse(tablet_alias=request.tablet_alias, Check=check)

    async def GetThrottlerStatus(
        self, request: pb.GetThrottlerStatusRequest, context: _Context
    ) -> pb.GetThrottlerStatusResponse:
        status = await self._vtctld.calls.call(
            request.tablet_alias,
            lambda stub: stub.manager.GetThrottlerStatus,
            tabletmanagerdata_pb2.GetThrottlerStatusRequest(),
        )
        return pb.GetThrottlerStatusResponse(status=status)

    async def _command(self, verb: Verb, request: _Command) -> dict[str, int]:
        caller = request.caller_id if request.HasField("caller_id") else None
        return await self._vtctld.migrations.command(verb, request.keyspace, request.uuid, caller)
