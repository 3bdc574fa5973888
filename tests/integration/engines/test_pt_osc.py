"""pt-online-schema-change on MariaDB 10.11 and MySQL 5.7."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tabletd.errors import NotWritable
from tabletd.executor.controls import LiveControls
from tabletd.executor.hooks import token_matches
from tabletd.executor.migration import Strategy
from tabletd.executor.states import Status
from tabletd.processes.runner import attach
from tabletd.sandbox.workload import Workload, load, verify_table
from tests.conftest import StartServer
from tests.integration.engines.callbacks import callback_server
from tests.integration.engines.rig import Record, Rig, abandon, rig_on
from tests.support.waiting import eventually

PT_OSC = Strategy.PT_OSC
SLOW = "--chunk-size 50 --sleep 0.2"
ADD_EXTRA = "ALTER TABLE orders ADD COLUMN extra INT NOT NULL DEFAULT 7"


async def test_a_migration_under_writes_keeps_every_row(any_rig: Rig) -> None:
    rig = any_rig
    book = await load(rig.pool, rig.schema, "orders", 3000)
    workload = Workload(
        rig.pool, rig.schema, "orders", book, writers=3, transactions_per_second=150
    )
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(workload.run(stop))
        outcome, record = await rig.run(PT_OSC, ADD_EXTRA, options="--chunk-size 200 --sleep 0.1")
        stop.set()

    assert outcome.status is Status.COMPLETE, outcome
    assert "extra" in rig.columns()
    verdict = await verify_table(rig.pool, rig.schema, "orders", book)
    assert verdict.holds, str(verdict)
    assert outcome.old_table == "_orders_old"
    assert outcome.old_table in record.migration.artifacts
    assert rig.leftovers("_orders_old") == []
    assert workload.counts.committed > 50


async def test_progress_tells_rows_and_percent(mariadb_rig: Rig) -> None:
    rig = mariadb_rig
    rig.create_orders()
    async with callback_server() as server:
        _, record = await rig.run(
            PT_OSC,
            ADD_EXTRA,
            options="--chunk-size 500 --sleep 0.3",
            callback_url=lambda: server.url,
        )
    copying = [progress for progress in record.reported if progress.percent]
    assert copying
    assert copying[-1].rows_copied > 1000
    assert copying[-1].eta_seconds >= 0
    assert record.stages[:2] == ["pt-osc: validating", "pt-osc: dry run"]
    assert "pt-osc: copying rows" in record.stages


async def test_a_statement_that_the_server_refuses_fails_in_the_dry_run(any_rig: Rig) -> None:
    rig = any_rig
    rig.create_orders(10)
    outcome, _ = await rig.run(PT_OSC, "ALTER TABLE orders DROP COLUMN absent")

    assert outcome.status is Status.FAILED
    assert "dry run ended with" in outcome.message
    assert "Can't DROP" in outcome.message
    assert "pt-online-schema-change line" not in outcome.message
    assert rig.leftovers() == []


async def test_a_new_unique_key_is_refused_with_its_reason(mariadb_rig: Rig) -> None:
    rig = mariadb_rig
    rig.create_orders(10)
    outcome, _ = await rig.run(PT_OSC, "ALTER TABLE orders ADD UNIQUE KEY code (code)")

    assert outcome.status is Status.FAILED
    assert "You are trying to add an unique key" in outcome.message
    assert rig.leftovers() == []


async def test_values_that_get_truncated_end_the_run_before_the_swap(any_rig: Rig) -> None:
    rig = any_rig
    rig.create_orders(100)
    outcome, _ = await rig.run(PT_OSC, "ALTER TABLE orders MODIFY note CHAR(3)", probe_seconds=0)

    assert outcome.status is Status.FAILED, outcome
    assert "Copying rows caused a MySQL error" in outcome.message or (
        "copying rows caused a MySQL error" in outcome.message
    )
    assert rig.server.scalar("SELECT note FROM orders LIMIT 1", database=rig.schema) == "x" * 40
    assert rig.leftovers() == []


async def test_a_cancel_in_the_middle_of_the_copy_leaves_nothing(any_rig: Rig) -> None:
    rig = any_rig
    rig.create_orders()
    async with (
        callback_server() as server,
        rig.running(PT_OSC, ADD_EXTRA, SLOW, callback_url=lambda: server.url) as running,
    ):
        assert len(rig.server.query("SHOW TRIGGERS", database=rig.schema)) == 3
        running.stop.set()
        outcome = await running.task

    assert outcome.status is Status.CANCELLED
    assert "extra" not in rig.columns()
    assert rig.leftovers() == []
    rig.server.query("INSERT INTO orders (code, amount) VALUES ('after', 1)", database=rig.schema)


async def test_triggers_of_somebody_else_are_left_alone(mariadb_rig: Rig) -> None:
    rig = mariadb_rig
    rig.create_orders()
    rig.server.script(
        "CREATE TABLE other (id INT PRIMARY KEY)",
        "CREATE TABLE _other_new (id INT PRIMARY KEY)",
        "CREATE TRIGGER pt_osc_x_other_ins AFTER INSERT ON other FOR EACH ROW "
        "REPLACE INTO _other_new VALUES (NEW.id)",
        database=rig.schema,
    )
    async with (
        callback_server() as server,
        rig.running(PT_OSC, ADD_EXTRA, SLOW, callback_url=lambda: server.url) as running,
    ):
        running.stop.set()
    assert rig.leftovers("other", "_other_new") == ["trigger pt_osc_x_other_ins"]


@pytest.mark.parametrize("is_killed", [False, True])
async def test_a_run_that_a_dead_daemon_left_is_ended_and_may_start_again(
    any_rig: Rig, is_killed: bool
) -> None:
    rig = any_rig
    rig.create_orders()
    async with callback_server() as server:
        left = await abandon(rig, PT_OSC, SLOW, lambda: server.url)
        run = await attach(Path(left.run_directory) / "run")
        assert run is not None
        if is_killed:
            os.kill(run.tool.pid, signal.SIGKILL)
        record = Record(left)
        assert await rig.engine(PT_OSC).recover(left, record) is None
    assert record.ended
    assert rig.leftovers() == []


@pytest.mark.parametrize("is_directory_gone", [False, True])
async def test_a_swap_that_a_dead_daemon_did_not_see_is_found(
    mariadb_rig: Rig, is_directory_gone: bool
) -> None:
    rig = mariadb_rig
    rig.create_orders(2000)
    rig.server.query("CREATE TABLE _orders_old (theirs INT)", database=rig.schema)
    async with callback_server() as server:
        slowly = "--chunk-size 200 --sleep 0.1 --verify=false"
        left = await abandon(rig, PT_OSC, slowly, lambda: server.url)
        run = await attach(Path(left.run_directory) / "run")
        assert run is not None
        assert await run.wait() == 0
    if is_directory_gone:
        (Path(left.run_directory) / "report.after_swap_tables").unlink()
        (Path(left.run_directory) / "run/process.json").unlink()

    outcome = await rig.engine(PT_OSC).recover(left, Record(left))
    assert outcome is not None
    assert outcome.status is Status.COMPLETE
    assert outcome.old_table == "__orders_old"
    assert rig.columns("_orders_old") == ["theirs"]
    assert rig.leftovers("_orders_old", "__orders_old") == []


async def test_the_plugin_reports_and_calls_back_with_the_token(mariadb_rig: Rig) -> None:
    rig = mariadb_rig
    rig.create_orders(500)
    async with callback_server() as server:
        outcome, record = await rig.run(PT_OSC, ADD_EXTRA, callback_url=lambda: server.url)
    assert outcome.status is Status.COMPLETE, outcome
    reports = [request for request in server.requests if "report-status" in request.path]
    said = {(report.query["status"], report.query["dryrun"]) for report in reports}
    assert said == {
        ("running", "true"),
        ("complete", "true"),
        ("running", "false"),
        ("complete", "false"),
    }
    assert all(token_matches(record.migration.run_token_hash, r.token) for r in reports)
    checks = [request for request in server.requests if "/throttler/check" in request.path]
    assert checks[0].query["app"] == f"online-ddl:pt-osc:{record.migration.migration_uuid}"


async def test_the_tool_waits_while_the_throttler_says_no(any_rig: Rig) -> None:
    rig = any_rig
    rig.create_orders(500)
    async with callback_server() as server:
        server.throttle_status = 429
        migration = rig.migration(PT_OSC, ADD_EXTRA)
        record = Record(migration)
        engine = rig.engine(PT_OSC, callback_url=lambda: server.url)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(engine.run(migration, record, asyncio.Event(), LiveControls()))
            await eventually(
                lambda: [p for p in record.reported if p.throttle_reason == "replica r1 lags 9 s"],
            )
            assert not task.done()
            server.throttle_status = 200
        assert task.result().status is Status.COMPLETE


async def test_the_password_is_in_no_argument_list(mariadb_rig: Rig) -> None:
    rig = mariadb_rig
    rig.create_orders()
    async with (
        callback_server() as server,
        rig.running(PT_OSC, ADD_EXTRA, SLOW, callback_url=lambda: server.url) as running,
    ):
        password = (Path(running.record.migration.run_directory) / "account").read_text()
        assert rig.processes()
        assert password not in "\n".join(rig.processes())
        assert password not in Path(running.record.migration.log_file).read_text()


async def test_a_configured_account_with_an_odd_password_is_used(mariadb_rig: Rig) -> None:
    rig = mariadb_rig
    rig.create_orders(100)
    rig.server.script(
        "CREATE USER 'mover'@'127.0.0.1' IDENTIFIED BY 'p\"w\\\\ #;'",
        "GRANT ALL ON *.* TO 'mover'@'127.0.0.1'",
    )
    outcome, _ = await rig.run(
        PT_OSC, ADD_EXTRA, migration_user="mover", migration_password=lambda: 'p"w\\ #;'
    )
    assert outcome.status is Status.COMPLETE, outcome


async def test_odd_table_names_and_columns_beyond_ascii_are_altered(any_rig: Rig) -> None:
    rig = any_rig
    name = 'a, "b" %T=' + "t" * 53
    rig.server.script(
        f"CREATE TABLE `{name}` (`ключ` VARCHAR(20) PRIMARY KEY, `a b` TEXT) CHARSET utf8mb4",
        *(f"INSERT INTO `{name}` VALUES ('é☃{number}', '🐘')" for number in range(30)),
        database=rig.schema,
    )
    outcome, _ = await rig.run(
        PT_OSC,
        f"ALTER TABLE `{name}` ADD COLUMN `x,й` INT COMMENT 'é☃'",
        name,
        options="--chunk-size 10",
    )
    assert outcome.status is Status.COMPLETE, outcome
    assert "x,й" in rig.columns(name)
    assert "é☃" in rig.server.query(f"SHOW CREATE TABLE `{name}`", database=rig.schema)[0][1]
    rows = rig.server.query(f"SELECT `ключ`, `a b` FROM `{name}`", database=rig.schema)
    assert sorted(rows) == sorted((f"é☃{number}", "🐘") for number in range(30))
    assert rig.leftovers(name, outcome.old_table) == []


async def test_a_cause_beyond_ascii_is_told(any_rig: Rig) -> None:
    rig = any_rig
    rig.create_orders(10)
    outcome, _ = await rig.run(PT_OSC, "ALTER TABLE orders DROP COLUMN `нет☃`")
    assert outcome.status is Status.FAILED
    assert "Can't DROP" in outcome.message, outcome.message
    assert "нет☃" in outcome.message, outcome.message


async def test_a_swap_that_waits_for_a_lock_does_not_happen_after_the_stop(any_rig: Rig) -> None:
    rig = any_rig
    rig.create_orders(500)
    migration = rig.migration(PT_OSC, ADD_EXTRA, options="--chunk-size 100 --sleep 0.2")
    record = Record(migration)
    stop = asyncio.Event()
    async with callback_server() as server, asyncio.TaskGroup() as tasks:
        engine = rig.engine(PT_OSC, callback_url=lambda: server.url)
        task = tasks.create_task(engine.run(migration, record, stop, LiveControls()))
        await eventually(lambda: any(p.rows_copied for p in record.reported))
        with closing(rig.server.connect(rig.schema, autocommit=False)) as holder:
            holder.cursor().execute("SELECT * FROM orders LIMIT 1")
            await eventually(lambda: _renames(rig))
            stop.set()
            await eventually(lambda: not _renames(rig))
    assert task.result().status is Status.CANCELLED
    assert "extra" not in rig.columns()
    assert rig.leftovers() == []


async def test_a_tool_that_says_success_but_swapped_nothing_has_failed(
    mariadb_rig: Rig, tmp_path: Path
) -> None:
    rig = mariadb_rig
    rig.create_orders(10)
    liar = tmp_path / "pt-osc"
    liar.write_text("#!/bin/sh\necho pt-online-schema-change 3.2.1\necho Successfully altered\n")
    liar.chmod(0o755)
    outcome, _ = await rig.run(PT_OSC, ADD_EXTRA, pt_osc_path=str(liar))
    assert outcome.status is Status.FAILED
    assert "ended with 0, but the table was not swapped: found orders" in outcome.message
    assert rig.leftovers() == []


async def test_a_server_that_becomes_read_only_leaves_the_run_to_be_recovered(
    mariadb_rig: Rig,
) -> None:
    rig = mariadb_rig
    rig.create_orders()
    rig.server.query("SET GLOBAL read_only = 0")
    async with callback_server() as server:
        migration = rig.migration(PT_OSC, ADD_EXTRA, options=SLOW)
        record = Record(migration)
        stop = asyncio.Event()
        engine = rig.engine(PT_OSC, callback_url=lambda: server.url)
        task = asyncio.ensure_future(engine.run(migration, record, stop, LiveControls()))
        await eventually(lambda: any(p.rows_copied for p in record.reported))
        rig.server.query("SET GLOBAL read_only = 1")
        stop.set()
        assert (await task).status is Status.CANCELLED
    assert not record.ended
    assert rig.processes() == []
    rig.server.query("SET GLOBAL read_only = 0")
    assert await rig.engine(PT_OSC).recover(record.migration, record) is None
    assert rig.leftovers() == []


def _renames(rig: Rig) -> list[object]:
    return list(
        rig.server.query(
            "SELECT id FROM information_schema.processlist WHERE info LIKE 'RENAME TABLE%%'"
        )
    )


async def test_a_tool_that_meets_read_only_by_itself_fails_no_migration(any_rig: Rig) -> None:
    rig = any_rig
    rig.create_orders()
    async with callback_server() as server:
        migration = rig.migration(PT_OSC, ADD_EXTRA, options=SLOW)
        record = Record(migration)
        engine = rig.engine(PT_OSC, callback_url=lambda: server.url)
        task = asyncio.ensure_future(engine.run(migration, record, asyncio.Event(), LiveControls()))
        await eventually(lambda: any(p.rows_copied for p in record.reported))
        rig.server.query("SET GLOBAL read_only = 1")
        with pytest.raises(NotWritable):
            await task
    assert not record.ended
    rig.server.query("SET GLOBAL read_only = 0")
    assert await rig.engine(PT_OSC).recover(record.migration, record) is None
    assert rig.leftovers() == []


async def test_a_tool_that_somebody_kills_has_failed_and_leaves_nothing(any_rig: Rig) -> None:
    rig = any_rig
    rig.create_orders()
    async with (
        callback_server() as server,
        rig.running(PT_OSC, ADD_EXTRA, SLOW, callback_url=lambda: server.url) as running,
    ):
        run = await attach(Path(running.record.migration.run_directory) / "run")
        assert run is not None
        os.kill(run.tool.pid, signal.SIGTERM)
        outcome = await running.task
    assert outcome.status is Status.FAILED
    assert "Exiting on SIGTERM" in outcome.message
    assert rig.leftovers() == []


async def test_a_run_that_had_just_begun_is_recovered(mariadb_rig: Rig) -> None:
    rig = mariadb_rig
    rig.create_orders(1)
    left = replace(
        rig.migration(PT_OSC, ADD_EXTRA),
        run_nonce="n",
        run_directory=str(rig.settings.run_directory / "zone1-0000000100-x-1"),
        run_account="tabletd_12345678@127.0.0.1",
    )
    record = Record(left)
    assert await rig.engine(PT_OSC).recover(left, record) is None
    assert record.ended


async def test_names_in_capitals_on_a_server_that_folds_them(
    start_server: StartServer, tmp_path: Path
) -> None:
    options = ("--lower-case-table-names=1",)
    server = await asyncio.to_thread(start_server, "mariadb", options=options)
    async with rig_on(server, server.create_database(), tmp_path) as rig:
        rig.server.query("SET GLOBAL log_bin_trust_function_creators = 1")
        rig.create_orders(5000)
        rig.server.query("CREATE TABLE _orders_old (theirs INT)", database=rig.schema)
        async with callback_server() as answers:
            left = await abandon(rig, PT_OSC, SLOW, lambda: answers.url, table="ORDERS")
            assert await rig.engine(PT_OSC).recover(left, Record(left)) is None
            outcome, _ = await rig.run(PT_OSC, "ALTER TABLE ORDERS ADD COLUMN extra INT", "ORDERS")
        assert outcome.status is Status.COMPLETE, outcome
        assert outcome.old_table == "__orders_old"
        assert rig.leftovers("_orders_old", "__orders_old") == []
