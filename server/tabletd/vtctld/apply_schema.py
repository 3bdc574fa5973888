"""ApplySchema: schema changes, and controls of such, on every shard of a keyspace."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.executor.strategy import Strategy
from tabletd.topology import TabletPlace, Topology
from tabletd.vtctld.fan_out import FanOut
from tabletd.vtctld.migrations import EXECUTE_ROWS_MAX, Migrations
from tabletd.vtctld.schema_changes import (
    REPLICAS_SECONDS_DEFAULT,
    Plan,
    Step,
    Way,
    read_changes,
)
from tabletd.vtctld.tablets import STATEMENT_SECONDS_MAX, TabletClients
from tabletd.vtctld.throttler_settings import ThrottlerSettings
from tabletd_pb import tabletmanagerdata_pb2, vtctldata_pb2, vtrpc_pb2

_WITHOUT_GTID: Final = "FilePos/"
# Preparing a view looks at its tables, which somebody may hold.
_READ: Final = (
    "SET SESSION lock_wait_timeout = 1, @tabletd = _utf8mb4 X'{}';"
    " PREPARE tabletd_trial FROM @tabletd"
)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Applied:
    """What came of a request.

    Attributes:
        uuids: of the migrations submitted, in the order of the statements.
        rows_affected: by the last statement, by shard.
    """

    uuids: tuple[str, ...]
    rows_affected: Mapping[str, int]


class ApplySchema:
    """Carries out the steps of a request, each on all shards before the next one.

    One request for a keyspace at a time, so that migrations have the same order on every shard.

    Args:
        topology: the shards.
        fan_out: calls their primaries.
        clients: connections to them.
        migrations: runs statements as queries of the tablets.
        throttling: takes the throttle rules.
        online: what the strategies `online` and `vitess` stand for; None: nothing.
    """

    def __init__(
        self,
        *,
        topology: Topology,
        fan_out: FanOut,
        clients: TabletClients,
        migrations: Migrations,
        throttling: ThrottlerSettings,
        online: Strategy | None = None,
    ) -> None:
        self._topology = topology
        self._fan_out = fan_out
        self._clients = clients
        self._migrations = migrations
        self._throttling = throttling
        self._online = online
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def apply(self, request: vtctldata_pb2.ApplySchemaRequest) -> Applied:
        """Do what a request asks for; the first step that fails on a shard ends it.

        Raises:
            TabletdError: as `schema_changes.read_changes`, before anything is done;
                TOPOLOGY_NOT_FOUND, NO_PRIMARY; what the tablets say, by shard and statement.
        """
        plan = read_changes(request, now_seconds=time.time(), online=self._online)
        shards = self._topology.layout.shards(request.keyspace)
        if plan.has_other_than_ddl and len(shards) > 1:
            raise TabletdError(
                Reason.INVALID_REQUEST,
                "non-ddl statements can only be executed for single shard keyspaces",
                hint=f"{request.keyspace} has the shards {', '.join(shards)}",
            )
        async with self._locks[request.keyspace]:
            await self._let_read(plan, request.keyspace)
            rows = await self._run(plan, request)
            if any(step.way is Way.DIRECT for step in plan.steps):
                await self._await_replicas(request)
        return Applied(plan.uuids, rows)

    async def _let_read(self, plan: Plan, keyspace: str) -> None:
        """Let a server read each of several statements before the first is carried out.

        What it says but of their syntax is of no account: one may depend on those before it.
        """
        if len(plan.steps) < 2:
            return
        tablet = next(iter((await self._fan_out.primaries(keyspace)).values()))
        for number, statement in enumerate(plan.statements, 1):
            request = tabletmanagerdata_pb2.ExecuteMultiFetchAsDbaRequest(
                sql=_READ.format(statement.encode().hex()).encode(), max_rows=EXECUTE_ROWS_MAX
            )
            try:
                await self._clients.call(
                    tablet, lambda stub: stub.manager.ExecuteMultiFetchAsDba, request
                )
            except TabletdError as error:
                if error.reason is Reason.DDL_SYNTAX:
                    what = f"statement {number} of {len(plan.statements)}: {error.message}"
                    raise TabletdError(error.reason, what, hint=error.hint) from None

    async def _run(
        self, plan: Plan, request: vtctldata_pb2.ApplySchemaRequest
    ) -> Mapping[str, int]:
        rows: Mapping[str, int] = {}
        caller = request.caller_id if request.HasField("caller_id") else None
        for number, step in enumerate(plan.steps, 1):
            what = f"schema change {number} of {len(plan.steps)}"
            rows = await self._step(step, request.keyspace, what, caller)
        return rows

    async def _step(
        self, step: Step, keyspace: str, what: str, caller: vtrpc_pb2.CallerID | None
    ) -> Mapping[str, int]:
        if step.way is Way.QUERY:
            return await self._migrations.on_primaries(step.sql, keyspace, what=what, caller=caller)
        if step.way is Way.DIRECT:
            return await self._direct(step, keyspace, what)
        await self._throttling.update(
            vtctldata_pb2.UpdateThrottlerConfigRequest(keyspace=keyspace, throttled_app=step.rule)
        )
        return dict.fromkeys(self._topology.layout.shards(keyspace), 0)

    async def _direct(self, step: Step, keyspace: str, what: str) -> Mapping[str, int]:
        request = tabletmanagerdata_pb2.ExecuteMultiFetchAsDbaRequest(
            sql=step.sql.encode(),
            max_rows=EXECUTE_ROWS_MAX,
            disable_foreign_key_checks=step.disable_foreign_key_checks,
            reload_schema=True,
        )

        async def run(tablet: TabletPlace) -> int:
            answer = await self._clients.call(
                tablet,
                lambda stub: stub.manager.ExecuteMultiFetchAsDba,
                request,
                timeout_seconds=STATEMENT_SECONDS_MAX,
            )
            return answer.results[-1].rows_affected if answer.results else 0

        outcome = await self._fan_out.each(await self._fan_out.primaries(keyspace), run)
        return outcome.all_or_raise(what)

    async def _await_replicas(self, request: vtctldata_pb2.ApplySchemaRequest) -> None:
        """Give replicas a moment to have the change as well; the change itself is done.

        What cannot be waited for is logged and not the caller's failure.
        """
        wait = request.wait_replicas_timeout
        seconds = (
            wait.seconds + wait.nanos / 1e9
            if request.HasField("wait_replicas_timeout")
            else REPLICAS_SECONDS_DEFAULT
        )
        if seconds <= 0:
            return

        async def follow(primary: TabletPlace) -> None:
            position = await self._clients.call(
                primary,
                lambda stub: stub.manager.PrimaryPosition,
                tabletmanagerdata_pb2.PrimaryPositionRequest(),
                timeout_seconds=seconds,
            )
            if position.position.startswith(_WITHOUT_GTID):
                return  # a place in one server's binary log says nothing to another
            reload = tabletmanagerdata_pb2.ReloadSchemaRequest(wait_position=position.position)
            shard = self._topology.layout.shard_tablets(primary.keyspace, primary.shard)

            async def wait_on(replica: TabletPlace) -> None:
                await self._clients.call(
                    replica,
                    lambda stub: stub.manager.ReloadSchema,
                    reload,
                    timeout_seconds=seconds,
                )

            replicas = {one.alias: one for one in shard if one != primary}
            outcome = await self._fan_out.each(replicas, wait_on)
            for name, error in outcome.errors.items():
                _logger.warning("%s does not have a direct change yet: %s", name, error)

        outcome = await self._fan_out.each(await self._fan_out.primaries(request.keyspace), follow)
        for shard, error in outcome.errors.items():
            _logger.warning("shard %s: replicas were not waited for: %s", shard, error)
