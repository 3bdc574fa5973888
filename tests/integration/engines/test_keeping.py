"""CREATE and DROP of tables and views through the queue: what is replaced is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tabletd.executor.controls import LiveControls
from tabletd.executor.engines.build import build_engines
from tabletd.executor.engines.settings import EngineSettings
from tabletd.executor.migration import Migration, Strategy
from tabletd.executor.names import TableGCState, gc_table_name, parse_gc_table_name
from tabletd.executor.states import Status
from tests.integration.engines.rig import Record
from tests.support.pools import pool_of
from tests.support.real_queue import RealQueue, real_queue
from tests.support.servers import RealServer
from tests.support.waiting import eventually


@pytest.fixture
async def queue(any_server: RealServer, database: str, tmp_path: Path) -> AsyncIterator[RealQueue]:
    async with real_queue(any_server, database, tmp_path) as queue:
        queue.query("CREATE TABLE t (id INT PRIMARY KEY, a INT)")
        queue.query("INSERT INTO t VALUES (1, 10), (2, 20)")
        yield queue


async def test_a_dropped_table_is_kept_for_its_retention(queue: RealQueue) -> None:
    row = await queue.complete("DROP TABLE t", options="--retain-artifacts=48h")
    assert queue.tables() == set()
    (kept,) = queue.kept()
    assert row["artifacts"] == f"{kept},"
    assert queue.query(f"SELECT COUNT(*) FROM `{kept}`") == [(2,)]
    parsed = parse_gc_table_name(kept)
    assert parsed is not None
    assert parsed.state is TableGCState.HOLD
    assert (
        timedelta(0) < parsed.due - datetime.now(UTC) - timedelta(hours=47.9) < timedelta(hours=1)
    )


async def test_drop_if_exists_of_a_missing_table_completes_with_nothing_kept(
    queue: RealQueue,
) -> None:
    row = await queue.complete("DROP TABLE IF EXISTS absent")
    assert row["artifacts"] == ""
    assert row["message"] == "no change: there is no table absent"


async def test_drop_of_a_missing_table_fails_with_the_servers_words(queue: RealQueue) -> None:
    row = await queue.run("DROP TABLE absent")
    assert row["migration_status"] == Status.FAILED
    assert "absent" in row["message"]
    assert row["artifacts"] == ""


async def test_a_table_that_is_on_its_way_out_is_dropped_at_once(queue: RealQueue) -> None:
    name = gc_table_name(TableGCState.PURGE, "0" * 32, datetime.now(UTC))
    queue.query(f"RENAME TABLE t TO `{name}`")
    row = await queue.complete(f"DROP TABLE `{name}`")
    assert queue.kept() == set()
    assert "drop-at-once" in row["special_plan"]
    assert "keeps nothing" in await queue.cannot_revert(row)


async def test_tables_with_foreign_keys_are_dropped_as_the_server_does(queue: RealQueue) -> None:
    queue.query("CREATE TABLE child (id INT PRIMARY KEY, t_id INT, FOREIGN KEY (t_id)"
                " REFERENCES t (id)) ENGINE=InnoDB")  # fmt: skip
    await queue.fail("DROP TABLE t")
    row = await queue.complete("DROP TABLE child")
    assert "foreign keys" in row["message"]
    assert (queue.tables(), queue.kept()) == ({"t"}, set())


async def test_a_parent_is_dropped_where_foreign_keys_are_said_to_be_unsafe(
    queue: RealQueue,
) -> None:
    queue.query("CREATE TABLE child (id INT PRIMARY KEY, t_id INT, FOREIGN KEY (t_id)"
                " REFERENCES t (id)) ENGINE=InnoDB")  # fmt: skip
    await queue.complete("DROP TABLE t", options="--unsafe-allow-foreign-keys")
    assert (queue.tables(), queue.kept()) == ({"child"}, set())


async def test_a_created_table_has_an_artifact_that_says_so(queue: RealQueue) -> None:
    row = await queue.complete("CREATE TABLE IF NOT EXISTS fresh (id INT PRIMARY KEY)")
    assert parse_gc_table_name(row["artifacts"].rstrip(","))
    again = await queue.complete("CREATE TABLE IF NOT EXISTS fresh (id INT PRIMARY KEY, b INT)")
    assert again["artifacts"] == ""
    assert again["message"] == "no change: fresh exists"
    assert "fresh" in await queue.fail("CREATE TABLE fresh (id INT PRIMARY KEY)")


async def test_a_view_that_is_replaced_is_kept(queue: RealQueue) -> None:
    made = await queue.complete("CREATE OR REPLACE VIEW v AS SELECT id FROM t")
    assert made["ddl_action"] == "create"
    for sql in (
        "CREATE OR REPLACE VIEW v AS SELECT a FROM t",
        "ALTER VIEW v AS SELECT id, a FROM t",
    ):
        former = queue.columns("v")
        row = await queue.complete(sql)
        kept = row["artifacts"].rstrip(",")
        assert (row["ddl_action"], row["is_view"]) == ("alter", 1)
        assert queue.columns(kept) == former
    assert queue.columns("v") == ["id", "a"]


async def test_nothing_is_kept_of_a_view_that_could_not_be_replaced(queue: RealQueue) -> None:
    await queue.complete("CREATE VIEW v AS SELECT id FROM t")
    row = await queue.run("CREATE OR REPLACE VIEW v AS SELECT id FROM v")
    assert row["migration_status"] == Status.FAILED
    assert ".v' doesn't exist" in row["message"]
    assert (queue.kept(), row["artifacts"]) == (set(), "")
    assert queue.columns("v") == ["id"]


async def test_zero_dates_are_taken_where_the_flag_allows_them(queue: RealQueue) -> None:
    sql = "CREATE TABLE z (id INT PRIMARY KEY, d DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00')"
    assert "Invalid default value" in await queue.fail(sql, strategy="direct")
    await queue.complete(sql, strategy="gh-ost", options="--allow-zero-in-date")
    assert "z" in queue.tables()


async def test_a_table_is_analyzed_before_the_server_alters_it(queue: RealQueue) -> None:
    sql = "SELECT last_update FROM mysql.innodb_table_stats WHERE table_name = 't'"
    queue.query("UPDATE mysql.innodb_table_stats SET last_update = '2001-01-01 00:00:00'"
                " WHERE table_name = 't'")  # fmt: skip
    await queue.complete("ALTER TABLE t ADD COLUMN b INT", options="--analyze-table")
    assert queue.columns("t") == ["id", "a", "b"]
    assert all(moment.year > 2001 for (moment,) in queue.query(sql))


async def test_create_is_undone_and_done_again_by_reverts(queue: RealQueue) -> None:
    row = await queue.complete("CREATE TABLE fresh (id INT PRIMARY KEY)")
    queue.query("INSERT INTO fresh VALUES (7)")
    for expected in ("drop", "create", "drop", "create"):
        row = await queue.revert(row)
        assert row["ddl_action"] == expected
        assert ("fresh" in queue.tables()) is (expected == "create")
    assert queue.query("SELECT * FROM fresh") == [(7,)]


@pytest.mark.parametrize("sql", ["DROP TABLE t", "DROP VIEW IF EXISTS v"])
async def test_drop_is_undone_and_done_again_by_reverts(queue: RealQueue, sql: str) -> None:
    await queue.complete("CREATE VIEW v AS SELECT id FROM t")
    before = queue.tables()
    row = await queue.complete(sql)
    assert len(queue.tables()) == 1
    row = await queue.revert(row)
    assert queue.tables() == before
    row = await queue.revert(row)
    assert len(queue.tables()) == 1
    await queue.revert(row)
    assert queue.query("SELECT id FROM v ORDER BY id") == [(1,), (2,)]
    assert queue.kept() == set()


async def test_changes_of_a_view_are_swapped_back_and_forth(queue: RealQueue) -> None:
    made = await queue.complete("CREATE VIEW v AS SELECT id FROM t")
    row = await queue.complete("ALTER VIEW v AS SELECT a FROM t")
    assert "is not the last migration to complete on that table" in await queue.cannot_revert(made)
    for expected in ("id", "a", "id"):
        row = await queue.revert(row)
        assert queue.columns("v") == [expected]
        assert row["ddl_action"] == "alter"


async def test_what_changed_nothing_is_reverted_by_doing_nothing(queue: RealQueue) -> None:
    row = await queue.complete("CREATE TABLE IF NOT EXISTS t (id INT PRIMARY KEY)")
    row = await queue.revert(row)
    assert row["message"].startswith("no change: ")
    assert queue.tables() == {"t"}


async def test_only_what_is_complete_and_can_be_undone_is_reverted(queue: RealQueue) -> None:
    failed = await queue.run("DROP TABLE absent")
    assert "can only revert a migration in a 'complete' state" in await queue.cannot_revert(failed)
    altered = await queue.complete("ALTER TABLE t ADD COLUMN b INT")
    reason = await queue.cannot_revert(altered)
    assert "an ALTER TABLE by the server itself" in reason
    assert "submit the ALTER TABLE that undoes it" in reason
    made = await queue.complete("CREATE TABLE fresh (id INT PRIMARY KEY)")
    waiting = await queue.submit("ALTER TABLE fresh ADD b INT", options="--postpone-launch")
    reason = await queue.cannot_revert(made)
    assert f"because migration {waiting} is in queued status" in reason


async def test_a_table_that_was_collected_does_not_come_back(queue: RealQueue) -> None:
    row = await queue.complete("DROP TABLE t")
    (kept,) = queue.kept()
    queue.query(f"DROP TABLE `{kept}`")
    assert "has been cleaned up" in await queue.cannot_revert(row)


async def test_renaming_is_refused_with_the_reason(queue: RealQueue) -> None:
    with pytest.raises(Exception, match="Unsupported online DDL action") as refused:
        await queue.submit("RENAME TABLE t TO u")
    assert "strategy direct" in str(refused.value)


async def test_half_a_swap_of_views_is_put_back_after_a_crash(
    any_server: RealServer, database: str, tmp_path: Path
) -> None:
    any_server.script("CREATE VIEW put_away AS SELECT 1 AS one", database=database)
    migration = Migration(
        id=1,
        migration_uuid="u",
        keyspace="ks",
        shard="0",
        mysql_schema=database,
        mysql_table="v",
        migration_statement="revert vitess_migration 'x'",
        strategy=Strategy.MYSQL,
        ddl_action="alter",
        is_view=True,
        reverted_uuid="x",
        artifacts=("put_away",),
        run_nonce="n-digest",
    )
    settings = EngineSettings("zone1-1", tmp_path, tmp_path, "", "", lambda: "")
    async with pool_of(any_server) as pool:
        engine = build_engines(pool, settings)[Strategy.DIRECT]
        record = Record(migration)
        assert await engine.recover(migration, record) is None
        assert any_server.query("SELECT * FROM v", database=database) == [(1,)]
        assert record.migration.artifacts == ()


async def test_a_drop_that_a_dead_daemon_made_is_found(
    any_server: RealServer, database: str, tmp_path: Path
) -> None:
    any_server.script("CREATE TABLE t (id INT PRIMARY KEY)", database=database)
    migration = Migration(
        id=1,
        migration_uuid="u",
        keyspace="ks",
        shard="0",
        mysql_schema=database,
        mysql_table="t",
        migration_statement="DROP TABLE t",
        strategy=Strategy.MYSQL,
        ddl_action="drop",
    )
    settings = EngineSettings("zone1-1", tmp_path, tmp_path, "", "", lambda: "")
    async with pool_of(any_server) as pool:
        engine = build_engines(pool, settings)[Strategy.DIRECT]
        record = Record(migration)
        await engine.run(migration, record, asyncio.Event(), LiveControls())
        outcome = await engine.recover(replace(record.migration), Record(record.migration))
    assert outcome is not None
    assert outcome.status is Status.COMPLETE


async def test_force_ends_who_keeps_a_table_from_being_dropped(
    mysql57: RealServer, database: str, tmp_path: Path
) -> None:
    mysql57.script(
        f"CREATE TABLE `{database}`.t (id INT PRIMARY KEY)",
        "CREATE USER 'app'@'localhost'",
        "GRANT ALL ON *.* TO 'app'@'localhost'",
    )
    async with real_queue(mysql57, database, tmp_path) as queue:
        holder = mysql57.connect(database, user="app", autocommit=False)
        holder.cursor().execute("SELECT * FROM t")
        uuid = await queue.submit("DROP TABLE t")
        await eventually(lambda: queue.row(uuid)["migration_status"] == Status.RUNNING)
        await queue.executor.execute_statement(f"ALTER VITESS_MIGRATION '{uuid}' FORCE_CUTOVER")
        row = await queue.end_of(uuid)
    assert (row["migration_status"], queue.tables()) == (Status.COMPLETE, set())
    assert "ended by force: " in row["message"]
    assert "app@localhost" in row["message"]
