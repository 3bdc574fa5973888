"""A migration waits for replicas that fall behind or fall silent and for rules, and says so."""

from __future__ import annotations

import asyncio
import time

import grpc.aio
import pytest

from tabletd.sandbox.vexec_client import Record, VExecClient
from tabletd_pb import throttling_pb2_grpc, topodata_pb2, vtctldata_pb2, vttime_pb2
from tests.support.daemons import Case, copying, live_table
from tests.support.waiting import eventually

ROWS = 8_000


async def _waits(client: VExecClient, migration_uuid: str) -> Record:
    """Wait until the migration says why it waits, and copies nothing any more."""

    async def is_throttled() -> Record | None:
        record = await client.migration(migration_uuid)
        assert record["migration_status"] == "running", record["message"]
        return record if record["reason_throttled"] else None

    record = await eventually(is_throttled, 15, "the row says why it waits")
    assert record
    return record


@pytest.mark.timeout(90)
async def test_a_migration_waits_while_a_replica_lags_and_then_completes(
    case: Case, client: VExecClient
) -> None:
    async with live_table(case.tablets, "orders", ROWS) as table:
        migration_uuid = await client.submit(
            "orders",
            "ALTER TABLE orders ADD COLUMN extra INT",
            case.strategy,
            options=case.brief,
        )
        await copying(client, migration_uuid)
        await asyncio.to_thread(case.tablets.servers.replica.script, "STOP SLAVE SQL_THREAD")
        record = await _waits(client, migration_uuid)
        assert "lag" in (record["reason_throttled"] or "").lower()
        assert record["last_throttled_timestamp"]
        await table.keeps_being_written()
        await asyncio.to_thread(case.tablets.servers.replica.script, "START SLAVE SQL_THREAD")
        await client.wait(migration_uuid, until={"complete"}, within_seconds=50)
        await table.equals_its_book()
        await case.tablets.leaves_no_trace(migration_uuid)


@pytest.mark.timeout(90)
async def test_a_silent_replica_daemon_blocks_and_is_named(case: Case, client: VExecClient) -> None:
    async with live_table(case.tablets, "orders", ROWS) as table:
        migration_uuid = await client.submit(
            "orders",
            "ALTER TABLE orders ADD COLUMN extra INT",
            case.strategy,
            options=case.brief,
        )
        await copying(client, migration_uuid)
        case.tablets.replica.pause()
        record = await _waits(client, migration_uuid)
        assert str(case.tablets.replica.grpc_port) in (record["reason_throttled"] or "")
        case.tablets.replica.resume()
        await client.wait(migration_uuid, until={"complete"}, within_seconds=50)
        await table.equals_its_book()
        await case.tablets.leaves_no_trace(migration_uuid)


async def _set_rule(case: Case, app: str, *, ratio: float, seconds: int) -> None:
    rule = topodata_pb2.ThrottledAppRule(
        name=app, ratio=ratio, expires_at=vttime_pb2.Time(seconds=seconds)
    )
    request = vtctldata_pb2.UpdateThrottlerConfigRequest(throttled_app=rule)
    async with grpc.aio.insecure_channel(case.tablets.primary.grpc) as channel:
        await throttling_pb2_grpc.ThrottlingStub(channel).UpdateConfig(request, timeout=10)


@pytest.mark.timeout(90)
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
        await _set_rule(case, migration_uuid, ratio=1.0, seconds=int(time.time()) + 3600)
        record = await _waits(client, migration_uuid)
        assert f"{migration_uuid} is throttled until " in (record["reason_throttled"] or "")
        assert record["component_throttled"] == case.strategy
        assert record["user_throttle_ratio"] == "1"
        await table.keeps_being_written()
        await _set_rule(case, migration_uuid, ratio=0.0, seconds=0)
        await client.wait(migration_uuid, until={"complete"}, within_seconds=50)
        await table.equals_its_book()
        await case.tablets.leaves_no_trace(migration_uuid)
