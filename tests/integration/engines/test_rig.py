"""The rig of the engines' tests leaves nothing at work."""

from __future__ import annotations

from pathlib import Path

from tabletd.executor.migration import Strategy
from tests.integration.engines.rig import abandon, rig_on
from tests.support.servers import RealServer
from tests.support.waiting import eventually


async def test_a_tool_that_a_test_left_at_work_ends_with_its_rig(
    mariadb: RealServer, database: str, tmp_path: Path
) -> None:
    async with rig_on(mariadb, database, tmp_path) as rig:
        rig.create_orders()
        await abandon(rig, Strategy.PT_OSC, "--chunk-size=10 --sleep=1")
        assert rig.processes() != []
    await eventually(lambda: not rig.processes())
