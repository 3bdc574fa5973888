"""`tabletmanagerservice.TabletManager`: what orchestrators call on a tablet."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import grpc.aio

from tabletd.admin.tablet_admin import FetchOptions, TabletAdmin
from tabletd.errors import Reason, TabletdError
from tabletd.servicers.convert import tablet_type_from_proto
from tabletd.servicers.convert_status import (
    full_status_to_proto,
    permissions_to_proto,
    primary_status_to_proto,
    replication_status_to_proto,
    schema_to_proto,
)
from tabletd.servicers.convert_throttler import Checks, status_to_proto
from tabletd.servicers.ports import MigrationQueue, TabletPort
from tabletd.servicers.sizes import bounded, result_message
from tabletd.throttler import Throttler, checked_scope
from tabletd_pb import tabletmanagerdata_pb2 as pb
from tabletd_pb.tabletmanagerservice_pb2_grpc import TabletManagerServicer

_Context = grpc.aio.ServicerContext[Any, Any]
_SLEEP_SECONDS_MAX: Final = 3600.0


class TabletManager(TabletManagerServicer):
    """Checks a request, calls one component, converts its answer.

    Args:
        tablet: role and health.
        executor: the queue of migrations.
        admin: statements and status of the server.
        throttler: says whether an app may go on.
    """

    def __init__(
        self,
        *,
        tablet: TabletPort,
        executor: MigrationQueue,
        admin: TabletAdmin,
        throttler: Throttler,
    ) -> None:
        self._tablet = tablet
        self._executor = executor
        self._admin = admin
        self._throttler = throttler
        self._checks = Checks()

    async def Ping(self, request: pb.PingRequest, context: _Context) -> pb.PingResponse:
        return pb.PingResponse(payload=request.payload)

    async def Sleep(self, request: pb.SleepRequest, context: _Context) -> pb.SleepResponse:
        seconds = request.duration / 1e9
        if not 0 <= seconds <= _SLEEP_SECONDS_MAX:
            raise TabletdError(
                Reason.INVALID_REQUEST,
                f"a sleep of {seconds:g} s is not between 0 and {_SLEEP_SECONDS_MAX:g} s",
                hint="the duration is in nanoseconds",
            )
        await asyncio.sleep(seconds)
        return pb.SleepResponse()

    async def VExec(self, request: pb.VExecRequest, context: _Context) -> pb.VExecResponse:
        result = await self._executor.vexec(request.query)
        return bounded(pb.VExecResponse(result=await result_message(result)))

    async def ExecuteQuery(
        self, request: pb.ExecuteQueryRequest, context: _Context
    ) -> pb.ExecuteQueryResponse:
        sql = _text(request.query)
        result = await self._executor.execute_statement(sql)
        if result is None:
            result = await self._admin.execute_query(
                sql, {}, database=request.db_name, rows_max=request.max_rows
            )
        return bounded(pb.ExecuteQueryResponse(result=await result_message(result)))

    async def ExecuteFetchAsDba(
        self, request: pb.ExecuteFetchAsDbaRequest, context: _Context
    ) -> pb.ExecuteFetchAsDbaResponse:
        result = await self._admin.fetch_as_dba(request.query, _fetch_options(request))
        return bounded(pb.ExecuteFetchAsDbaResponse(result=await result_message(result)))

    async def ExecuteMultiFetchAsDba(
        self, request: pb.ExecuteMultiFetchAsDbaRequest, context: _Context
    ) -> pb.ExecuteMultiFetchAsDbaResponse:
        results = await self._admin.fetch_multi_as_dba(request.sql, _fetch_options(request))
        messages = [await result_message(result) for result in results]
        return bounded(pb.ExecuteMultiFetchAsDbaResponse(results=messages))

    async def ExecuteFetchAsApp(
        self, request: pb.ExecuteFetchAsAppRequest, context: _Context
    ) -> pb.ExecuteFetchAsAppResponse:
        result = await self._admin.fetch_as_app(request.query, request.max_rows)
        return bounded(pb.ExecuteFetchAsAppResponse(result=await result_message(result)))

    async def GetSchema(
        self, request: pb.GetSchemaRequest, context: _Context
    ) -> pb.GetSchemaResponse:
        schema = await self._admin.schema(
            tables=request.tables,
            exclude_tables=request.exclude_tables,
            include_views=request.include_views,
            table_schema_only=request.table_schema_only,
        )
        return bounded(pb.GetSchemaResponse(schema_definition=schema_to_proto(schema)))

    async def ReloadSchema(
        self, request: pb.ReloadSchemaRequest, context: _Context
    ) -> pb.ReloadSchemaResponse:
        # No schema is kept in memory here, every call reads the server's own; so the option
        # `reload_schema` of the fetches has nothing to do either.
        if request.wait_position:
            await self._admin.wait_for_position(request.wait_position)
        return pb.ReloadSchemaResponse()

    async def GetPermissions(
        self, request: pb.GetPermissionsRequest, context: _Context
    ) -> pb.GetPermissionsResponse:
        permissions = permissions_to_proto(await self._admin.permissions())
        return bounded(pb.GetPermissionsResponse(permissions=permissions))

    async def PrimaryPosition(
        self, request: pb.PrimaryPositionRequest, context: _Context
    ) -> pb.PrimaryPositionResponse:
        return pb.PrimaryPositionResponse(position=(await self._admin.primary_status()).position)

    async def MasterPosition(
        self, request: pb.MasterPositionRequest, context: _Context
    ) -> pb.MasterPositionResponse:
        return pb.MasterPositionResponse(position=(await self._admin.primary_status()).position)

    async def PrimaryStatus(
        self, request: pb.PrimaryStatusRequest, context: _Context
    ) -> pb.PrimaryStatusResponse:
        status = await self._admin.primary_status()
        return pb.PrimaryStatusResponse(status=primary_status_to_proto(status))

    async def ReplicationStatus(
        self, request: pb.ReplicationStatusRequest, context: _Context
    ) -> pb.ReplicationStatusResponse:
        status = await self._admin.replication_status()
        return pb.ReplicationStatusResponse(status=replication_status_to_proto(status))

    async def FullStatus(
        self, request: pb.FullStatusRequest, context: _Context
    ) -> pb.FullStatusResponse:
        status = await self._admin.full_status()
        return pb.FullStatusResponse(status=full_status_to_proto(status, self._tablet.type))

    async def SetReadOnly(
        self, request: pb.SetReadOnlyRequest, context: _Context
    ) -> pb.SetReadOnlyResponse:
        await self._admin.set_read_only(True)
        await self._tablet.refresh()
        return pb.SetReadOnlyResponse()

    async def SetReadWrite(
        self, request: pb.SetReadWriteRequest, context: _Context
    ) -> pb.SetReadWriteResponse:
        await self._admin.set_read_only(False)
        await self._tablet.refresh()
        return pb.SetReadWriteResponse()

    async def ChangeType(
        self, request: pb.ChangeTypeRequest, context: _Context
    ) -> pb.ChangeTypeResponse:
        await self._tablet.change_type(tablet_type_from_proto(request.tablet_type))
        return pb.ChangeTypeResponse()

    async def RefreshState(
        self, request: pb.RefreshStateRequest, context: _Context
    ) -> pb.RefreshStateResponse:
        await self._tablet.refresh()
        return pb.RefreshStateResponse()

    async def RunHealthCheck(
        self, request: pb.RunHealthCheckRequest, context: _Context
    ) -> pb.RunHealthCheckResponse:
        await self._tablet.run_health_check()
        return pb.RunHealthCheckResponse()

    async def CheckThrottler(
        self, request: pb.CheckThrottlerRequest, context: _Context
    ) -> pb.CheckThrottlerResponse:
        throttler = self._throttler
        is_recently_checked = throttler.is_recently_checked
        result = throttler.check(
            request.app_name,
            scope=checked_scope(request.scope) if request.scope else None,
            ok_if_not_exists=request.ok_if_not_exists,
            asks_for_heartbeats=not request.skip_request_heartbeats,
        )
        return self._checks.answer(result, is_recently_checked=is_recently_checked)

    async def GetThrottlerStatus(
        self, request: pb.GetThrottlerStatusRequest, context: _Context
    ) -> pb.GetThrottlerStatusResponse:
        return status_to_proto(self._throttler.status(), self._tablet)

    async def IgnoreHealthError(
        self, request: pb.IgnoreHealthErrorRequest, context: _Context
    ) -> pb.IgnoreHealthErrorResponse:
        raise TabletdError(Reason.DEPRECATED, "deprecated")


def _fetch_options(
    request: pb.ExecuteFetchAsDbaRequest | pb.ExecuteMultiFetchAsDbaRequest,
) -> FetchOptions:
    return FetchOptions(
        database=request.db_name,
        rows_max=request.max_rows,
        disable_binlogs=request.disable_binlogs,
        disable_foreign_key_checks=request.disable_foreign_key_checks,
    )


def _text(query: bytes) -> str:
    try:
        return query.decode()
    except UnicodeDecodeError as error:
        raise TabletdError(
            Reason.INVALID_REQUEST, f"the statement is not UTF-8 text: byte {error.start}"
        ) from None
