"""--prefer-instant-ddl: the server alters instantly what it can, the tool the rest."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import StartServer
from tests.support.real_queue import RealQueue, real_queue
from tests.support.servers import RealServer
from tests.support.waiting import eventually

ADD = "ALTER TABLE t ADD COLUMN b INT"
FLAG = "--prefer-instant-ddl"
INSTANT = '{"operation":"instant-ddl"}'


def _make_table(queue: RealQueue) -> None:
    queue.query("CREATE TABLE t (id INT PRIMARY KEY, a INT) ENGINE=InnoDB")
    queue.query("INSERT INTO t VALUES (1, 10), (2, 20)")


@pytest.fixture
async def queue(mariadb: RealServer, database: str, tmp_path: Path) -> AsyncIterator[RealQueue]:
    """MariaDB, which has ALGORITHM=INSTANT."""
    mariadb.query("SET GLOBAL log_bin_trust_function_creators = 1")
    async with real_queue(mariadb, database, tmp_path) as queue:
        _make_table(queue)
        yield queue


@pytest.mark.parametrize("strategy", ["pt-osc", "mysql"])
async def test_what_the_server_can_do_instantly_it_does(queue: RealQueue, strategy: str) -> None:
    row = await queue.complete(ADD, strategy=strategy, options=FLAG)
    assert queue.columns("t") == ["id", "a", "b"]
    assert (row["special_plan"], row["artifacts"]) == (INSTANT, "")
    assert queue.kept() == set()
    assert "instant-ddl" in await queue.cannot_revert(row)


@pytest.mark.parametrize("strategy", ["pt-osc", "mysql"])
async def test_what_the_server_cannot_do_instantly_is_done_as_ever(
    queue: RealQueue, strategy: str
) -> None:
    row = await queue.complete(
        "ALTER TABLE t MODIFY a BIGINT NOT NULL", strategy=strategy, options=FLAG
    )
    assert row["special_plan"] == ""
    assert queue.query("SHOW COLUMNS FROM t")[1][1].startswith("bigint")
    assert bool(row["artifacts"]) is (strategy == "pt-osc")


async def test_mysql_57_has_no_instant_ddl(
    mysql57: RealServer, database: str, tmp_path: Path
) -> None:
    async with real_queue(mysql57, database, tmp_path) as queue:
        _make_table(queue)
        row = await queue.complete(ADD, strategy="gh-ost", options=FLAG)
        assert row["special_plan"] == ""
        assert row["artifacts"].endswith("_del,")


@pytest.fixture
def mysql80(start_server: StartServer) -> RealServer:
    return start_server("mysql-8.0")


async def test_mysql_80_alters_instantly(mysql80: RealServer, tmp_path: Path) -> None:
    async with real_queue(mysql80, mysql80.create_database(), tmp_path) as queue:
        _make_table(queue)
        assert (await queue.complete(ADD, options=FLAG))["special_plan"] == INSTANT
        drop = await queue.complete("ALTER TABLE t DROP COLUMN b", options=FLAG)
        assert drop["special_plan"] == ""
        assert queue.columns("t") == ["id", "a"]


async def test_an_instant_change_waits_for_its_completion(queue: RealQueue) -> None:
    uuid = await queue.submit(ADD, strategy="pt-osc", options=f"{FLAG} --postpone-completion")
    await eventually(lambda: queue.row(uuid)["ready_to_complete"] == 1, what="it is ready")
    stage = "pt-osc: ready to complete, completion is postponed"
    await eventually(lambda: queue.row(uuid)["stage"] == stage, what="it says so")
    assert queue.columns("t") == ["id", "a"]
    assert queue.kept() == set()
    await queue.executor.execute_statement(f"ALTER VITESS_MIGRATION '{uuid}' COMPLETE")
    row = await queue.end_of(uuid)
    assert (row["migration_status"], row["special_plan"]) == ("complete", INSTANT)
    assert queue.columns("t") == ["id", "a", "b"]


async def test_a_locked_table_is_not_waited_for_longer_than_the_threshold(
    queue: RealQueue,
) -> None:
    with closing(queue.server.connect(queue.schema, autocommit=False)) as holder:
        holder.cursor().execute("SELECT * FROM t")
        reason = await queue.fail(ADD, options=f"{FLAG} --cut-over-threshold=5s")
    assert "Lock wait timeout" in reason
    assert queue.columns("t") == ["id", "a"]
