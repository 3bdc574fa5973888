"""--declarative through the queue: what differs becomes one ALTER."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.real_queue import RealQueue, Row, real_queue
from tests.support.servers import RealServer

T = "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(10), KEY a (a))"
FLAG = "--declarative"


@pytest.fixture
async def queue(any_server: RealServer, database: str, tmp_path: Path) -> AsyncIterator[RealQueue]:
    any_server.query("SET GLOBAL log_bin_trust_function_creators = 1")
    async with real_queue(any_server, database, tmp_path) as queue:
        yield queue


async def declare(queue: RealQueue, sql: str, strategy: str = "mysql") -> Row:
    return await queue.complete(sql, strategy=strategy, options=FLAG)


async def test_a_missing_table_is_created_and_the_same_again_changes_nothing(
    queue: RealQueue,
) -> None:
    made = await declare(queue, T)
    assert (made["ddl_action"], bool(made["artifacts"])) == ("create", True)
    again = await declare(queue, T + " ")
    assert (again["message"], again["artifacts"]) == ("no change", "")
    assert (queue.tables(), queue.kept()) == ({"t"}, set())
    assert (await queue.revert(again))["message"].startswith("no change: ")
    assert queue.tables() == {"t"}


async def test_what_differs_becomes_one_alter_by_the_server(queue: RealQueue) -> None:
    await declare(queue, T)
    queue.query("INSERT INTO t VALUES (1, 'kept')")
    wanted = (
        "CREATE TABLE t (b INT NOT NULL DEFAULT 3, a VARCHAR(20) CHARACTER SET latin1 NOT NULL,"
        " id BIGINT PRIMARY KEY, UNIQUE KEY b2 (b, id)) COMMENT='it''s'"
    )
    row = await declare(queue, wanted)
    assert row["ddl_action"] == "alter"
    assert row["message"].startswith("ALTER TABLE `t` DROP KEY `a`")
    assert queue.query("SELECT * FROM t") == [(3, "kept", 1)]
    assert (await declare(queue, wanted + " "))["message"] == "no change"
    assert "an ALTER TABLE by the server itself" in await queue.cannot_revert(row)
    assert queue.kept() == set()


async def test_the_character_set_of_a_table_is_declared_with_its_columns(queue: RealQueue) -> None:
    await declare(queue, f"{T} DEFAULT CHARSET=utf8mb4")
    row = await declare(queue, f"{T} DEFAULT CHARSET=latin1")
    assert "MODIFY COLUMN `a`" in row["message"]
    assert "utf8mb4" not in queue.query("SHOW CREATE TABLE t")[0][1]


async def test_what_differs_becomes_one_alter_by_the_tool(queue: RealQueue) -> None:
    tool = "pt-osc" if queue.server.is_mariadb else "gh-ost"
    await declare(queue, T, tool)
    row = await declare(queue, T.replace("a VARCHAR(10)", "a VARCHAR(10), b INT"), tool)
    assert (row["ddl_action"], row["strategy"]) == ("alter", tool)
    assert "ADD COLUMN `b`" in row["message"]
    assert queue.columns("t") == ["id", "a", "b"]
    assert len(row["artifacts"].rstrip(",").split(",")) == 1
    assert f"an ALTER TABLE by {tool}" in await queue.cannot_revert(row)


async def test_views_are_declared(queue: RealQueue) -> None:
    await declare(queue, T)
    await declare(queue, "CREATE VIEW v AS SELECT id FROM t")
    assert (await declare(queue, "CREATE VIEW v AS SELECT  id FROM t"))["message"] == "no change"
    row = await declare(queue, "CREATE VIEW v AS SELECT a FROM t")
    assert (row["ddl_action"], queue.columns("v")) == ("alter", ["a"])
    await queue.revert(row)
    assert (queue.columns("v"), queue.tables()) == (["id"], {"t", "v"})


async def test_drop_of_what_is_missing_changes_nothing(queue: RealQueue) -> None:
    assert (await declare(queue, "DROP TABLE t"))["message"] == "no change"
    made = await declare(queue, T)
    dropped = await declare(queue, "DROP TABLE t ")
    assert (queue.tables(), bool(dropped["artifacts"])) == (set(), True)
    assert "is not the last migration" in await queue.cannot_revert(made)
    await queue.revert(dropped)
    assert queue.tables() == {"t"}


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("ALTER TABLE t ADD b INT", "ALTER cannot run in declarative mode"),
        ("CREATE TABLE IF NOT EXISTS t (id INT)", "does not work in declarative mode"),
        ("DROP TABLE IF EXISTS t", "does not work in declarative mode"),
        ("CREATE OR REPLACE VIEW v AS SELECT 1", "does not work in declarative mode"),
        ("CREATE TABLE u SELECT 1 AS one", "does not work in declarative mode"),
    ],
)
@pytest.mark.parametrize("strategy", ["mysql", "gh-ost"])
async def test_what_says_how_instead_of_what_is_refused(
    queue: RealQueue, sql: str, text: str, strategy: str
) -> None:
    assert text in await queue.fail(sql, strategy=strategy, options=FLAG)


async def test_what_no_alter_is_made_for_is_refused_and_leaves_nothing(queue: RealQueue) -> None:
    await declare(queue, T)
    reason = await queue.fail(T + " PARTITION BY HASH (id) PARTITIONS 2", options=FLAG)
    assert "their partitions differ" in reason
    reason = await queue.fail("CREATE TABLE t (id INT PRIMARY KEY, x NONSENSE)", options=FLAG)
    assert "NONSENSE" in reason
    assert (queue.tables(), queue.kept()) == ({"t"}, set())
