"""Migrations that complete in order, sent to the daemon as Vitess sends them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import grpc.aio

from tabletd.executor.directives import annotate
from tabletd.executor.names import create_uuid
from tabletd.sandbox.vexec_client import VExecClient
from tabletd_pb import query_pb2, queryservice_pb2_grpc
from tests.support.daemons import KEYSPACE, Case
from tests.support.waiting import eventually

IN_ORDER = "--in-order-completion --allow-concurrent"


class Session:
    """Sends statements to the primary's daemon as a router would.

    Args:
        channel: to the daemon.
        strategy: for what it submits.
        context: likewise.
    """

    def __init__(self, channel: grpc.aio.Channel, strategy: str, context: str) -> None:
        self._stub = queryservice_pb2_grpc.QueryStub(channel)
        self._strategy = strategy
        self._context = context

    async def execute(self, sql: str) -> int:
        """Run a statement; returns the rows affected."""
        request = query_pb2.ExecuteRequest(query=query_pb2.BoundQuery(sql=sql))
        return int((await self._stub.Execute(request, timeout=60)).result.rows_affected)

    async def submit(self, table: str, sql: str, options: str = IN_ORDER) -> str:
        """Submit a migration; returns its uuid."""
        uuid = create_uuid()
        text = annotate(
            sql,
            migration_uuid=uuid,
            migration_context=self._context,
            mysql_table=table,
            strategy=self._strategy,
            options=options,
        )
        assert await self.execute(text) == 1
        return uuid


@asynccontextmanager
async def session_of(case: Case) -> AsyncGenerator[Session]:
    """Give a session with a context of its own, and a table `base` for as long."""
    primary = case.tablets.servers.primary
    primary.query("CREATE TABLE base (id INT PRIMARY KEY)", database=KEYSPACE)
    try:
        async with grpc.aio.insecure_channel(case.tablets.primary.grpc) as channel:
            yield Session(channel, case.strategy, f"test:{create_uuid()}")
    finally:
        primary.query("DROP VIEW IF EXISTS v, w", database=KEYSPACE)
        primary.query("DROP TABLE base", database=KEYSPACE)


async def test_what_depends_on_each_other_completes_in_order(
    case: Case, client: VExecClient
) -> None:
    async with session_of(case) as session:
        uuids = [
            await session.submit("base", "ALTER TABLE base ADD COLUMN extra INT NULL"),
            await session.submit("v", "CREATE VIEW v AS SELECT id, extra FROM base"),
            await session.submit("w", "CREATE VIEW w AS SELECT extra FROM v"),
        ]
        rows = [await client.wait(uuid, until={"complete"}) for uuid in uuids]
    times = [row["completed_timestamp"] or "" for row in rows]
    assert times == sorted(times)


async def test_one_that_fails_ends_those_behind_it_also_one_that_is_ready(
    case: Case, client: VExecClient
) -> None:
    async with session_of(case) as session:
        missing = await session.submit(
            "missing", "DROP TABLE missing", f"{IN_ORDER} --postpone-launch"
        )
        uuid = await session.submit("base", "ALTER TABLE base ADD COLUMN extra INT NULL")

        async def is_ready() -> bool:
            return (await client.migration(uuid))["ready_to_complete"] == "1"

        await eventually(is_ready, what="it has copied all and waits for the older one")
        record = await client.migration(uuid)
        assert record["migration_status"] == "running"
        assert record["postpone_completion"] == "0"
        assert record["in_order_completion_pending_count"] == "1"
        assert await session.execute(f"alter vitess_migration '{missing}' launch") == 1
        await client.wait(missing, until={"failed"})
        record = await client.wait(uuid, until={"failed"})
    assert f"the earlier migration {missing} of the same context is failed" in (
        record["message"] or ""
    )
    await case.tablets.leaves_no_trace(uuid)
