"""A lease that is only in doubt for a moment: its row was taken away, and is put back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from tabletd.errors import LeaseNotHeld
from tabletd.executor.migration import Strategy
from tabletd.executor.names import create_uuid
from tabletd.executor.states import Status
from tabletd.executor.submit import NewMigration
from tests.integration.engines.rig import rig_on
from tests.support.engines import executor_on
from tests.support.lease import holder_of, lease_of
from tests.support.servers import RealServer
from tests.support.waiting import eventually


@dataclass
class Doubt:
    """Doubts once, from the first time that it is asked on, for as long as it is asked again.

    Attributes:
        is_armed: it is to doubt.
        questions: that it answers so.
    """

    is_armed: bool = False
    questions: int = 3

    def check(self) -> None:
        if self.is_armed and self.questions:
            self.questions -= 1
            raise LeaseNotHeld("in doubt", is_in_doubt=True)


async def test_a_known_end_is_written_when_the_lease_turns_out_to_be_ours_still(
    mariadb: RealServer, database: str
) -> None:
    async with lease_of(mariadb, holder_of(1)) as lease, asyncio.TaskGroup() as tasks:
        await lease.make_primary()
        async with executor_on(mariadb, database, fence=lease) as test:
            uuid = create_uuid()
            await test.executor.submit(NewMigration(uuid, "ALTER TABLE t ADD c INT", "gh-ost"))
            run = await test.engine.next_run()
            mariadb.script("DELETE FROM _vt.lease")
            run.finish(Status.FAILED, "the tool ended with 1")
            await eventually(lambda: not lease.is_held, what="the write finds the row gone")
            renewing = tasks.create_task(lease.run())
            row = await test.until(uuid, Status.FAILED)
            assert row["message"] == "the tool ended with 1"
            assert len(test.engine.runs) == 1
        renewing.cancel()


@pytest.mark.parametrize("who_asks", ["engine", "pool"])
async def test_the_end_of_a_run_waits_until_it_is_known_who_acts(
    mariadb: RealServer, database: str, tmp_path: Path, who_asks: str
) -> None:
    async with rig_on(mariadb, database, tmp_path) as rig:
        rig.create_orders(100)
        doubt = Doubt()
        if who_asks == "pool":
            rig.pool.guard = doubt.check
        async with rig.running(
            Strategy.PT_OSC,
            "ALTER TABLE orders ADD COLUMN extra INT",
            "--chunk-size=10 --sleep=0.2",
            check_lease=doubt.check if who_asks == "engine" else lambda: None,
        ) as running:
            doubt.is_armed = True
            running.stop.set()
            outcome = await running.task
        assert outcome.status is Status.CANCELLED
        assert doubt.questions == 0
        assert running.record.ended
        assert rig.leftovers() == []
