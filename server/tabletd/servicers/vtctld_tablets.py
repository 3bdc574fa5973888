"""`vtctlservice.Vtctld`: calls that go to one tablet, or to those of a shard."""

from __future__ import annotations

from typing import Any

import grpc.aio

from tabletd.servicers.sizes import bounded
from tabletd.vtctld.tablets import STATEMENT_SECONDS_MAX
from tabletd.vtctld.vtctld import Vtctld
from tabletd_pb import tabletmanagerdata_pb2 as tm
from tabletd_pb import vtctldata_pb2 as pb

_Context = grpc.aio.ServicerContext[Any, Any]


class TabletMethods:
    """The methods on one tablet.

    Args:
        vtctld: calls it.
    """

    def __init__(self, vtctld: Vtctld) -> None:
        self._cluster = vtctld.cluster
        self._calls = vtctld.calls

    async def GetSchema(
        self, request: pb.GetSchemaRequest, context: _Context
    ) -> pb.GetSchemaResponse:
        answer = await self._calls.call(
            request.tablet_alias,
            lambda stub: stub.manager.GetSchema,
            tm.GetSchemaRequest(
                tables=request.tables,
                exclude_tables=request.exclude_tables,
                include_views=request.include_views,
                table_schema_only=request.table_schema_only or request.table_names_only,
            ),
        )
        schema = answer.schema_definition
        if request.table_names_only:
            _keep(schema, "name")
        elif request.table_sizes_only:
            _keep(schema, "name", "type", "row_count", "data_length")
        return bounded(pb.GetSchemaResponse(schema=schema))

    async def ReloadSchema(
        self, request: pb.ReloadSchemaRequest, context: _Context
    ) -> pb.ReloadSchemaResponse:
        await self._calls.call(
            request.tablet_alias,
            lambda stub: stub.manager.ReloadSchema,
            tm.ReloadSchemaRequest(),
        )
        return pb.ReloadSchemaResponse()

    async def ReloadSchemaKeyspace(
        self, request: pb.ReloadSchemaKeyspaceRequest, context: _Context
    ) -> pb.ReloadSchemaKeyspaceResponse:
        events = await self._calls.reload_keyspace(request)
        return pb.ReloadSchemaKeyspaceResponse(events=events)

    async def ReloadSchemaShard(
        self, request: pb.ReloadSchemaShardRequest, context: _Context
    ) -> pb.ReloadSchemaShardResponse:
        return pb.ReloadSchemaShardResponse(events=await self._calls.reload_shard(request))

    async def PingTablet(
        self, request: pb.PingTabletRequest, context: _Context
    ) -> pb.PingTabletResponse:
        await self._calls.call(
            request.tablet_alias, lambda stub: stub.manager.Ping, tm.PingRequest(payload="vtctld")
        )
        return pb.PingTabletResponse()

    async def RunHealthCheck(
        self, request: pb.RunHealthCheckRequest, context: _Context
    ) -> pb.RunHealthCheckResponse:
        await self._calls.call(
            request.tablet_alias,
            lambda stub: stub.manager.RunHealthCheck,
            tm.RunHealthCheckRequest(),
        )
        return pb.RunHealthCheckResponse()

    async def RefreshState(
        self, request: pb.RefreshStateRequest, context: _Context
    ) -> pb.RefreshStateResponse:
        await self._calls.call(
            request.tablet_alias,
            lambda stub: stub.manager.RefreshState,
            tm.RefreshStateRequest(),
        )
        return pb.RefreshStateResponse()

    async def GetVersion(
        self, request: pb.GetVersionRequest, context: _Context
    ) -> pb.GetVersionResponse:
        place = self._cluster.tablet(request.tablet_alias)
        return pb.GetVersionResponse(version=await self._calls.version(place))

    async def GetFullStatus(
        self, request: pb.GetFullStatusRequest, context: _Context
    ) -> pb.GetFullStatusResponse:
        answer = await self._calls.call(
            request.tablet_alias, lambda stub: stub.manager.FullStatus, tm.FullStatusRequest()
        )
        return pb.GetFullStatusResponse(status=answer.status)

    async def GetPermissions(
        self, request: pb.GetPermissionsRequest, context: _Context
    ) -> pb.GetPermissionsResponse:
        answer = await self._calls.call(
            request.tablet_alias,
            lambda stub: stub.manager.GetPermissions,
            tm.GetPermissionsRequest(),
        )
        return bounded(pb.GetPermissionsResponse(permissions=answer.permissions))

    async def SetWritable(
        self, request: pb.SetWritableRequest, context: _Context
    ) -> pb.SetWritableResponse:
        if request.writable:
            await self._calls.call(
                request.tablet_alias,
                lambda stub: stub.manager.SetReadWrite,
                tm.SetReadWriteRequest(),
            )
        else:
            await self._calls.call(
                request.tablet_alias,
                lambda stub: stub.manager.SetReadOnly,
                tm.SetReadOnlyRequest(),
            )
        return pb.SetWritableResponse()

    async def ExecuteFetchAsDBA(
        self, request: pb.ExecuteFetchAsDBARequest, context: _Context
    ) -> pb.ExecuteFetchAsDBAResponse:
        answer = await self._calls.call(
            request.tablet_alias,
            lambda stub: stub.manager.ExecuteFetchAsDba,
            tm.ExecuteFetchAsDbaRequest(
                query=request.query.encode(),
                max_rows=max(0, request.max_rows),
                disable_binlogs=request.disable_binlogs,
                reload_schema=request.reload_schema,
            ),
            timeout_seconds=STATEMENT_SECONDS_MAX,
        )
        return bounded(pb.ExecuteFetchAsDBAResponse(result=answer.result))

    async def ExecuteMultiFetchAsDBA(
        self, request: pb.ExecuteMultiFetchAsDBARequest, context: _Context
    ) -> pb.ExecuteMultiFetchAsDBAResponse:
        answer = await self._calls.call(
            request.tablet_alias,
            lambda stub: stub.manager.ExecuteMultiFetchAsDba,
            tm.ExecuteMultiFetchAsDbaRequest(
                sql=request.sql.encode(),
                max_rows=max(0, request.max_rows),
                disable_binlogs=request.disable_binlogs,
                reload_schema=request.reload_schema,
            ),
            timeout_seconds=STATEMENT_SECONDS_MAX,
        )
        return bounded(pb.ExecuteMultiFetchAsDBAResponse(results=answer.results))

    async def ExecuteFetchAsApp(
        self, request: pb.ExecuteFetchAsAppRequest, context: _Context
    ) -> pb.ExecuteFetchAsAppResponse:
        answer = await self._calls.call(
            request.tablet_alias,
            lambda stub: stub.manager.ExecuteFetchAsApp,
            tm.ExecuteFetchAsAppRequest(
                query=request.query.encode(), max_rows=max(0, request.max_rows)
            ),
            timeout_seconds=STATEMENT_SECONDS_MAX,
        )
        return bounded(pb.ExecuteFetchAsAppResponse(result=answer.result))


def _keep(schema: tm.SchemaDefinition, *fields: str) -> None:
    """Clear everything of each table but some fields."""
    schema.ClearField("database_schema")
    for table in schema.table_definitions:
        for field, _ in table.ListFields():
            if field.name not in fields:
                table.ClearField(field.name)  # type: ignore[arg-type]
