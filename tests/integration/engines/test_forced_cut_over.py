"""A swap that waits for somebody's lock: forced, or given up in time."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import replace

import pytest

from tabletd.executor.controls import Wanted
from tabletd.executor.migration import Strategy
from tabletd.executor.states import Status
from tests.integration.engines.holders import HOLDERS, connected, number_of
from tests.integration.engines.rig import POSTPONED, Record, Rig, is_ready
from tests.support.pools import pool_of
from tests.support.waiting import eventually

ADD_EXTRA = "ALTER TABLE orders ADD COLUMN extra INT NOT NULL DEFAULT 7"


@pytest.fixture(
    params=[(Strategy.GH_OST, "mysql_rig"), (Strategy.PT_OSC, "telling_mariadb_rig")],
    ids=["gh-ost-mysql57", "pt-osc-mariadb"],
)
def tool_and_rig(request: pytest.FixtureRequest) -> tuple[Strategy, Rig]:
    strategy, name = request.param
    rig: Rig = request.getfixturevalue(name)
    prepare(rig)
    return strategy, rig


def prepare(rig: Rig) -> None:
    rig.server.script("CREATE USER app@localhost", "GRANT ALL ON *.* TO app@localhost")
    rig.create_orders(50)


def is_swapping(record: Record) -> bool:
    return record.stages[-1].endswith(("cutting over", "swapping the tables"))


def said(record: Record, beginning: str) -> bool:
    return bool(record.messages) and record.messages[-1].startswith(beginning)


@pytest.mark.parametrize("how", ["a lock on the table", "a lock on a row"])
async def test_a_forced_cut_over_ends_who_stands_in_its_way_and_names_them(
    tool_and_rig: tuple[Strategy, Rig], how: str
) -> None:
    strategy, rig = tool_and_rig
    async with rig.running(strategy, ADD_EXTRA, "", POSTPONED, is_ready) as running:
        with connected(rig.server, rig.schema, *HOLDERS[how]) as holder:
            running.controls.want(Wanted())
            await eventually(lambda: is_swapping(running.record))
            name = f"connection {number_of(holder)} (app@localhost, "
            waits = f"it waits for the table's lock, held by {name}"
            await eventually(lambda: said(running.record, waits))
            assert "FORCE_CUTOVER" in running.record.messages[-1]
            assert not running.task.done()

            running.controls.want(Wanted(force_cutover=True))
            outcome = await asyncio.wait_for(running.task, 60)
            named = f"the forced cut-over ended {name}"
    assert outcome.status is Status.COMPLETE, outcome
    assert outcome.message.startswith(named), outcome.message
    assert outcome.message in running.record.messages
    assert rig.leftovers(outcome.old_table) == []


async def test_whom_the_triggers_of_pt_osc_wait_for_is_named(telling_mariadb_rig: Rig) -> None:
    rig = telling_mariadb_rig
    prepare(rig)
    # Or else pt-osc takes the table for an empty one, and copies it in one go.
    rig.server.query("ANALYZE TABLE orders", database=rig.schema)
    with connected(rig.server, rig.schema, "LOCK TABLES orders READ") as holder:
        waits = f"it waits for the table's lock, held by connection {number_of(holder)} "

        def is_named(record: Record) -> bool:
            return said(record, waits)

        slow = "--chunk-size 5 --sleep 0.1"
        async with rig.running(Strategy.PT_OSC, ADD_EXTRA, slow, until=is_named) as running:
            holder.cursor().execute("UNLOCK TABLES")
            outcome = await asyncio.wait_for(running.task, 60)
        assert (outcome.status, outcome.message) == (Status.COMPLETE, "")
        assert said(running.record, "it waited for the table's lock, held by connection ")


async def test_a_postponed_completion_is_not_forced(tool_and_rig: tuple[Strategy, Rig]) -> None:
    strategy, rig = tool_and_rig
    wanted = Wanted(postpone_completion=True, force_cutover=True)
    async with rig.running(strategy, ADD_EXTRA, "", wanted, is_ready) as running:
        with connected(rig.server, rig.schema, "LOCK TABLES orders READ") as holder:
            told = len(running.record.reported)
            await eventually(lambda: len(running.record.reported) > told + 3)
            holder.ping(reconnect=False)
            assert running.record.messages == []
        running.stop.set()


async def test_a_cut_over_is_forced_by_itself_once_its_time_has_come(
    telling_mariadb_rig: Rig,
) -> None:
    rig = telling_mariadb_rig
    prepare(rig)
    options = "--force-cut-over-after=1s"
    async with rig.running(Strategy.PT_OSC, ADD_EXTRA, options, POSTPONED, is_ready) as running:
        with connected(rig.server, rig.schema, "LOCK TABLES orders READ"):
            running.controls.want(Wanted())
            outcome = await asyncio.wait_for(running.task, 60)
    assert outcome.status is Status.COMPLETE, outcome
    assert "the forced cut-over ended connection" in outcome.message


async def test_the_threshold_of_a_running_pt_osc_is_the_lock_wait_of_its_swap(
    mysql_rig: Rig,
) -> None:
    rig = mysql_rig
    rig.create_orders(50)
    async with rig.running(Strategy.PT_OSC, ADD_EXTRA, "", POSTPONED, is_ready) as running:
        with closing(rig.server.connect(rig.schema)) as holder:
            holder.cursor().execute("LOCK TABLES orders READ")
            running.controls.want(Wanted(cutover_threshold_seconds=6))
            await eventually(lambda: waited_seconds(rig, running.record) >= 5)
        outcome = await asyncio.wait_for(running.task, 60)
    assert outcome.status is Status.COMPLETE, outcome


def waited_seconds(rig: Rig, record: Record) -> int:
    """How long the run's swap has been waiting in one go: its own three seconds at most."""
    user = record.migration.run_account.partition("@")[0]
    return int(
        rig.server.scalar(
            "SELECT COALESCE(MAX(time), 0) FROM information_schema.processlist "
            "WHERE user = %s AND info LIKE 'RENAME%%' AND state LIKE 'Waiting for table meta%%'",
            (user,),
        )
    )


async def test_gh_ost_is_started_with_its_threshold(mysql_rig: Rig) -> None:
    rig = mysql_rig
    rig.create_orders(50)
    wanted = Wanted(postpone_completion=True, cutover_threshold_seconds=8)
    async with rig.running(Strategy.GH_OST, ADD_EXTRA, "", wanted, is_ready) as running:
        assert any("--cut-over-lock-timeout-seconds=8" in line for line in rig.processes())
        running.stop.set()


@pytest.mark.parametrize(
    ("revoked", "said"),
    [
        ("CONNECTION ADMIN, SUPER", "it may not end connection {holder} (app@localhost, "),
        ("PROCESS", "who holds the table's lock cannot be seen: "),
    ],
)
async def test_an_account_that_may_not_force_says_so_and_the_swap_waits(
    telling_mariadb_rig: Rig, revoked: str, said: str
) -> None:
    rig = telling_mariadb_rig
    prepare(rig)
    rig.server.script(
        "CREATE USER modest@'127.0.0.1'",
        "GRANT ALL ON *.* TO modest@'127.0.0.1' WITH GRANT OPTION",
        f"REVOKE {revoked} ON *.* FROM modest@'127.0.0.1'",
    )
    wanted = Wanted(force_cutover=True)
    with connected(rig.server, rig.schema) as holder:
        async with (
            pool_of(rig.server, user="modest") as pool,
            replace(rig, pool=pool).running(
                Strategy.PT_OSC, ADD_EXTRA, "", POSTPONED, is_ready
            ) as running,
        ):
            holder.cursor().execute("LOCK TABLES orders READ")
            running.controls.want(wanted)
            message = said.format(holder=number_of(holder))
            await eventually(lambda: any(message in text for text in running.record.messages))
            assert not running.task.done()
            holder.cursor().execute("UNLOCK TABLES")
            outcome = await asyncio.wait_for(running.task, 60)
    assert outcome.status is Status.COMPLETE, outcome
    assert outcome.message == ""
