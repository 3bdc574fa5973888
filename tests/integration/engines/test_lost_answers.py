"""What became of a cut-over whose answer nobody got is found out on the server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tabletd.errors import MySQLUnavailable, Reason
from tabletd.executor.controls import LiveControls
from tabletd.executor.engines.gh_ost import GhOst
from tabletd.executor.engines.pt_osc import PtOsc
from tabletd.executor.engines.tool import Swap
from tabletd.executor.engines.workspace import new_workspace
from tabletd.executor.migration import Strategy
from tabletd.executor.states import Status
from tabletd.mysql.errors import MySQLError
from tests.integration.engines.rig import Record, Rig
from tests.support.waiting import eventually

GH_OST, PT_OSC = Strategy.GH_OST, Strategy.PT_OSC
ADD_EXTRA = "ALTER TABLE orders ADD COLUMN extra INT"
ROWS = 200

GH_OST_MOMENTS = (
    "Tables locked",
    "Issuing and expecting this to block",
    "Releasing lock",
    "Tables renamed",
)
PT_OSC_MOMENTS = ("Swapping tables...", "Swapped original and new tables OK.")


@pytest.mark.parametrize("said", GH_OST_MOMENTS)
async def test_a_gh_ost_killed_at_its_cut_over_ends_as_the_server_says(
    mysql_rig: Rig, said: str
) -> None:
    await _run_and_kill(mysql_rig, GH_OST, said)


@pytest.mark.parametrize("said", PT_OSC_MOMENTS)
async def test_a_pt_osc_killed_at_its_swap_ends_as_the_server_says(
    mariadb_rig: Rig, said: str
) -> None:
    await _run_and_kill(mariadb_rig, PT_OSC, said)


async def _run_and_kill(rig: Rig, strategy: Strategy, said: str) -> None:
    rig.create_orders(ROWS)
    migration = rig.migration(strategy, ADD_EXTRA)
    record = Record(migration)
    engine = rig.engine(strategy)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(engine.run(migration, record, asyncio.Event(), LiveControls()))
        await _kill_when_said(record, said, task.done)
    outcome = task.result()
    is_swapped = "extra" in rig.columns()
    assert outcome.status is (Status.COMPLETE if is_swapped else Status.FAILED), outcome
    _check_the_table(rig, outcome.old_table)


@pytest.mark.parametrize(
    ("strategy", "said"),
    [(GH_OST, "Issuing and expecting this to block"), (GH_OST, "Releasing lock"),
     (PT_OSC, "Swapping tables...")],
)  # fmt: skip
async def test_a_cut_over_that_daemon_and_tool_died_at_is_found(
    mysql_rig: Rig, strategy: Strategy, said: str
) -> None:
    rig = mysql_rig
    record = await _die_at(rig, strategy, said)
    outcome = await rig.engine(strategy).recover(record.migration, record)
    assert record.ended
    is_swapped = "extra" in rig.columns()
    assert (outcome is not None and outcome.status is Status.COMPLETE) is is_swapped, outcome
    _check_the_table(rig, outcome.old_table if outcome else "")


async def test_a_connection_killed_at_its_rename_leaves_one_definition(
    tool_and_rig: tuple[Strategy, Rig],
) -> None:
    strategy, rig = tool_and_rig
    rig.create_orders(ROWS)
    migration = rig.migration(strategy, ADD_EXTRA)
    record, stop = Record(migration), asyncio.Event()
    killed: list[int] = []

    def kill_a_rename() -> bool:
        for (number,) in rig.server.query(
            "SELECT id FROM information_schema.processlist WHERE info LIKE 'rename %%table%%'"
        ):
            with contextlib.suppress(Exception):
                rig.server.query(f"KILL {number}")
                killed.append(int(number))
        return bool(killed) or task.done()

    with closing(rig.server.connect(rig.schema, autocommit=False)) as holder:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(
                rig.engine(strategy).run(migration, record, stop, LiveControls())
            )
            if strategy is PT_OSC:
                # gh-ost's rename waits by itself; this one has to be kept waiting.
                await eventually(lambda: "comparing" in "".join(record.stages))
                holder.cursor().execute("SELECT * FROM orders LIMIT 1")
            async with asyncio.timeout(60):
                while not kill_a_rename():
                    await asyncio.sleep(0.005)
            holder.rollback()
            stop_later = asyncio.get_running_loop().call_later(20, stop.set)
            await task
            stop_later.cancel()
    outcome = task.result()
    is_swapped = "extra" in rig.columns()
    assert (outcome.status is Status.COMPLETE) is is_swapped, outcome
    _check_the_table(rig, outcome.old_table)


async def test_a_server_that_cannot_say_how_the_run_ended_is_asked_again(
    mariadb_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = mariadb_rig
    rig.create_orders(ROWS)
    migration = rig.migration(PT_OSC, ADD_EXTRA)
    record = Record(migration)

    async def cannot_say(*_: object) -> Swap:
        raise MySQLError(Reason.INTERNAL, "Disk got full", errno=1021)

    with monkeypatch.context() as patch:
        patch.setattr(PtOsc, "find_swap", cannot_say)
        with pytest.raises(MySQLUnavailable, match="Disk got full"):
            await rig.engine(PT_OSC).run(migration, record, asyncio.Event(), LiveControls())
    assert not record.ended
    again = Record(record.migration)
    outcome = await rig.engine(PT_OSC).recover(record.migration, again)
    assert outcome is not None
    assert outcome.status is Status.COMPLETE, outcome.message
    assert again.ended
    _check_the_table(rig, outcome.old_table)


async def test_a_gh_ost_that_says_success_but_swapped_nothing_has_failed(
    mysql_rig: Rig, tmp_path: Path
) -> None:
    rig = mysql_rig
    rig.create_orders(10)
    liar = tmp_path / "gh-ost"
    liar.write_text("#!/bin/sh\necho 1.1.10\n")
    liar.chmod(0o755)
    outcome, _ = await rig.run(GH_OST, ADD_EXTRA, gh_ost_path=str(liar))
    assert outcome.status is Status.FAILED
    assert "ended with 0, but the table was not swapped: found orders" in outcome.message
    assert rig.leftovers() == []


async def test_a_swap_in_two_steps_that_ended_between_them_is_undone(mysql_rig: Rig) -> None:
    rig = mysql_rig
    rig.create_orders(ROWS)
    tool = GhOst(rig.settings)
    tables = (*tool.table_names("orders", "uuid_stamp"), "_uuid_stamp_del")
    rig.server.script(
        "CREATE TABLE _uuid_stamp_gho LIKE orders",
        "RENAME TABLE orders TO _uuid_stamp_del",
        database=rig.schema,
    )
    workspace = new_workspace(rig.settings, rig.migration(GH_OST, ADD_EXTRA))
    async with rig.pool.session() as session:
        swap = await tool.find_swap(session, rig.schema, "orders", tables, workspace)
        assert not swap.done
        assert "put _uuid_stamp_del back as orders" in swap.seen
        await tool.remove_leftovers(session, rig.schema, tables)
    _check_the_table(rig, "")


async def _die_at(rig: Rig, strategy: Strategy, said: str) -> Record:
    """Let daemon and tool die where the tool's log has these words.

    A tool that had ended before it could be killed has to do it again.
    """
    for _ in range(10):
        rig.create_orders(ROWS)
        migration = rig.migration(strategy, ADD_EXTRA)
        record, running = Record(migration), rig.engine(strategy)
        task = asyncio.ensure_future(
            running.run(migration, record, asyncio.Event(), LiveControls())
        )
        await _kill_when_said(record, said, task.done)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        if not record.ended:
            return record
        tables = ", ".join(rig.tables())
        rig.server.script(f"DROP TABLE {tables}", database=rig.schema)
    raise AssertionError("the tool was always done before it could be killed")


async def _kill_when_said(record: Record, said: str, is_over: Callable[[], bool]) -> None:
    """Kill the real run's tool, as soon as its log has these words."""
    async with asyncio.timeout(60):
        await eventually(lambda: is_over() or record.migration.log_file != "")
        log_file = Path(record.migration.log_file)
        process = Path(record.migration.run_directory) / "run" / "process.json"
        while not is_over():
            if log_file.exists() and said in log_file.read_text(errors="replace"):
                pid = int(json.loads(process.read_text())["tool"]["pid"])
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                return
            await asyncio.sleep(0.001)


def _check_the_table(rig: Rig, old_table: str) -> None:
    assert rig.server.scalar("SELECT COUNT(*) FROM orders", database=rig.schema) == ROWS
    allowed = [old_table] if old_table else []
    assert rig.leftovers(*allowed) == []
