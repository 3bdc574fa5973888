"""Whole migrations by an account without SUPER, where times, modes, names and limits are hard.

All tests: strict `sql_mode`, for pt-osc with ANSI_QUOTES; `lower_case_table_names` of 1;
`wait_timeout` and `innodb_lock_wait_timeout` of 1 s; a time zone far from UTC; for gh-ost
`log_bin_trust_function_creators` of 0, for pt-osc `binlog_row_image` of MINIMAL.
"""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest

from tabletd.sandbox.vexec_client import VExecClient
from tests.e2e.server_settings.harsh import KEYSPACE, OTHER_SCHEMA, HarshCase
from tests.support.waiting import eventually

_ADD = "ADD COLUMN `group` VARCHAR(20) NOT NULL DEFAULT '😀' COMMENT 'it''s ☃'"
_BEYOND_ASCII = "größe ☃"
_ODD_NAMES = (
    (KEYSPACE, "t" * 64),
    (KEYSPACE, "Select"),
    (KEYSPACE, 'a "b" %s $1; --'),
    (OTHER_SCHEMA, "orders"),
)
_WITHIN_SECONDS = 60.0


async def _carries_out(case: HarshCase, client: VExecClient, *places: tuple[str, str]) -> None:
    before = [case.rows(*place) for place in places]
    submitted = [await case.submit(client, table, _ADD, schema=schema) for schema, table in places]
    for migration_uuid in submitted:
        await client.wait(migration_uuid, until={"complete"}, within_seconds=_WITHIN_SECONDS)
    assert [case.rows(*place) for place in places] == before
    for schema, table in places:
        added = case.server.query(f"SELECT DISTINCT `group` FROM `{schema}`.`{table}`")
        assert added == [("😀",)]


async def _refusal(case: HarshCase, client: VExecClient, table: str) -> str:
    migration_uuid = await case.submit(client, table, _ADD)
    record = await client.wait(migration_uuid, until={"failed"}, within_seconds=_WITHIN_SECONDS)
    return str(record["message"])


async def test_tables_of_odd_names_are_changed(case: HarshCase, client: VExecClient) -> None:
    """A reserved word in mixed case, 64 characters, all kinds of signs, another schema."""
    for place in _ODD_NAMES:
        case.create(*place)
    await _carries_out(case, client, *_ODD_NAMES)
    assert [case.default_of_order(*place) for place in _ODD_NAMES] == ["what?"] * 4


async def test_what_pt_osc_cannot_name_or_show_is_refused_and_gh_ost_takes_it(
    case: HarshCase, client: VExecClient
) -> None:
    """SHOW CREATE TABLE has `?` for an emoji in a default; pt-osc makes its table from that."""
    case.create(KEYSPACE, _BEYOND_ASCII)
    case.create(KEYSPACE, "moods", default="😀")
    if case.strategy == "gh-ost":
        await _carries_out(case, client, (KEYSPACE, _BEYOND_ASCII), (KEYSPACE, "moods"))
    else:
        message = await _refusal(case, client, _BEYOND_ASCII)
        assert "goes beyond ASCII" in message
        assert "use the strategy gh-ost or direct" in message
        message = await _refusal(case, client, "moods")
        assert "has a default that SHOW CREATE TABLE shows with ?" in message
        assert "(order)" in message
    assert case.default_of_order(KEYSPACE, "moods") == "😀"


async def test_a_column_that_an_emoji_is_to_name_is_refused_as_it_is_submitted(
    case: HarshCase, client: VExecClient
) -> None:
    """MySQL 5.7 would make a column of the name `?`."""
    case.create(KEYSPACE, "orders")
    with pytest.raises(grpc.aio.AioRpcError, match="outside the Basic Multilingual Plane"):
        await case.submit(client, "orders", "ADD COLUMN `😀` INT")


async def test_a_setting_that_the_tool_cannot_do_with_is_named(
    case: HarshCase, client: VExecClient
) -> None:
    case.create(KEYSPACE, "orders")
    if case.strategy == "pt-osc":
        case.server.query("SET GLOBAL log_bin_trust_function_creators = 0")
        message = await _refusal(case, client, "orders")
        assert "log_bin_trust_function_creators is OFF, ON is needed" in message
        return
    case.server.query("SET GLOBAL binlog_row_image = 'MINIMAL'")
    message = await _refusal(case, client, "orders")
    assert "binlog_row_image is MINIMAL, FULL is needed" in message
    case.server.script(
        "SET GLOBAL binlog_row_image = 'FULL'", "SET GLOBAL sql_mode = 'ANSI_QUOTES'"
    )
    assert "sql_mode has ANSI_QUOTES" in await _refusal(case, client, "orders")


async def test_the_daemon_goes_on_after_a_time_without_connections_and_after_a_restart(
    case: HarshCase, client: VExecClient
) -> None:
    case.create(KEYSPACE, "orders")
    limit = case.server.scalar("SELECT @@global.max_connections")
    with case.server.connect() as root, root.cursor() as cursor:
        cursor.execute("SET SESSION wait_timeout = 600")
        cursor.execute("SET GLOBAL max_connections = 12")
        taken = await asyncio.to_thread(case.takes_all_connections)
        try:
            cursor.execute("SELECT id FROM information_schema.processlist WHERE user = 'tabletd'")
            for (connection_id,) in cursor.fetchall():
                cursor.execute(f"KILL {connection_id}")
            taken += await asyncio.to_thread(case.takes_all_connections)
            await eventually(lambda: "Too many connections" in case.daemon.log_tail(200))
        finally:
            cursor.execute(f"SET GLOBAL max_connections = {limit}")
            for connection in taken:
                connection.close()
    await eventually(case.is_serving, what="the daemon serves again")
    await asyncio.to_thread(case.server.shut_down)
    await eventually(lambda: not case.is_serving(), what="the daemon notices")
    await asyncio.to_thread(case.server.restart)
    case.prepare()
    case.create(KEYSPACE, "orders")
    await eventually(case.is_serving, what="the daemon serves again")
    await _carries_out(case, client, (KEYSPACE, "orders"))
