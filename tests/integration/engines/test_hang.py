"""A tool that stands still for ever."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tabletd.executor.migration import Strategy
from tabletd.executor.states import Status
from tabletd.processes.runner import attach
from tests.integration.engines.rig import Rig


async def test_a_gh_ost_that_hangs_after_its_cut_over_timed_out_is_ended_and_queued_again(
    mysql_rig: Rig,
) -> None:
    rig = mysql_rig
    rig.create_orders()
    async with rig.running(
        Strategy.GH_OST,
        "ALTER TABLE orders ADD COLUMN extra INT",
        "--chunk-size=10 --nice-ratio=50",
        hang_seconds=1.0,
        stop_grace_seconds=0.5,
    ) as running:
        directory = Path(running.record.migration.run_directory)
        run = await attach(directory / "run")
        assert run is not None
        os.kill(run.tool.pid, signal.SIGSTOP)
        (directory / "gh-ost.sock").unlink()
        with run.log_file.open("a") as log:
            log.write("2026-11-23 11:00:00 ERROR timeout while waiting for events up to lock\n")
        outcome = await running.task
    assert outcome.status is Status.QUEUED
    assert "gh-ost hung after an attempt to cut over had timed out" in outcome.message
    assert running.record.ended
    assert rig.leftovers() == []
