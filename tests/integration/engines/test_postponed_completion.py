"""A run that waits before its swap: gh-ost on MySQL 5.7, pt-osc on MySQL 5.7 and MariaDB 10.11."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tabletd.executor.controls import Wanted
from tabletd.executor.engines import pt_osc
from tabletd.executor.migration import Strategy
from tabletd.executor.states import Status
from tabletd.sandbox.workload import load, verify_table
from tests.faults.disks import Disk, why_no_disks
from tests.integration.engines.rig import POSTPONED, Record, Rig, is_ready
from tests.support.waiting import eventually

ADD_EXTRA = "ALTER TABLE orders ADD COLUMN extra INT NOT NULL DEFAULT 7"
POSTPONED_STAGE = "ready to complete, completion is postponed"


async def test_it_waits_ready_until_it_is_told_to_complete(
    tool_and_rig: tuple[Strategy, Rig],
) -> None:
    strategy, rig = tool_and_rig
    book = await load(rig.pool, rig.schema, "orders", 200)
    async with rig.running(strategy, ADD_EXTRA, "", POSTPONED, is_ready) as running:
        await eventually(lambda: running.record.stages[-1].endswith(POSTPONED_STAGE))
        last = running.record.reported[-1]
        assert (last.percent, last.eta_seconds) == (100.0, 0)
        assert not running.task.done()
        assert "extra" not in rig.columns()

        running.controls.want(Wanted())
        outcome = await asyncio.wait_for(running.task, 60)

    assert outcome.status is Status.COMPLETE, outcome
    assert "extra" in rig.columns()
    assert running.record.was_ready[0] is True
    assert (await verify_table(rig.pool, rig.schema, "orders", book)).holds
    assert rig.leftovers(outcome.old_table) == []


async def test_a_run_that_copies_can_still_be_told_to_wait(
    tool_and_rig: tuple[Strategy, Rig],
) -> None:
    strategy, rig = tool_and_rig
    rig.create_orders(2000)
    slow = (
        "--chunk-size=100 --nice-ratio=3"
        if strategy is Strategy.GH_OST
        else "--analyze-table --chunk-size 100 --sleep 0.2"
    )
    async with rig.running(strategy, ADD_EXTRA, slow, until=is_copying) as running:
        running.controls.want(POSTPONED)
        await eventually(lambda: running.record.is_ready or running.task.done())
        assert not running.task.done(), running.task.result()

        running.controls.want(Wanted(completion_waits_for="the earlier migration"))
        await eventually(
            lambda: running.record.stages[-1].endswith("waits for the earlier migration")
        )
        running.controls.want(Wanted())
        outcome = await asyncio.wait_for(running.task, 60)
    assert outcome.status is Status.COMPLETE, outcome
    assert rig.leftovers(outcome.old_table) == []


async def test_a_cancel_of_a_waiting_run_leaves_nothing(
    tool_and_rig: tuple[Strategy, Rig],
) -> None:
    strategy, rig = tool_and_rig
    rig.create_orders(50)
    async with rig.running(strategy, ADD_EXTRA, "", POSTPONED, is_ready) as running:
        running.stop.set()
        outcome = await asyncio.wait_for(running.task, 60)
    assert outcome.status is Status.CANCELLED
    assert "extra" not in rig.columns()
    assert rig.leftovers() == []
    rig.server.query("INSERT INTO orders (code, amount) VALUES ('after', 1)", database=rig.schema)


async def test_a_complete_before_the_copy_began_is_not_forgotten(mysql_rig: Rig) -> None:
    rig = mysql_rig
    rig.create_orders(200)

    def runs(record: Record) -> bool:
        return record.stages[-1:] == ["gh-ost: run"]

    async with rig.running(Strategy.GH_OST, ADD_EXTRA, "", POSTPONED, runs) as running:
        running.controls.want(Wanted())
        outcome = await asyncio.wait_for(running.task, 60)
    assert outcome.status is Status.COMPLETE, outcome


async def test_the_connections_of_a_waiting_pt_osc_stay_alive(
    any_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives itself a wait_timeout of its own: shortened here to 5 s, as is the server's."""
    rig = any_rig
    monkeypatch.setattr(pt_osc, "_SESSION_VARIABLES", "lock_wait_timeout=3,wait_timeout=5")
    rig.server.query("SET GLOBAL wait_timeout = 5")
    rig.create_orders(50)
    async with rig.running(Strategy.PT_OSC, ADD_EXTRA, "", POSTPONED, is_ready) as running:
        user = running.record.migration.run_account.partition("@")[0]
        ids = connections(rig, user)
        assert ids
        until = time.monotonic() + 7
        await eventually(lambda: time.monotonic() > until or connections(rig, user) != ids)
        assert connections(rig, user) == ids
        running.controls.want(Wanted())
        outcome = await asyncio.wait_for(running.task, 60)
    assert outcome.status is Status.COMPLETE, outcome


async def test_a_waiting_pt_osc_survives_the_loss_of_its_connections(mariadb_rig: Rig) -> None:
    rig = mariadb_rig
    rig.create_orders(50)
    async with rig.running(Strategy.PT_OSC, ADD_EXTRA, "", POSTPONED, is_ready) as running:
        user = running.record.migration.run_account.partition("@")[0]
        lost = connections(rig, user)
        for number in lost:
            rig.server.query(f"KILL {number}")
        await eventually(lambda: not lost & connections(rig, user))
        running.controls.want(Wanted())
        outcome = await asyncio.wait_for(running.task, 60)
    assert outcome.status is Status.COMPLETE, outcome
    assert rig.leftovers(outcome.old_table) == []


@pytest.mark.skipif(bool(why_no_disks()), reason=why_no_disks())
async def test_a_full_disk_does_not_keep_it_secret_that_pt_osc_waits(mariadb_rig: Rig) -> None:
    rig = mariadb_rig
    rig.create_orders(1000)
    slow = "--chunk-size 100 --sleep 0.2"
    disk = Disk(rig.settings.run_directory, 1024 * 1024)
    try:
        async with rig.running(Strategy.PT_OSC, ADD_EXTRA, slow, POSTPONED, is_copying) as running:
            directory = Path(running.record.migration.run_directory)
            disk.fill()
            await eventually(lambda: any(directory.glob("report.holding*")))
            disk.relieve()
            await eventually(lambda: running.record.is_ready)
            running.controls.want(Wanted())
            outcome = await asyncio.wait_for(running.task, 60)
    finally:
        disk.unmount()
    assert outcome.status is Status.COMPLETE, outcome


async def test_a_waiting_run_of_a_dead_daemon_is_ended_and_may_start_again(
    tool_and_rig: tuple[Strategy, Rig],
) -> None:
    strategy, rig = tool_and_rig
    rig.create_orders(50)
    async with rig.running(strategy, ADD_EXTRA, "", POSTPONED, is_ready) as running:
        running.task.cancel()
        await asyncio.wait({running.task})
    record = running.record
    assert not record.ended
    assert Path(record.migration.run_directory).is_dir()

    assert await rig.engine(strategy).recover(record.migration, record) is None
    assert rig.leftovers() == []


def is_copying(record: Record) -> bool:
    return any(progress.rows_copied > 0 for progress in record.reported)


def connections(rig: Rig, user: str) -> set[int]:
    return {
        int(number)
        for (number,) in rig.server.query(
            "SELECT id FROM information_schema.processlist WHERE user = %s", (user,)
        )
    }
