"""`queryservice.Query`: plain statements for a target, and the stream of health."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import grpc.aio

from tabletd.admin.tablet_admin import TabletAdmin
from tabletd.errors import Reason, TabletdError
from tabletd.servicers.convert import (
    bind_variables_from_proto,
    health_to_proto,
    tablet_type_from_proto,
)
from tabletd.servicers.ports import MigrationQueue, TabletPort
from tabletd.servicers.sizes import bounded, result_message
from tabletd_pb import query_pb2, topodata_pb2
from tabletd_pb.queryservice_pb2_grpc import QueryServicer

_Context = grpc.aio.ServicerContext[Any, Any]
ROWS_MAX: Final = 10_000  # a tablet of Vitess refuses more as well


class Query(QueryServicer):
    """Checks the target, runs the statement, converts the answer.

    Args:
        tablet: role and health.
        executor: the queue, for statements about migrations.
        admin: runs all others.
    """

    def __init__(self, *, tablet: TabletPort, executor: MigrationQueue, admin: TabletAdmin) -> None:
        self._tablet = tablet
        self._executor = executor
        self._admin = admin

    async def Execute(
        self, request: query_pb2.ExecuteRequest, context: _Context
    ) -> query_pb2.ExecuteResponse:
        check_target(request.target, self._tablet)
        if request.transaction_id or request.reserved_id:
            raise TabletdError(
                Reason.UNSUPPORTED_METHOD,
                "transactions and reserved connections are not offered by tabletd",
                hint="leave transaction_id and reserved_id unset",
            )
        variables = bind_variables_from_proto(request.query.bind_variables)
        sql = request.query.sql
        result = await self._executor.execute_statement(sql)
        if result is None:
            result = await self._admin.execute_query(sql, variables, rows_max=ROWS_MAX)
        return bounded(query_pb2.ExecuteResponse(result=await result_message(result)))

    async def StreamHealth(
        self, request: query_pb2.StreamHealthRequest, context: _Context
    ) -> AsyncIterator[query_pb2.StreamHealthResponse]:
        tablet = self._tablet
        async with tablet.subscribe() as healths:
            async for health in healths:
                yield health_to_proto(
                    health, alias=tablet.alias, keyspace=tablet.keyspace, shard=tablet.shard
                )


def check_target(target: query_pb2.Target, tablet: TabletPort) -> None:
    """Refuse a call that was meant for another tablet, or for this one in another role.

    What the target leaves unset is not checked.

    Raises:
        TabletdError: WRONG_TARGET, so that a router tries elsewhere; NOT_SERVING.
    """
    for what, wanted, found in (
        ("keyspace", target.keyspace, tablet.keyspace),
        ("shard", target.shard, tablet.shard),
    ):
        if wanted and wanted != found:
            raise _wrong_target(what, wanted, found)
    if target.tablet_type != topodata_pb2.UNKNOWN:
        wanted_type = tablet_type_from_proto(target.tablet_type)
        if not tablet.accepts(wanted_type):
            raise _wrong_target("tablet type", wanted_type.value, tablet.type.value)
    if not tablet.health.serving:
        raise TabletdError(
            Reason.NOT_SERVING,
            "operation not allowed in state NOT_SERVING",
            hint=tablet.health.health_error or None,
        )


def _wrong_target(what: str, wanted: str, found: str) -> TabletdError:
    return TabletdError(
        Reason.WRONG_TARGET,
        f"invalid {what} {wanted}: this tablet serves {what} {found}",
        hint="send the call to the right tablet",
        wanted=wanted,
        found=found,
    )
