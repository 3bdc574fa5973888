"""Rows lost, changed or merged behind a tool's back: the migration fails before the swap."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import grpc.aio
import pytest

from tabletd.sandbox.vexec_client import VExecClient
from tests.support.daemons import (
    KEYSPACE,
    Case,
    TabletPair,
    columns,
    command,
    connected,
    copying,
    live_table,
)
from tests.support.waiting import eventually

PT_OSC = "pt-osc"
ADD_COLUMN = "ALTER TABLE orders ADD COLUMN extra INT NULL"
_ROWS: Final = 300


@pytest.fixture(params=["mysql57_tablets", "mariadb_tablets"], ids=["MySQL 5.7", "MariaDB"])
def case(request: pytest.FixtureRequest) -> Case:
    """pt-online-schema-change on each server, in a clean schema."""
    tablets: TabletPair = request.getfixturevalue(request.param)
    tablets.heal()
    return Case(tablets, PT_OSC)


async def begun(case: Case, client: VExecClient, change: str, options: str = "") -> tuple[str, str]:
    """Have the first rows copied and hold the tool there.

    Returns:
        the migration's uuid, and the name of the altered copy.
    """
    primary = case.tablets.servers.primary
    rows = ", ".join(f"({number}, {number}, {number % 7})" for number in range(1, _ROWS + 1))
    primary.script(
        "CREATE TABLE orders (id INT NOT NULL PRIMARY KEY, code VARCHAR(20) NOT NULL, amount INT,"
        " UNIQUE KEY (code)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
        f"INSERT INTO orders VALUES {rows}",
        database=KEYSPACE,
    )
    case.tablets.tables.add("orders")
    options = f"--chunk-size=50 --chunk-time=0 --postpone-launch {options}"
    uuid = await client.submit("orders", change, PT_OSC, options=options)
    await command(case.tablets, uuid, "throttle")
    await command(case.tablets, uuid, "launch")
    await copying(client, uuid)
    names = {str(name) for (name,) in primary.query("SHOW TABLES", database=KEYSPACE)}
    (copy,) = [name for name in names if uuid in name and name.endswith("_new")]
    return uuid, copy


async def fails(case: Case, client: VExecClient, migration_uuid: str) -> str:
    """Wait for the end, which leaves the table as it was and nothing else; returns the message."""
    record = await client.wait(migration_uuid, until={"failed", "complete"})
    message = record["message"] or ""
    assert record["migration_status"] == "failed", message
    await case.tablets.leaves_no_trace(migration_uuid)
    return message


async def test_a_row_changed_and_one_deleted_in_the_copy_are_named(
    case: Case, client: VExecClient
) -> None:
    uuid, copy = await begun(case, client, ADD_COLUMN)
    case.tablets.servers.primary.script(
        f"UPDATE `{copy}` SET amount = 99 WHERE id = 3",
        f"DELETE FROM `{copy}` WHERE id = 5",
        database=KEYSPACE,
    )
    await command(case.tablets, uuid, "unthrottle")
    message = await fails(case, client, uuid)
    assert "ended before the swap" in message
    assert "id = 3: differs in amount" in message
    assert "id = 5: lost" in message
    assert "extra" not in columns(case.tablets.servers.primary, "orders")


async def test_two_rows_that_a_type_change_makes_one_while_it_runs_are_named(
    case: Case, client: VExecClient
) -> None:
    """A trigger of the tool replaces the row whose code becomes the same number."""
    uuid, _ = await begun(case, client, "ALTER TABLE orders MODIFY code INT NOT NULL")
    insert = "INSERT INTO orders VALUES (9000, '007', 1)"
    case.tablets.servers.primary.script(insert, database=KEYSPACE)
    await command(case.tablets, uuid, "unthrottle")
    assert "id = 7: lost" in await fails(case, client, uuid)
    assert columns(case.tablets.servers.primary, "orders")["code"] == "varchar(20)"


async def test_without_comparing_what_was_planted_goes_through(
    case: Case, client: VExecClient
) -> None:
    primary = case.tablets.servers.primary
    uuid, copy = await begun(case, client, ADD_COLUMN, "--verify=false")
    primary.script(f"DELETE FROM `{copy}` WHERE id = 5", database=KEYSPACE)
    await command(case.tablets, uuid, "unthrottle")
    await client.wait(uuid, until={"complete"})
    assert not primary.query("SELECT * FROM orders WHERE id = 5", database=KEYSPACE)
    await case.tablets.leaves_no_trace(uuid)


async def test_the_next_daemon_compares_and_nothing_is_ready_to_complete_before(
    case: Case, client: VExecClient
) -> None:
    uuid, copy = await begun(case, client, ADD_COLUMN, "--postpone-completion")
    case.tablets.servers.primary.script(f"DELETE FROM `{copy}` WHERE id = 5", database=KEYSPACE)
    await asyncio.to_thread(case.tablets.primary.kill)
    await case.tablets.restart_primary()

    async def is_let_go() -> bool:
        with suppress(grpc.aio.AioRpcError):  # it does not know yet that it is the primary's
            await command(case.tablets, uuid, "unthrottle")
            return True
        return False

    await eventually(is_let_go, what="the next daemon lets the tool go on")
    async with connected(case.tablets.primary) as again:
        assert "id = 5: lost" in await fails(case, again, uuid)
        record = await again.migration(uuid)
    assert not record["ready_to_complete_timestamp"]


async def test_under_writes_what_is_equal_is_released(case: Case, client: VExecClient) -> None:
    async with live_table(case.tablets, "orders", 3000) as table:
        change = "ALTER TABLE orders MODIFY amount DECIMAL(14,4) NOT NULL, ADD COLUMN extra INT"
        uuid = await client.submit("orders", change, PT_OSC)
        record = await client.wait(uuid, until={"complete"})
        assert "not compared" not in str(record["message"])
        await table.equals_its_book()
        await case.tablets.leaves_no_trace(uuid)
