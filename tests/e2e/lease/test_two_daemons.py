"""Two daemons beside one server: one acts, the other one waits, and nothing is done twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tabletd.sandbox.daemons import Daemon
from tabletd.sandbox.vexec_client import VExecClient
from tests.support.daemons import connected
from tests.support.processes import commands_in
from tests.support.servers import RealServer
from tests.support.two_daemons import TwoDaemons, acts, variables, waits
from tests.support.waiting import eventually

ROWS = 2_048
ADD_COLUMN = "ALTER TABLE orders ADD COLUMN extra INT NULL"
SLOWLY = {
    "pt-osc": "--verify=false --chunk-size=50 --chunk-time=0 --sleep=0.1",
    "gh-ost": "--verify=false --chunk-size=50 --nice-ratio=8",
}
# A gh-ost that copies until well after a lease is lost.
LASTING = "--verify=false --chunk-size=10 --nice-ratio=60"
# The first daemon's own account: it can be shut out while the other one goes on.
FIRST_USER = "first"


@pytest.fixture
def two(any_server: RealServer, tmp_path: Path) -> Iterator[TwoDaemons]:
    any_server.script(
        f"CREATE USER {FIRST_USER}@'%'",
        f"GRANT ALL ON *.* TO {FIRST_USER}@'%' WITH GRANT OPTION",
    )
    daemons = TwoDaemons(any_server, tmp_path, first_settings={"mysql_user": FIRST_USER})
    yield daemons
    daemons.stop()


@pytest.fixture
def renamed(any_server: RealServer, tmp_path: Path) -> Iterator[TwoDaemons]:
    """The second daemon is of the same tablet under another alias."""
    alias = "zone1-0000000101"
    daemons = TwoDaemons(any_server, tmp_path, first_settings={}, second_alias=alias)
    yield daemons
    daemons.stop()


def strategy_of(two: TwoDaemons) -> str:
    return "pt-osc" if two.server.is_mariadb else "gh-ost"


async def start_slow_migration(two: TwoDaemons, client: VExecClient, options: str = "") -> str:
    """Begin a migration and wait until its tool copies rows."""
    await asyncio.to_thread(two.make_table, "orders", ROWS)
    strategy = strategy_of(two)
    uuid = await client.submit("orders", ADD_COLUMN, strategy, options=options or SLOWLY[strategy])
    await eventually(lambda: two.queue()[0]["rows_copied"] > 0, what="rows are copied")
    return uuid


async def create(client: VExecClient, table: str) -> str:
    """Submit what any daemon that acts does at once."""
    sql = f"CREATE TABLE {table} (id INT PRIMARY KEY)"
    return await client.submit(table, sql, "mysql", ddl_action="create")


async def completes(two: TwoDaemons, client: VExecClient, uuid: str) -> None:
    row = await client.wait(uuid, until={"complete"})
    assert row["migration_status"] == "complete"
    assert two.columns("orders") == ["id", "note", "extra"]
    assert two.server.scalar("SELECT COUNT(*) FROM shop.orders") == ROWS


async def test_the_second_daemon_serves_reads_refuses_writes_and_goes_on_after_the_first(
    two: TwoDaemons,
) -> None:
    seen = await waits(two.second)
    first_pid = two.first.identity.pid
    assert f"process {first_pid} on " in seen["LeaseHolder"]
    assert seen["HeartbeatWrites"] == 0
    assert "ERROR" not in two.second.log_tail(500)
    async with connected(two.first) as first, connected(two.second) as second:
        uuid = await create(first, "one")
        await second.wait(uuid, until={"complete"})
        for write in (
            create(second, "two"),
            second.cancel_all(),
            second.retry(uuid),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await write
            assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            assert f"(process {first_pid} on " in (refused.value.details() or "")
        assert (await asyncio.to_thread(variables, two.second))["HeartbeatWriteErrors"] == 0

        # A clean stop gives the lease back: the next one need not wait for its end.
        await asyncio.to_thread(two.first.terminate)
        seen = await acts(two.second)
        assert seen["LeaseEpoch"] >= 2
        uuid = await create(second, "two")
        await second.wait(uuid, until={"complete"})
        await eventually(lambda: variables_of_heartbeat(two) > 0, what="heartbeats go on")
    assert "taking the lease" not in two.second.log_tail(500)


def variables_of_heartbeat(two: TwoDaemons) -> int:
    return int(str(two.server.scalar("SELECT COUNT(*) FROM _vt.heartbeat")))


@pytest.mark.parametrize("any_server", ["mariadb"], indirect=True)
async def test_a_daemon_that_was_stopped_past_its_lease_does_nothing_more_when_it_wakes(
    two: TwoDaemons,
) -> None:
    await waits(two.second)
    async with connected(two.first) as first, connected(two.second) as second:
        uuid = await start_slow_migration(two, first)
        await asyncio.to_thread(two.first.pause)
        await acts(two.second)
        await asyncio.to_thread(two.first.resume)
        seen = await waits(two.first)
        assert seen["LeaseLosses"] >= 1
        beats, epoch = seen["HeartbeatWrites"], seen["LeaseEpoch"]
        await completes(two, second, uuid)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await create(first, "two")
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        seen = await asyncio.to_thread(variables, two.first)
        assert (seen["HeartbeatWrites"], seen["LeaseEpoch"]) == (beats, epoch) == (beats, 0)
    # The tool that the first one started is taken over, or ended and started anew.
    counted = await asyncio.to_thread(variables, two.second)
    assert counted["AdoptedMigrations"] + counted["StartedMigrations"] == 1


@pytest.mark.parametrize("any_server", ["mysql57"], indirect=True)
async def test_a_daemon_that_was_killed_is_followed_at_once_by_the_one_that_waits(
    two: TwoDaemons,
) -> None:
    await waits(two.second)
    async with connected(two.first) as first, connected(two.second) as second:
        uuid = await start_slow_migration(two, first)
        await asyncio.to_thread(two.first.kill)
        await acts(two.second)
        await completes(two, second, uuid)
    assert "its holder's process has ended" in two.second.log_tail(500)


@pytest.mark.parametrize("any_server", ["mariadb"], indirect=True)
async def test_a_tablet_of_another_name_ends_the_tool_that_the_first_one_left_on_this_machine(
    renamed: TwoDaemons,
) -> None:
    async with connected(renamed.first) as first, connected(renamed.second) as second:
        uuid = await start_slow_migration(renamed, first)
        left = Path(renamed.queue()[0]["run_directory"])
        assert commands_in(left)
        await asyncio.to_thread(renamed.first.kill)
        await eventually(
            lambda: renamed.queue()[0]["run_directory"] != str(left), what="the run is settled"
        )
        assert not commands_in(left)
        await completes(renamed, second, uuid)


@pytest.mark.parametrize("any_server", ["mariadb"], indirect=True)
async def test_a_daemon_that_cannot_reach_the_server_lets_go_and_waits_when_it_can_again(
    two: TwoDaemons,
) -> None:
    await waits(two.second)
    async with connected(two.first) as first, connected(two.second) as second:
        uuid = await start_slow_migration(two, first)
        await asyncio.to_thread(shut_out, two.server)
        await acts(two.second)
        await asyncio.to_thread(let_in, two.server)
        seen = await waits(two.first)
        assert seen["LeaseHeld"] == 0
        await completes(two, second, uuid)


@pytest.mark.parametrize("any_server", ["mysql57"], indirect=True)
async def test_a_daemon_that_gets_its_lease_back_goes_on_with_the_tool_that_it_let_go(
    two: TwoDaemons,
) -> None:
    await asyncio.to_thread(two.second.terminate)
    async with connected(two.first) as first:
        uuid = await start_slow_migration(two, first, LASTING)
        await asyncio.to_thread(shut_out, two.server)

        async def is_lost() -> bool:
            return bool((await asyncio.to_thread(variables, two.first))["LeaseLosses"])

        await eventually(is_lost, what="its lease is lost")
        await asyncio.to_thread(let_in, two.server)
        await acts(two.first)
        await completes(two, first, uuid)
    counted = await asyncio.to_thread(variables, two.first)
    assert counted["StartedMigrations"] == 1
    assert counted["AdoptedMigrations"] >= 1


@pytest.mark.parametrize("any_server", ["mysql57"], indirect=True)
async def test_a_run_that_ends_while_its_daemon_is_shut_out_is_settled_once_it_is_let_in(
    two: TwoDaemons,
) -> None:
    await asyncio.to_thread(two.second.terminate)
    async with connected(two.first) as first:
        uuid = await start_slow_migration(two, first)
        await asyncio.to_thread(shut_out, two.server)

        def has_ended() -> bool:
            log = two.first.log_tail(2000)
            return f"{uuid} is left" in log or f"{uuid}: not settled" in log

        await eventually(has_ended, what="the tool ends, and nobody can be asked how")
        await asyncio.to_thread(let_in, two.server)
        await completes(two, first, uuid)
    assert f"{uuid}: failed" not in two.first.log_tail(2000)


def let_in(server: RealServer) -> None:
    """Let the first daemon's account log in again."""
    server.script(f"RENAME USER locked@'%' TO {FIRST_USER}@'%'")


def shut_out(server: RealServer) -> None:
    """Let the first daemon's account log in no more, and end its connections."""
    server.script(f"RENAME USER {FIRST_USER}@'%' TO locked@'%'")
    mine = "SELECT id FROM information_schema.processlist WHERE user = %s"
    for (connection_id,) in server.query(mine, (FIRST_USER,)):
        server.script(f"KILL {connection_id}")


@pytest.mark.parametrize("any_server", ["mariadb"], indirect=True)
async def test_one_of_two_goes_on_when_the_schema_with_the_lease_is_dropped(
    two: TwoDaemons,
) -> None:
    await waits(two.second)
    nonce = two.server.scalar("SELECT nonce FROM _vt.lease")
    await asyncio.to_thread(two.server.script, "DROP DATABASE _vt")

    async def acting() -> Daemon | None:
        """Return the one that acts, once the lease is there again and each knows who has it."""
        tables = "SELECT 1 FROM information_schema.tables WHERE table_name = 'lease'"
        if not two.server.query(tables):
            return None
        if two.server.scalar("SELECT COALESCE(MAX(nonce), %s) FROM _vt.lease", (nonce,)) == nonce:
            return None
        seen = {one: await asyncio.to_thread(variables, one) for one in (two.first, two.second)}
        is_known = len({found["LeaseHolder"] for found in seen.values()} - {""}) == 1
        holders = [one for one, found in seen.items() if found["LeaseHeld"]]
        return holders[0] if is_known and len(holders) == 1 else None

    holder = await eventually(acting, what="one of them acts")
    assert holder is not None
    async with connected(holder) as client:
        uuid = await create(client, "one")
        await client.wait(uuid, until={"complete"})
    assert two.server.scalar("SELECT COUNT(*) FROM _vt.lease") == 1
