"""A migration waits for replicas that fall behind or fall silent and for rules, and says so."""

from __future__ import annotations

import asyncio
import time

import grpc.aio
import pytest

import tabletd_client
from tabletd.sandbox.daemons import Daemon
from tabletd.sandbox.vexec_client import VExecClient
from tabletd_client import Changed
from tabletd_pb import (
    tabletmanagerdata_pb2,
    tabletmanagerservice_pb2_grpc,
    throttling_pb2_grpc,
    topodata_pb2,
    vtctldata_pb2,
    vttime_pb2,
)
from tests.support.daemons import EACH_TOOL, KEYSPACE, Case, TabletPair, copying, live_table
from tests.support.two_daemons import variables
from tests.support.waiting import PATIENCE_SECONDS, eventually

ROWS = 8_000


async def _waits(client: VExecClient, migration_uuid: str, reason: str) -> None:
    """Wait until the migration says that it waits, and why."""

    async def is_throttled() -> bool:
        record = await client.migration(migration_uuid)
        assert record["migration_status"] in {"queued", "ready", "running"}, record["message"]
        says_why = reason in (record["reason_throttled"] or "").lower()
        return says_why and record["last_throttled_timestamp"] is not None

    await eventually(is_throttled, what=f"{reason!r} in reason_throttled")


async def _copies_nothing(client: VExecClient, migration_uuid: str) -> None:
    """See that the count of copied rows stands still once the tool has heard of it."""

    async def rows_copied() -> str | None:
        return (await client.migration(migration_uuid))["rows_copied"]

    seen = [await rows_copied()]

    async def stands_still() -> bool:
        await asyncio.sleep(0.5)
        seen.append(await rows_copied())
        return len(seen) > 3 and len(set(seen[-3:])) == 1

    await eventually(stands_still, what="no more rows are copied")


@pytest.mark.parametrize("case", EACH_TOOL, indirect=True)
async def test_a_migration_waits_while_a_replica_lags_and_then_completes(
    case: Case, client: VExecClient
) -> None:
    async with live_table(case.tablets, "orders", ROWS) as table:
        # First, since the copy may be over sooner than the lag has grown beyond the threshold.
        await asyncio.to_thread(case.tablets.servers.replica.script, "STOP SLAVE SQL_THREAD")
        migration_uuid = await client.submit(
            "orders",
            "ALTER TABLE orders ADD COLUMN extra INT",
            case.strategy,
            options=case.brief,
        )
        await _waits(client, migration_uuid, "lag")
        await _copies_nothing(client, migration_uuid)
        await table.keeps_being_written()
        await asyncio.to_thread(case.tablets.servers.replica.script, "START SLAVE SQL_THREAD")
        await client.wait(migration_uuid, until={"complete"})
        await table.equals_its_book()
        await case.tablets.leaves_no_trace(migration_uuid)


@pytest.mark.parametrize("case", EACH_TOOL, indirect=True)
async def test_a_silent_replica_daemon_blocks_and_is_named(case: Case, client: VExecClient) -> None:
    async with live_table(case.tablets, "orders", ROWS) as table:
        case.tablets.replica.pause()
        migration_uuid = await client.submit(
            "orders",
            "ALTER TABLE orders ADD COLUMN extra INT",
            case.strategy,
            options=case.brief,
        )
        await _waits(client, migration_uuid, str(case.tablets.replica.grpc_port))
        await _copies_nothing(client, migration_uuid)
        case.tablets.replica.resume()
        await client.wait(migration_uuid, until={"complete"})
        await table.equals_its_book()
        await case.tablets.leaves_no_trace(migration_uuid)


async def _set_rule(case: Case, app: str, *, ratio: float, seconds: int) -> None:
    rule = topodata_pb2.ThrottledAppRule(
        name=app, ratio=ratio, expires_at=vttime_pb2.Time(seconds=seconds)
    )
    request = vtctldata_pb2.UpdateThrottlerConfigRequest(throttled_app=rule)
    async with grpc.aio.insecure_channel(case.tablets.primary.grpc) as channel:
        await throttling_pb2_grpc.ThrottlingStub(channel).UpdateConfig(request, timeout=60)


async def _is_told_by_watch(case: Case, migration_uuid: str, reason: str) -> None:
    """Wait until a watch says what is held back, why, and when it last was."""
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        tabletd_client.connect(case.tablets.primary.grpc) as watcher,
        watcher.watch(KEYSPACE, uuids=(migration_uuid,)) as events,
    ):
        async for event in events:
            if not isinstance(event, Changed) or reason not in event.migration.throttle_reason:
                continue
            assert event.migration.component_throttled == case.strategy
            assert event.migration.last_throttled_at is not None
            return
    raise AssertionError("the watch ended")


async def _refusals(case: Case, cause: str) -> int:
    """Return how many checks of the tool were refused for something."""
    shown = await asyncio.to_thread(variables, case.tablets.primary)
    count: int = shown["ThrottlerRefusals"][f"{cause}.{case.strategy}"]
    return count


@pytest.mark.parametrize("case", EACH_TOOL, indirect=True)
async def test_a_migration_waits_while_a_rule_names_it_and_then_completes(
    case: Case, client: VExecClient
) -> None:
    # Few enough writes that gh-ost does not meet one that moves a unique key while it copies it.
    async with live_table(case.tablets, "orders", ROWS, transactions_per_second=20.0) as table:
        migration_uuid = await client.submit(
            "orders",
            "ALTER TABLE orders ADD COLUMN extra INT",
            case.strategy,
            options=case.brief,
        )
        await copying(client, migration_uuid)
        refused_before = await _refusals(case, "rule")
        await _set_rule(case, migration_uuid, ratio=1.0, seconds=int(time.time()) + 3600)
        await _waits(client, migration_uuid, f"{migration_uuid} is throttled until ")
        record = await client.migration(migration_uuid)
        assert record["component_throttled"] == case.strategy
        assert record["user_throttle_ratio"] == "1"
        await _is_told_by_watch(case, migration_uuid, f"{migration_uuid} is throttled until ")
        assert await _refusals(case, "rule") > refused_before
        await table.keeps_being_written()
        await _set_rule(case, migration_uuid, ratio=0.0, seconds=0)
        await client.wait(migration_uuid, until={"complete"})
        await table.equals_its_book()
        await case.tablets.leaves_no_trace(migration_uuid)


async def _denied(daemon: Daemon, app: str) -> bool:
    async with grpc.aio.insecure_channel(daemon.grpc) as channel:
        stub = tabletmanagerservice_pb2_grpc.TabletManagerStub(channel)
        request = tabletmanagerdata_pb2.CheckThrottlerRequest(app_name=app)
        try:
            answer = await stub.CheckThrottler(request, timeout=10)
        except grpc.aio.AioRpcError:
            return False
    return answer.response_code == tabletmanagerdata_pb2.APP_DENIED


async def test_a_rule_is_obeyed_beside_a_replica_that_does_not_replicate(
    tablets: TabletPair,
) -> None:
    case, app = Case(tablets, "gh-ost"), "nobody-else"
    await asyncio.to_thread(tablets.servers.replica.script, "STOP SLAVE")
    await _set_rule(case, app, ratio=1.0, seconds=int(time.time()) + 3600)
    await eventually(lambda: _denied(tablets.replica, app), what="the replica's daemon was told")
    await _set_rule(case, app, ratio=0.0, seconds=0)

    async def is_free() -> bool:
        return not await _denied(tablets.replica, app)

    await eventually(is_free, what="the replica's daemon was told that it is over")
