"""What a run left on a server that has become somebody else's primary."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.executor.migration import Strategy
from tabletd.executor.states import Status
from tabletd.processes.runner import attach
from tests.integration.engines.callbacks import callback_server
from tests.integration.engines.rig import Record, Rig, abandon

PT_OSC = Strategy.PT_OSC


async def test_another_tablets_run_is_cleaned_up_on_the_server_only(mariadb_rig: Rig) -> None:
    rig = mariadb_rig
    rig.create_orders()
    async with callback_server() as server:
        left = await abandon(rig, PT_OSC, "--chunk-size 50 --sleep 0.2", lambda: server.url)
        run = await attach(Path(left.run_directory) / "run")
        assert run is not None
        await run.terminate(grace_seconds=5)

    engine = rig.engine(PT_OSC, tablet_alias="zone1-0000000101")
    record = Record(replace(left, tablet="zone1-0000000100"))
    assert await engine.recover(record.migration, record) is None
    assert record.ended
    assert rig.leftovers() == [f"directory {left.run_directory}"]


@pytest.mark.parametrize("directory", ["/etc", "{run}/zone1-0000000100-other", "{run}/.."])
async def test_a_directory_that_is_not_the_runs_is_never_removed(
    mariadb_rig: Rig, directory: str
) -> None:
    rig = mariadb_rig
    rig.create_orders(1)
    rig.settings.run_directory.mkdir()
    path = Path(directory.format(run=rig.settings.run_directory))
    path.mkdir(exist_ok=True)
    migration = replace(
        rig.migration(PT_OSC, "ALTER TABLE orders FORCE"),
        run_nonce="n",
        run_directory=str(path),
        tablet="zone1-0000000100",
    )
    with pytest.raises(TabletdError) as refused:
        await rig.engine(PT_OSC).recover(migration, Record(migration))
    assert refused.value.reason is Reason.INTERNAL
    assert path.is_dir()


@pytest.mark.parametrize(
    ("strategy", "artifacts", "former"),
    [
        (Strategy.GH_OST, ("_{stem}_gho", "_{stem}_ghc", "_{stem}_ghk", "_{stem}_del"), 3),
        (PT_OSC, ("_{stem}_new", "_orders_old"), 1),
    ],
    ids=["gh-ost", "pt-osc"],
)
async def test_a_swap_before_the_primary_moved_is_found_by_the_next_one(
    mariadb_rig: Rig, strategy: Strategy, artifacts: tuple[str, ...], former: int
) -> None:
    rig = mariadb_rig
    rig.create_orders(1)
    migration = rig.migration(strategy, "ALTER TABLE orders ADD COLUMN extra INT")
    stem = f"{migration.migration_uuid}_20261123100000"
    names = tuple(name.format(stem=stem) for name in artifacts)
    rig.server.query(f"CREATE TABLE `{rig.schema}`.`{names[former]}` (id INT PRIMARY KEY)")
    left = replace(
        migration,
        run_nonce="n",
        run_account="tabletd_0a0b0c0d@127.0.0.1",
        artifacts=names,
        tablet="zone1-0000000100",
    )
    record = Record(left)
    outcome = await rig.engine(strategy, tablet_alias="zone1-0000000101").recover(left, record)
    assert outcome is not None
    assert (outcome.status, outcome.old_table) == (Status.COMPLETE, names[former])
    assert record.ended
    assert rig.leftovers(names[former]) == []
