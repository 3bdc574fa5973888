"""A disk that is full at the very moment at which something is written once.

Writes meet `/dev/full`, which answers as a full disk does.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import closing
from pathlib import Path

import pytest

from tabletd.errors import TabletdError
from tabletd.executor.controls import LiveControls, Wanted
from tabletd.executor.engines.base import CutOver
from tabletd.executor.migration import Strategy
from tabletd.executor.states import Status
from tabletd.processes.runner import attach
from tests.integration.engines.rig import POSTPONED, Record, Rig, is_ready
from tests.support.waiting import eventually

GH_OST, PT_OSC = Strategy.GH_OST, Strategy.PT_OSC
ADD_EXTRA = "ALTER TABLE orders ADD COLUMN extra INT"


class _FillingRecord(Record):
    """Fills the disk for one file when the tool is about to be started."""

    file = ""

    async def stage(self, stage: str, message: str = "") -> None:
        await super().stage(stage, message)
        if stage.endswith(": dry run"):
            path = Path(self.migration.run_directory) / self.file
            path.unlink(missing_ok=True)
            path.symlink_to("/dev/full")


@pytest.mark.parametrize("file", ["dry-run/launch.json.tmp", "dry-run/process.json.tmp"])
async def test_a_tool_that_cannot_be_started_fails_with_the_reason(
    mariadb_rig: Rig, file: str
) -> None:
    rig = mariadb_rig
    rig.create_orders(10)
    migration = rig.migration(PT_OSC, ADD_EXTRA)
    record = _FillingRecord(migration)
    record.file = file
    with pytest.raises(TabletdError, match="No space left on device") as refused:
        await rig.engine(PT_OSC).run(migration, record, asyncio.Event(), LiveControls())
    assert "Traceback" not in str(refused.value)
    assert record.ended
    assert rig.leftovers() == []


async def test_what_is_wanted_of_a_tool_is_written_when_there_is_room_again(
    mariadb_rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig = mariadb_rig
    rig.create_orders(10)
    async with rig.running(PT_OSC, ADD_EXTRA, "", POSTPONED, until=is_ready) as running:
        directory = Path(running.record.migration.run_directory)
        scratch = directory / f"swap.{os.getpid()}.tmp"
        scratch.symlink_to("/dev/full")
        running.controls.want(Wanted(cutover_threshold_seconds=7))
        await eventually(lambda: "No space left on device" in caplog.text, what="it is tried")
        assert not running.task.done()
        scratch.unlink()
        outcome = await running.task
    assert outcome.status is Status.COMPLETE, outcome.message
    assert rig.leftovers(outcome.old_table) == []


async def test_a_pt_osc_that_cannot_say_that_it_swaps_is_seen_to_do_so(mariadb_rig: Rig) -> None:
    rig = mariadb_rig
    rig.create_orders(10)
    async with rig.running(PT_OSC, ADD_EXTRA, "", POSTPONED, until=is_ready) as running:
        directory = Path(running.record.migration.run_directory)
        run = await attach(directory / "run")
        assert run is not None
        (directory / f"report.before_swap_tables.{run.tool.pid}.tmp").symlink_to("/dev/full")
        with closing(rig.server.connect(rig.schema, autocommit=False)) as holder:
            holder.cursor().execute("SELECT * FROM orders LIMIT 1")
            running.controls.want(Wanted())
            await eventually(
                lambda: running.record.reported[-1].cut_over is CutOver.UNDER_WAY,
                what="it waits for the table's lock",
            )
        outcome = await running.task
    assert outcome.status is Status.COMPLETE, outcome.message
    assert rig.leftovers(outcome.old_table) == []


async def test_a_gh_ost_whose_reports_got_lost_is_let_go_all_the_same(mysql_rig: Rig) -> None:
    rig = mysql_rig
    rig.create_orders(10)
    async with rig.running(GH_OST, ADD_EXTRA, "", POSTPONED, until=is_ready) as running:
        for report in Path(running.record.migration.run_directory).glob("report.*"):
            report.unlink()
        running.controls.want(Wanted())
        outcome = await running.task
    assert outcome.status is Status.COMPLETE, outcome.message
    assert rig.leftovers(outcome.old_table) == []
