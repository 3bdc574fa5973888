"""The strategy `direct` on both flavours."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import closing
from dataclasses import replace

import pytest

from tabletd.errors import NotWritable
from tabletd.executor.controls import LiveControls
from tabletd.executor.migration import Strategy
from tabletd.executor.states import Status
from tests.integration.engines.rig import Record, Rig
from tests.support.waiting import eventually

DIRECT = Strategy.DIRECT
ADD = "ALTER TABLE orders ADD COLUMN extra INT"


async def test_the_server_carries_the_statement_out(any_rig: Rig) -> None:
    any_rig.create_orders(10)
    outcome, record = await any_rig.run(DIRECT, ADD)
    assert outcome.status is Status.COMPLETE
    assert "extra" in any_rig.columns()
    assert record.ended
    assert len(record.migration.run_nonce) <= 64


async def test_what_the_server_refuses_fails_with_its_words(any_rig: Rig) -> None:
    any_rig.create_orders(10)
    outcome, record = await any_rig.run(DIRECT, "ALTER TABLE orders DROP COLUMN absent")
    assert outcome.status is Status.FAILED
    assert "absent" in outcome.message
    assert record.ended


async def test_tables_and_views_are_made(any_rig: Rig) -> None:
    made, _ = await any_rig.run(DIRECT, "CREATE TABLE fresh (id INT PRIMARY KEY)", "fresh")
    seen, _ = await any_rig.run(DIRECT, "CREATE VIEW v AS SELECT id FROM fresh", "v")
    assert (made.status, seen.status) == (Status.COMPLETE, Status.COMPLETE)
    assert {"fresh", "v"} <= any_rig.tables()


async def test_nothing_is_done_on_a_read_only_server(any_rig: Rig) -> None:
    any_rig.create_orders(10)
    any_rig.server.query("SET GLOBAL read_only = 1")
    with pytest.raises(NotWritable):
        await any_rig.run(DIRECT, ADD)
    assert "extra" not in any_rig.columns()


async def test_a_stop_ends_the_statement_on_the_server(any_rig: Rig) -> None:
    rig = any_rig
    rig.create_orders(10)
    migration = rig.migration(DIRECT, ADD)
    record = Record(migration)
    stop = asyncio.Event()
    with closing(rig.server.connect(rig.schema, autocommit=False)) as holder:
        holder.cursor().execute("SELECT * FROM orders LIMIT 1")
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(
                rig.engine(DIRECT).run(migration, record, stop, LiveControls())
            )
            await eventually(lambda: _waiting(rig))
            stop.set()
        assert task.result().status is Status.CANCELLED
    assert _waiting(rig) == []
    assert "extra" not in rig.columns()
    assert record.ended


@pytest.mark.parametrize("took_effect", [False, True])
async def test_what_a_dead_daemon_left_is_found_by_the_definition(
    any_rig: Rig, took_effect: bool
) -> None:
    rig = any_rig
    rig.create_orders(10)
    migration = rig.migration(DIRECT, ADD)
    record = Record(migration)
    with closing(rig.server.connect(rig.schema, autocommit=False)) as holder:
        holder.cursor().execute("SELECT * FROM orders LIMIT 1")
        running = asyncio.ensure_future(
            rig.engine(DIRECT).run(migration, record, asyncio.Event(), LiveControls())
        )
        await eventually(lambda: _waiting(rig))
        if took_effect:
            holder.rollback()
            await eventually(lambda: "extra" in rig.columns())
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        left = replace(record.migration)
        outcome = await rig.engine(DIRECT).recover(left, Record(left))
    assert _waiting(rig) == []
    assert ("extra" in rig.columns()) is took_effect
    assert (outcome is not None) is took_effect


def _waiting(rig: Rig) -> list[object]:
    return list(
        rig.server.query(
            "SELECT id FROM information_schema.processlist WHERE info LIKE '/* tabletd%%ALTER%%'"
        )
    )
