"""gh-ost's copy is compared with the table before the cut-over, while writers go on."""

from __future__ import annotations

import asyncio

from tabletd.executor.controls import LiveControls
from tabletd.executor.migration import Strategy
from tabletd.executor.states import Status
from tabletd.sandbox.workload import Workload, load, verify_table
from tests.integration.engines.rig import POSTPONED, Record, Rig, is_ready
from tests.support.waiting import eventually

GH_OST = Strategy.GH_OST


async def test_rows_changed_and_deleted_behind_its_back_fail_the_run(mysql_rig: Rig) -> None:
    rig = mysql_rig
    rig.create_orders(3000)
    add = "ALTER TABLE orders ADD COLUMN extra INT"
    slowly = "--chunk-size=50 --nice-ratio=20"
    half_way = 1000
    async with rig.running(
        GH_OST, add, slowly, until=lambda record: _copied(record) > half_way
    ) as running:
        (shadow,) = (name for name in rig.tables() if name.endswith("_gho"))
        rig.server.query(f"DELETE FROM `{shadow}` WHERE id = 5", database=rig.schema)
        rig.server.query(f"UPDATE `{shadow}` SET amount = 1 WHERE id = 7", database=rig.schema)
        outcome = await running.task

    assert outcome.status is Status.FAILED, outcome
    assert "gh-ost was ended before the swap" in outcome.message
    assert "id = 5: lost" in outcome.message
    assert "id = 7: differs in amount" in outcome.message
    assert "extra" not in rig.columns()
    assert running.record.is_ready is False
    assert rig.leftovers() == []


async def test_a_unique_value_that_moved_while_it_was_copied_has_the_migration_start_again(
    mysql_rig: Rig,
) -> None:
    rig = mysql_rig
    rig.create_orders(3000)
    rig.server.query("ALTER TABLE orders ADD UNIQUE KEY code (code)", database=rig.schema)
    add = "ALTER TABLE orders ADD COLUMN extra INT"
    slowly = "--chunk-size=50 --nice-ratio=20"
    async with rig.running(GH_OST, add, slowly, until=lambda record: _copied(record) > 0) as run:
        (shadow,) = (name for name in rig.tables() if name.endswith("_gho"))
        # As of a moment in which the last row's value was another row's.
        rig.server.query(
            f"INSERT INTO `{shadow}` (id, code, amount) SELECT id + 1, code, 0 FROM orders"
            " ORDER BY id DESC LIMIT 1",
            database=rig.schema,
        )
        outcome = await run.task
    assert outcome.status is Status.QUEUED, outcome
    assert "a unique value that moved while it copied its rows (Duplicate entry" in outcome.message
    assert "starts again" in outcome.message
    assert "extra" not in rig.columns()
    assert rig.leftovers() == []


async def test_two_rows_that_a_type_change_makes_one_are_not_swapped_in(mysql_rig: Rig) -> None:
    rig = mysql_rig
    rig.server.script(
        "CREATE TABLE orders (name VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin "
        "NOT NULL PRIMARY KEY, n INT) ENGINE=InnoDB",
        "INSERT INTO orders VALUES ('anna', 1), ('Anna', 2), ('bert', 3)",
        database=rig.schema,
    )
    outcome, _ = await rig.run(
        GH_OST,
        "ALTER TABLE orders MODIFY name VARCHAR(20) CHARACTER SET utf8mb4 "
        "COLLATE utf8mb4_general_ci NOT NULL",
        probe_seconds=0,
    )
    assert outcome.status is Status.FAILED, outcome
    assert "anna" in outcome.message.lower()
    assert rig.server.scalar("SELECT COUNT(*) FROM orders", database=rig.schema) == 3
    assert rig.leftovers() == []


async def test_heavy_writes_and_unique_swaps_are_no_losses(mysql_rig: Rig) -> None:
    rig = mysql_rig
    book = await load(rig.pool, rig.schema, "orders", 2000)
    workload = Workload(
        rig.pool, rig.schema, "orders", book, writers=3, transactions_per_second=300
    )
    migration = rig.migration(GH_OST, "ALTER TABLE orders ADD COLUMN extra INT")
    record, stop, controls = Record(migration), asyncio.Event(), LiveControls(POSTPONED)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(workload.run(stop))
        # Where gh-ost cannot keep up with the writers, nothing can be compared before they rest.
        rest = asyncio.get_running_loop().call_later(30, stop.set)
        run = rig.engine(GH_OST).run(migration, record, asyncio.Event(), controls)
        task = tasks.create_task(run)
        await eventually(lambda: task.done() or is_ready(record), what="it is compared")
        assert not task.done(), task.result()
        controls.want(type(POSTPONED)())
        outcome = await task
        rest.cancel()
        stop.set()
    assert outcome.status is Status.COMPLETE, outcome
    assert any("comparing rows" in stage for stage in record.stages)
    assert record.attempts >= 1
    verdict = await verify_table(rig.pool, rig.schema, "orders", book)
    assert verdict.holds, str(verdict)
    assert rig.leftovers(outcome.old_table) == []


async def test_a_row_that_never_stands_still_is_told_and_no_loss(mysql_rig: Rig) -> None:
    """Two values in turn, so that each look may meet the same ones again."""
    rig = mysql_rig
    rig.create_orders(50)
    stop = asyncio.Event()

    async def toggle() -> None:
        async with rig.pool.session() as session:
            amount = 0
            while not stop.is_set():
                amount = 1 - amount
                await session.execute(
                    f"UPDATE `{rig.schema}`.orders SET amount = %s WHERE id = 3",
                    (amount,),
                )

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(toggle())
        outcome, _ = await rig.run(GH_OST, "ALTER TABLE orders ADD COLUMN extra INT")
        stop.set()
    assert outcome.status is Status.COMPLETE, outcome
    assert "extra" in rig.columns()


def _copied(record: Record) -> int:
    return max((progress.rows_copied for progress in record.reported), default=0)
