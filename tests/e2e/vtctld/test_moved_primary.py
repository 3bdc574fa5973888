"""A shard whose primary moves, under clients that run: its new primary is found by what it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest

import tabletd_client
from tabletd.sandbox.accounts import create_daemon_account
from tabletd.sandbox.daemons import Daemon, start_daemon
from tabletd.sandbox.ledger import is_serving
from tabletd.sandbox.servers import free_ports
from tabletd.sandbox.topology_file import TopologyEntry, write_topology
from tabletd_client import Changed, Client, Event, Status
from tests.conftest import StartServer
from tests.support.processes import DIES_WITH_US
from tests.support.servers import RealServer
from tests.support.two_shards import KEYSPACE
from tests.support.vtctldclient import VtctldClient, missing_program
from tests.support.waiting import eventually, eventually_blocking

UIDS: Final = (100, 101)


class MovingShard:
    """One shard on two servers, of which one replicates from the other; every method blocks.

    Attributes:
        servers: the first is the first primary.
        daemons: beside them.
    """

    def __init__(self, start_server: StartServer, directory: Path) -> None:
        first = start_server()
        self.servers = (first, start_server(primary=first))
        first.script(
            f"CREATE DATABASE {KEYSPACE} CHARACTER SET utf8mb4",
            f"CREATE TABLE {KEYSPACE}.orders (id int PRIMARY KEY)",
        )
        create_daemon_account(first.server, keyspace=KEYSPACE)
        self.servers[1].catch_up()
        numbers = free_ports(4)
        ports = (numbers[:2], numbers[2:])
        aliases = [f"zone1-{uid:010d}" for uid in UIDS]
        topology = directory / "topology.toml"
        write_topology(
            topology,
            KEYSPACE,
            [
                TopologyEntry(alias, "0", grpc, http, server.port)
                for alias, (grpc, http), server in zip(aliases, ports, self.servers, strict=True)
            ],
        )
        self.daemons: list[Daemon] = [
            start_daemon(
                server.server,
                directory / alias,
                alias=alias,
                keyspace=KEYSPACE,
                settings={"topology_file": str(topology), "heartbeat_interval": "250ms"},
                launcher=DIES_WITH_US,
                ports=(grpc, http),
            )
            for alias, (grpc, http), server in zip(aliases, ports, self.servers, strict=True)
        ]
        for daemon in self.daemons:
            eventually_blocking(partial(is_serving, daemon.http), what=f"{daemon.alias} serves")

    def move(self, old: RealServer, new: RealServer) -> None:
        """Make the replica the primary, and the primary its replica."""
        old.script("SET GLOBAL read_only = 1")
        new.catch_up()
        new.script("STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = 0")
        new.primary, old.primary = None, new
        old.script("SET GLOBAL gtid_slave_pos = @@global.gtid_binlog_pos")
        old.server.replicate_from(new.server)

    def columns(self) -> list[set[str]]:
        """Return the columns of the table on each server."""
        sql = (
            "SELECT column_name FROM information_schema.columns "
            "WHERE table_schema = %s AND table_name = 'orders'"
        )
        return [{str(name) for (name,) in one.query(sql, (KEYSPACE,))} for one in self.servers]

    def stop(self) -> None:
        """End the daemons."""
        for daemon in self.daemons:
            daemon.terminate()


@pytest.fixture
async def shard(start_server: StartServer, tmp_path: Path) -> AsyncIterator[MovingShard]:
    found = await asyncio.to_thread(MovingShard, start_server, tmp_path)
    try:
        yield found
    finally:
        await asyncio.to_thread(found.stop)


async def _complete(events: AsyncIterator[Event], uuid: str) -> str:
    """Wait until a migration is told to be complete; return the tablet that ran it."""
    async with asyncio.timeout(60):
        async for event in events:
            if isinstance(event, Changed) and event.migration.uuid == uuid:
                assert event.migration.status not in (Status.FAILED, Status.CANCELLED), event
                if event.migration.status is Status.COMPLETE:
                    return event.migration.tablet
    raise AssertionError("the watch ended")


async def _submit(client: Client, column: str) -> str:
    submission = await client.apply(
        KEYSPACE, f"ALTER TABLE orders ADD COLUMN {column} int", strategy="pt-osc"
    )
    (uuid,) = submission.uuids
    return uuid


async def test_clients_go_on_with_a_primary_that_has_moved_and_moves_back(
    shard: MovingShard, tmp_path: Path
) -> None:
    if reason := missing_program("0.21"):
        pytest.skip(reason)
    old, new = shard.servers
    address = shard.daemons[0].grpc
    command = VtctldClient("0.21", address, tmp_path)

    async def are(roles: list[str]) -> bool:
        listed = await asyncio.to_thread(command.run, "GetTablets", "--keyspace", KEYSPACE)
        return [line.split()[3] for line in listed.splitlines()] == roles

    async with (
        tabletd_client.connect(address) as client,
        client.watch(KEYSPACE) as events,
    ):
        uuids = [await _submit(client, "c0")]
        assert (await _complete(events, uuids[0])).endswith(str(UIDS[0]))
        for number, roles in ((1, ["replica", "primary"]), (2, ["primary", "replica"])):
            await asyncio.to_thread(shard.move, old, new)
            old, new = new, old
            await eventually(partial(are, roles), what="the roles are seen")
            uuids.append(await _submit(client, f"c{number}"))
            tablet = await _complete(events, uuids[-1])
            assert tablet.endswith(str(UIDS[roles.index("primary")]))
    await asyncio.to_thread(new.catch_up)
    assert await asyncio.to_thread(shard.columns) == [{"id", "c0", "c1", "c2"}] * 2
    rows = await asyncio.to_thread(command.show)
    assert [(row["uuid"], row["status"]) for row in rows] == [(u, "COMPLETE") for u in uuids]
    assert [row["tablet"]["uid"] for row in rows] == [UIDS[0], UIDS[1], UIDS[0]]
