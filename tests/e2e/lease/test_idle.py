"""A server on which nothing happens: its daemon keeps its lease, and writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tabletd.sandbox.accounts import create_daemon_account
from tabletd.sandbox.daemons import Daemon, start_daemon
from tests.support.daemons import connected
from tests.support.processes import DIES_WITH_US
from tests.support.servers import RealServer
from tests.support.two_daemons import ALIAS, KEYSPACE, TwoDaemons, acts, variables, waits
from tests.support.waiting import eventually

ADD_COLUMN = "ALTER TABLE orders ADD COLUMN extra INT NULL"


@pytest.fixture
def daemon(any_server: RealServer, tmp_path: Path) -> Iterator[Daemon]:
    any_server.script(
        f"CREATE DATABASE {KEYSPACE}",
        f"CREATE TABLE {KEYSPACE}.orders (id INT PRIMARY KEY)",
    )
    create_daemon_account(any_server.server, keyspace=KEYSPACE)
    settings = {
        "heartbeat_interval": "250ms",
        "heartbeat_writes": "on_demand",
        "heartbeat_lease": "1s",
        "health_check_interval": "1s",
        "lease_duration": "4s",
        "migration_check_interval": "1s",
        "gc_check_interval": "1s",
    }
    started = start_daemon(
        any_server.server,
        tmp_path / "daemon",
        alias=ALIAS,
        keyspace=KEYSPACE,
        settings=settings,
        launcher=DIES_WITH_US,
    )
    yield started
    started.terminate()


async def is_renewed(daemon: Daemon, times: int) -> None:
    """Wait until the daemon has made sure so often that it still has its lease."""

    async def renewals() -> int:
        return int((await asyncio.to_thread(variables, daemon))["LeaseRenewals"])

    wanted = await renewals() + times

    async def is_reached() -> bool:
        return await renewals() >= wanted

    await eventually(is_reached, what="the lease is renewed")


def renewals_written(server: RealServer) -> int:
    return int(str(server.scalar("SELECT renewals FROM _vt.lease")))


async def test_the_binary_log_of_an_idle_server_does_not_grow(
    any_server: RealServer, daemon: Daemon
) -> None:
    await acts(daemon)
    # What a daemon does when it starts is done by then.
    await is_renewed(daemon, 3)
    position = any_server.query("SHOW MASTER STATUS")[0][:2]
    await is_renewed(daemon, 6)
    assert any_server.query("SHOW MASTER STATUS")[0][:2] == position
    assert (await asyncio.to_thread(variables, daemon))["LeaseHeld"] == 1

    strategy = "pt-osc" if any_server.is_mariadb else "gh-ost"
    async with connected(daemon) as client:
        uuid = await client.submit("orders", ADD_COLUMN, strategy, options="--postpone-completion")
        await client.wait(uuid, until={"running"})
        written = renewals_written(any_server)
        await eventually(
            lambda: renewals_written(any_server) > written + 1, what="work has it renewed"
        )
        await client.cancel_all()
        await client.wait(uuid, until={"cancelled"})


@pytest.fixture
def two(any_server: RealServer, tmp_path: Path) -> Iterator[TwoDaemons]:
    daemons = TwoDaemons(any_server, tmp_path, first_settings={"heartbeat_writes": "on_demand"})
    yield daemons
    daemons.stop()


@pytest.mark.parametrize("any_server", ["mariadb"], indirect=True)
async def test_an_idle_daemon_that_hangs_is_followed_and_does_nothing_when_it_wakes(
    two: TwoDaemons,
) -> None:
    await waits(two.second)
    await is_renewed(two.first, 2)
    await asyncio.to_thread(two.first.pause)
    await acts(two.second)
    await asyncio.to_thread(two.first.resume)
    seen = await waits(two.first)
    assert seen["LeaseLosses"] == 1
    assert f"process {two.second.identity.pid} on " in seen["LeaseHolder"]
