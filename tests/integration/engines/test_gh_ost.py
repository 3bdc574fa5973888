"""gh-ost on MySQL 5.7."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tabletd.executor.controls import LiveControls
from tabletd.executor.hooks import token_matches
from tabletd.executor.migration import Strategy
from tabletd.executor.states import Status
from tabletd.processes.runner import attach
from tabletd.sandbox.workload import Workload, load, verify_table
from tests.integration.engines.callbacks import callback_server
from tests.integration.engines.rig import Record, Rig, abandon
from tests.support.waiting import eventually

GH_OST = Strategy.GH_OST
SLOW = "--chunk-size=10 --nice-ratio=50"


async def test_a_migration_under_writes_keeps_every_row(mysql_rig: Rig) -> None:
    rig = mysql_rig
    book = await load(rig.pool, rig.schema, "orders", 3000)
    workload = Workload(
        rig.pool, rig.schema, "orders", book, writers=3, transactions_per_second=150
    )
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(workload.run(stop))
        outcome, record = await rig.run(
            GH_OST, "ALTER TABLE orders ADD COLUMN extra INT NOT NULL DEFAULT 7"
        )
        stop.set()

    assert outcome.status is Status.COMPLETE, outcome
    assert "extra" in rig.columns()
    verdict = await verify_table(rig.pool, rig.schema, "orders", book)
    assert verdict.holds, str(verdict)
    assert outcome.old_table in record.migration.artifacts
    assert outcome.old_table.endswith("_del")
    assert record.ended
    assert rig.leftovers(outcome.old_table) == []
    assert workload.counts.committed > 50


async def test_progress_tells_rows_percent_and_eta(mysql_rig: Rig) -> None:
    rig = mysql_rig
    rig.create_orders()
    _, record = await rig.run(
        GH_OST, "ALTER TABLE orders ADD KEY (note)", options="--chunk-size=100 --nice-ratio=3"
    )

    copying = [progress for progress in record.reported if progress.rows_copied]
    assert copying[-1].rows_estimated == 5000
    assert copying[0].rows_copied <= copying[-1].rows_copied
    assert 0 < copying[-1].percent <= 100
    assert record.stages[:2] == ["gh-ost: validating", "gh-ost: dry run"]
    assert "gh-ost: copying rows" in record.stages


async def test_a_statement_that_the_server_refuses_fails_in_the_dry_run(mysql_rig: Rig) -> None:
    rig = mysql_rig
    rig.create_orders(10)
    outcome, record = await rig.run(GH_OST, "ALTER TABLE orders DROP COLUMN absent")

    assert outcome.status is Status.FAILED
    assert "dry run ended with 1" in outcome.message
    assert "Can't DROP 'absent'" in outcome.message
    assert record.ended
    assert rig.leftovers() == []
    assert "Can't DROP" in Path(record.migration.log_file).read_text()


async def test_rows_that_a_new_unique_key_would_lose_fail_the_run(mysql_rig: Rig) -> None:
    rig = mysql_rig
    rig.create_orders(100)
    rig.server.query("UPDATE orders SET code = 'same' WHERE id < 3", database=rig.schema)
    outcome, _ = await rig.run(
        GH_OST, "ALTER TABLE orders ADD UNIQUE KEY code (code)", probe_seconds=0
    )

    assert outcome.status is Status.FAILED
    assert "gh-ost run ended with 1" in outcome.message
    assert "Duplicate entry 'same'" in outcome.message
    assert rig.server.scalar("SELECT COUNT(*) FROM orders", database=rig.schema) == 100
    assert rig.leftovers() == []


async def test_a_cancel_in_the_middle_of_the_copy_leaves_nothing(mysql_rig: Rig) -> None:
    rig = mysql_rig
    rig.create_orders()
    async with rig.running(GH_OST, "ALTER TABLE orders ADD COLUMN extra INT", SLOW) as running:
        assert len(rig.tables()) > 1
        running.stop.set()
        outcome = await running.task

    assert outcome.status is Status.CANCELLED
    assert running.record.ended
    assert "extra" not in rig.columns()
    assert rig.leftovers() == []


async def test_a_row_that_goes_on_without_the_run_ends_the_tool(mysql_rig: Rig) -> None:
    rig = mysql_rig
    rig.create_orders()
    async with rig.running(GH_OST, "ALTER TABLE orders ADD COLUMN extra INT", SLOW) as running:
        running.record.is_lost = True
        outcome = await running.task

    assert outcome.status is Status.CANCELLED
    assert rig.leftovers() == []


async def test_the_password_is_in_no_argument_list_log_or_open_file(mysql_rig: Rig) -> None:
    rig = mysql_rig
    rig.create_orders()
    async with rig.running(GH_OST, "ALTER TABLE orders ADD COLUMN extra INT", SLOW) as running:
        directory = Path(running.record.migration.run_directory)
        password = (directory / "account").read_text()
        token = dict(
            line.split("=", 1) for line in (directory / "callback").read_text().splitlines()
        )["token"]
        assert len(password) == 32
        everything = "\n".join(_all_command_lines_and_environments())
        log = Path(running.record.migration.log_file).read_text()
        for secret in (password, token):
            assert secret not in everything
            assert secret not in log
        assert directory.stat().st_mode & 0o777 == 0o700
        for path in directory.rglob("*"):
            assert path.is_socket() or path.stat().st_mode & 0o077 == 0, path


async def test_the_account_can_do_no_more_than_the_tool_needs(mysql_rig: Rig) -> None:
    rig = mysql_rig
    rig.create_orders()
    async with rig.running(GH_OST, "ALTER TABLE orders ADD COLUMN extra INT", SLOW) as running:
        user, host = running.record.migration.run_account.split("@")
        grants = [row[0] for row in rig.server.query(f"SHOW GRANTS FOR '{user}'@'{host}'")]
    assert host == "127.0.0.1"
    assert len(user) <= 16
    assert any(
        grant.startswith("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.*") for grant in grants
    )
    escaped = rig.schema.replace("_", "\\_")
    assert any(f"ON `{escaped}`.*" in grant for grant in grants)
    assert not any("SUPER" in grant for grant in grants)


@pytest.mark.parametrize("death", ["alive", "killed", "killed with its wrapper"])
async def test_a_run_that_a_dead_daemon_left_is_ended_and_may_start_again(
    mysql_rig: Rig, death: str
) -> None:
    rig = mysql_rig
    rig.create_orders()
    left = await abandon(rig, GH_OST, SLOW)
    run = await attach(Path(left.run_directory) / "run")
    assert run is not None
    if death != "alive":
        if "wrapper" in death:
            process = json.loads((Path(left.run_directory) / "run/process.json").read_text())
            os.kill(process["wrapper"]["pid"], signal.SIGKILL)
        os.kill(run.tool.pid, signal.SIGKILL)

    record = Record(left)
    assert await rig.engine(GH_OST).recover(left, record) is None
    assert record.ended
    assert rig.leftovers() == []
    again = await rig.engine(GH_OST).recover(left, record)
    assert again is None


async def test_a_swap_that_a_dead_daemon_did_not_see_is_found(mysql_rig: Rig) -> None:
    rig = mysql_rig
    rig.create_orders(2000)
    left = await abandon(rig, GH_OST, "--chunk-size=20 --nice-ratio=10 --verify=false")
    run = await attach(Path(left.run_directory) / "run")
    assert run is not None
    assert await run.wait() == 0

    record = Record(left)
    outcome = await rig.engine(GH_OST).recover(left, record)
    assert outcome is not None
    assert outcome.status is Status.COMPLETE
    assert "extra" in rig.columns()
    assert rig.leftovers(outcome.old_table) == []


async def test_a_cut_over_that_waits_for_a_lock_does_not_happen_after_the_stop(
    mysql_rig: Rig,
) -> None:
    rig = mysql_rig
    rig.create_orders(1000)
    migration = rig.migration(
        GH_OST, "ALTER TABLE orders ADD COLUMN extra INT", options="--chunk-size=100 --nice-ratio=3"
    )
    record = Record(migration)
    stop = asyncio.Event()
    with closing(rig.server.connect(rig.schema, autocommit=False)) as holder:
        holder.cursor().execute("SELECT * FROM orders LIMIT 1")
        async with asyncio.TaskGroup() as tasks:
            run = rig.engine(GH_OST).run(migration, record, stop, LiveControls())
            task = tasks.create_task(run)
            await eventually(lambda: any(name.endswith("_del") for name in rig.tables()))
            stop.set()
            await task
    assert task.result().status is Status.CANCELLED
    assert "extra" not in rig.columns()
    assert rig.leftovers() == []


async def test_a_server_that_becomes_read_only_fails_no_migration(mysql_rig: Rig) -> None:
    rig = mysql_rig
    rig.create_orders()
    migration = rig.migration(GH_OST, "ALTER TABLE orders ADD COLUMN extra INT", options=SLOW)
    record = Record(migration)
    task = asyncio.ensure_future(
        rig.engine(GH_OST).run(migration, record, asyncio.Event(), LiveControls())
    )
    await eventually(lambda: any(p.rows_copied for p in record.reported))
    rig.server.query("SET GLOBAL read_only = 1")
    record.is_lost = True
    outcome = await task
    assert outcome.status is Status.CANCELLED
    assert not record.ended
    rig.server.query("SET GLOBAL read_only = 0")
    assert await rig.engine(GH_OST).recover(record.migration, record) is None
    assert rig.leftovers() == []


async def test_a_tool_that_somebody_kills_has_failed_and_leaves_nothing(mysql_rig: Rig) -> None:
    rig = mysql_rig
    rig.create_orders()
    async with rig.running(GH_OST, "ALTER TABLE orders ADD COLUMN extra INT", SLOW) as running:
        run = await attach(Path(running.record.migration.run_directory) / "run")
        assert run is not None
        os.kill(run.tool.pid, signal.SIGKILL)
        outcome = await running.task
    assert outcome.status is Status.FAILED
    assert "ended from outside by signal 9" in outcome.message
    assert rig.leftovers() == []


async def test_hooks_leave_reports_and_call_back_with_the_token(mysql_rig: Rig) -> None:
    rig = mysql_rig
    rig.create_orders(500)
    async with callback_server() as server:
        outcome, record = await rig.run(
            GH_OST, "ALTER TABLE orders ADD COLUMN extra INT", callback_url=lambda: server.url
        )
    assert outcome.status is Status.COMPLETE
    reports = [request for request in server.requests if "report-status" in request.path]
    assert {report.query["uuid"] for report in reports} == {record.migration.migration_uuid}
    assert ("complete", "false") in {(r.query["status"], r.query["dryrun"]) for r in reports}
    assert all(token_matches(record.migration.run_token_hash, r.token) for r in reports)
    checks = [request for request in server.requests if "/throttler/check" in request.path]
    assert checks
    assert checks[0].query["app"] == f"online-ddl:gh-ost:{record.migration.migration_uuid}"


async def test_the_tool_waits_while_the_throttler_says_no(mysql_rig: Rig) -> None:
    rig = mysql_rig
    rig.create_orders(500)
    async with callback_server() as server:
        server.throttle_status = 429
        migration = rig.migration(GH_OST, "ALTER TABLE orders ADD COLUMN extra INT")
        record = Record(migration)
        engine = rig.engine(GH_OST, callback_url=lambda: server.url)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(engine.run(migration, record, asyncio.Event(), LiveControls()))
            await eventually(
                lambda: [p for p in record.reported if "http=429" in p.throttle_reason],
            )
            assert not task.done()
            server.throttle_status = 200
        assert task.result().status is Status.COMPLETE


async def test_a_configured_account_is_used_and_kept(mysql_rig: Rig) -> None:
    rig = mysql_rig
    rig.create_orders(100)
    rig.server.script(
        "CREATE USER 'mover'@'%' IDENTIFIED BY 'pw \"with'' `quotes'".replace(" `", " "),
        "GRANT ALL ON *.* TO 'mover'@'%'",
    )
    outcome, record = await rig.run(
        GH_OST,
        "ALTER TABLE orders ADD COLUMN extra INT",
        migration_user="mover",
        migration_password=lambda: "pw \"with' quotes",
    )
    assert outcome.status is Status.COMPLETE, outcome
    assert record.migration.run_account == ""
    assert rig.server.query("SELECT 1 FROM mysql.user WHERE user = 'mover'")


async def test_the_metadata_lock_instrument_is_switched_on(mysql_rig: Rig) -> None:
    rig = mysql_rig
    rig.create_orders(10)
    rig.server.query(
        "UPDATE performance_schema.setup_instruments SET ENABLED='NO' "
        "WHERE NAME='wait/lock/metadata/sql/mdl'"
    )
    outcome, _ = await rig.run(GH_OST, "ALTER TABLE orders ADD COLUMN extra INT")
    assert outcome.status is Status.COMPLETE, outcome


async def test_a_table_of_64_characters_and_odd_names_is_altered(mysql_rig: Rig) -> None:
    rig = mysql_rig
    name = 'тест, "x" %' + "t" * 53
    rig.server.script(
        f"CREATE TABLE `{name}` (`select` INT PRIMARY KEY, `a b` TEXT)",
        f"INSERT INTO `{name}` VALUES (1, 'é')",
        database=rig.schema,
    )
    outcome, _ = await rig.run(
        GH_OST, f"ALTER TABLE `{name}` ADD COLUMN `x,y` INT COMMENT 'é☃'", name
    )
    assert outcome.status is Status.COMPLETE, outcome
    assert "x,y" in rig.columns(name)
    assert "é☃" in rig.server.query(f"SHOW CREATE TABLE `{name}`", database=rig.schema)[0][1]


def _all_command_lines_and_environments() -> list[str]:
    found: list[str] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            found += process.cmdline()
            found += [f"{name}={value}" for name, value in process.environ().items()]
    return found
