"""The primary becomes a replica in the middle of a migration, with real replication."""

from __future__ import annotations

import asyncio

import pytest

from tabletd.sandbox.daemons import Daemon
from tests.support.daemons import (
    EACH_TOOL,
    EVERY_CASE,
    WRITER,
    Case,
    TabletPair,
    columns,
    connected,
    copying,
    from_starter,
    live_table,
)
from tests.support.failover import (
    Passed,
    bring_back,
    crash_primary,
    everything_left,
    history,
    processes_of,
    switch_roles,
)
from tests.support.waiting import eventually

ROWS = 4_000


async def begin(case: Case, column: str) -> str:
    """Submit a migration to the primary and wait until it copies rows."""
    async with connected(case.tablets.primary) as client:
        statement = f"ALTER TABLE orders ADD COLUMN {column} INT NULL"
        uuid = await client.submit("orders", statement, case.strategy, options=case.brief)
        await copying(client, uuid)
    return uuid


async def completes(daemon: Daemon, migration_uuid: str) -> None:
    """Wait until a daemon has completed a migration, which fails once in between."""
    async with connected(daemon) as client:

        async def is_complete() -> bool:
            record = await client.migration(migration_uuid)
            assert record["migration_status"] != "failed" or record["retries"] == "0", record
            return bool(record["migration_status"] == "complete")

        await eventually(is_complete, 90, "the migration completes")


async def nothing_is_left(tablets: TabletPair) -> None:
    """Wait until nothing of any migration is on either server or machine."""
    left: list[str] = []

    async def is_clean() -> bool:
        nonlocal left
        await asyncio.to_thread(tablets.servers.catch_up)
        left = await asyncio.to_thread(everything_left, tablets)
        return not left

    try:
        await eventually(is_clean)
    except AssertionError:
        raise AssertionError(f"left behind: {left}") from None


def states(tablets: TabletPair, migration_uuid: str) -> list[Passed]:
    """Return what the row said, without the steps on the way to a run."""
    passed = history(tablets.servers.primary, migration_uuid)
    return [one for one in passed if one.status not in ("queued", "ready")]


async def has_no_tools(case: Case, *, of_replica: bool) -> None:
    """Wait until a daemon's tools have ended."""
    daemon = case.tablets.replica if of_replica else case.tablets.primary
    await eventually(
        lambda: not processes_of(daemon), what=f"the tools of {daemon.alias} end with its role"
    )


@pytest.mark.parametrize("case", EVERY_CASE, indirect=True)
@pytest.mark.timeout(240)
async def test_a_migration_survives_its_primary_and_goes_back_with_it(case: Case) -> None:
    tablets = case.tablets
    first_alias, second_alias = tablets.primary.alias, tablets.replica.alias
    async with live_table(
        tablets, "orders", ROWS, transactions_per_second=50, user=WRITER
    ) as table:
        there = await begin(case, "there")
        await asyncio.to_thread(switch_roles, tablets)
        await eventually(lambda: table.workload.counts.refused > 0, what="the fence holds")
        await table.follow_primary()
        await has_no_tools(case, of_replica=True)
        await completes(tablets.primary, there)
        assert states(tablets, there) == [
            Passed("running", first_alias, 0, 0),
            Passed("failed", first_alias, 1, 0),
            Passed("running", second_alias, 0, 1),
            Passed("complete", second_alias, 0, 1),
        ]
        await nothing_is_left(tablets)

        back = await begin(case, "back")
        await table.keeps_being_written()
        await asyncio.to_thread(switch_roles, tablets)
        await table.follow_primary()
        await has_no_tools(case, of_replica=True)
        await completes(tablets.primary, back)
        assert states(tablets, back) == [
            Passed("running", second_alias, 0, 0),
            Passed("failed", second_alias, 1, 0),
            Passed("running", first_alias, 0, 1),
            Passed("complete", first_alias, 0, 1),
        ]
        await nothing_is_left(tablets)
        assert {"there", "back"} <= columns(tablets.servers.primary, "orders").keys()
        await table.equals_its_book()


@pytest.mark.parametrize("case", EACH_TOOL, indirect=True)
@pytest.mark.timeout(240)
async def test_a_migration_survives_the_crash_of_its_primary_and_daemon(case: Case) -> None:
    tablets = case.tablets
    async with live_table(tablets, "orders", ROWS) as table:
        uuid = await begin(case, "extra")
        await table.settle()
        await asyncio.to_thread(crash_primary, tablets)
        await completes(tablets.replica, uuid)
        await from_starter(bring_back, tablets)
        await has_no_tools(case, of_replica=True)
        await nothing_is_left(tablets)
        promoted_alias, crashed_alias = tablets.primary.alias, tablets.replica.alias
        assert states(tablets, uuid) == [
            Passed("running", crashed_alias, 0, 0),
            Passed("failed", crashed_alias, 1, 0),
            Passed("running", promoted_alias, 0, 1),
            Passed("complete", promoted_alias, 0, 1),
        ]
        await asyncio.to_thread(switch_roles, tablets)
        await table.equals_its_book()
