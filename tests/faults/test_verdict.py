"""The rig sees what it is there to see: damage that is planted in a run is named by the verdict."""

from __future__ import annotations

import asyncio

import psutil
import pytest

from tabletd.sandbox.releases import ReleaseName
from tests.faults.acts import run_on_primary
from tests.faults.kinds import Family, Kind, Target
from tests.faults.phases import Phase
from tests.faults.plan import draw
from tests.faults.run import run
from tests.faults.stage import KEYSPACE, TABLE, Stage, discard, real_program
from tests.support.servers import missing_release


@pytest.mark.slow
@pytest.mark.timeout(200)
async def test_damage_behind_the_writers_backs_and_what_is_left_are_named() -> None:
    if reason := missing_release(ReleaseName.MARIADB):
        pytest.skip(reason)
    if real_program("pt-osc") is None:
        pytest.skip("pt-online-schema-change is not installed")
    table = f"{KEYSPACE}.{TABLE}"
    damage = run_on_primary(
        # Keys far above those that writers make, and so theirs alone.
        f"INSERT INTO {table} VALUES (1000000, 'x', 0, NULL, NULL, '2026-01-01')",
        f"CREATE TABLE {KEYSPACE}._stray_gho (id INT PRIMARY KEY)",
        f"CREATE TRIGGER {KEYSPACE}.stray AFTER INSERT ON {KEYSPACE}._stray_gho "
        "FOR EACH ROW SET @stray = 1",
    )

    async def begin(stage: Stage) -> None:
        await damage(stage)
        logs = stage.primary.run_directory / "logs"
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        (logs / "of-another-run.log").touch()

    planted = Kind(
        "planted",
        Family.TABLES,
        Target.SIDECAR,
        begin,
        phases=(Phase.QUEUED,),
        keeps_run=True,
    )
    children = set(psutil.Process().children())
    report = await run(draw(1, tool="pt-osc", kinds=[planted], is_brief=True))
    assert report.directory is not None, str(report)
    await asyncio.to_thread(discard, report.directory)
    assert report.status == "complete", str(report)
    left, on_primary, on_replica, restarted = report.complaints
    assert left == "left behind: " + ", ".join(
        f"{what} on {name}"
        for name in ("first", "second")
        for what in ("trigger stray", "table _stray_gho")
    )
    assert "1 unexpected: 1000000" in on_primary
    assert "1 unexpected: 1000000" in on_replica
    assert restarted == "2 runs were begun: the first was to go on"
    assert set(psutil.Process().children()) == children
