"""Daemons whose hosts do not agree on what time it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import grpc.aio
import pytest

from tabletd.sandbox.accounts import create_daemon_account
from tabletd.sandbox.daemons import Daemon, start_daemon
from tabletd.sandbox.servers import free_ports
from tabletd.sandbox.topology_file import TopologyEntry, write_topology
from tabletd_pb import lag_pb2 as pb
from tabletd_pb.lag_pb2_grpc import LagStub
from tests.faults.faketime import Clock, why_no_faketime
from tests.support.processes import DIES_WITH_US
from tests.support.servers import Pair
from tests.support.two_daemons import variables
from tests.support.waiting import eventually

KEYSPACE = "shop"
ALIASES = ("zone1-0000000100", "zone1-0000000101")
SECOND_NS = 1_000_000_000
pytestmark = pytest.mark.skipif(bool(why_no_faketime()), reason=why_no_faketime())


def start_two(pair: Pair, directory: Path, clock: Clock) -> list[Daemon]:
    """Start a daemon beside each server, the replica's under another clock; blocks."""
    servers = (pair.primary, pair.replica)
    pair.primary.script(f"CREATE DATABASE {KEYSPACE}")
    create_daemon_account(pair.primary.server, keyspace=KEYSPACE)
    pair.catch_up()
    numbers = free_ports(4)
    ports = (numbers[:2], numbers[2:])
    topology = directory / "topology.toml"
    entries = [
        TopologyEntry(alias, "0", own[0], own[1], server.port)
        for alias, own, server in zip(ALIASES, ports, servers, strict=True)
    ]
    write_topology(topology, KEYSPACE, entries)
    skewed = tuple(f"{name}={value}" for name, value in clock.environment.items())
    return [
        start_daemon(
            server.server,
            directory / alias,
            alias=alias,
            keyspace=KEYSPACE,
            settings={
                "topology_file": str(topology),
                "heartbeat_interval": "250ms",
                "health_check_interval": "1s",
            },
            launcher=launcher,
            ports=(own[0], own[1]),
        )
        for alias, own, server, launcher in zip(
            ALIASES, ports, servers, (DIES_WITH_US, (*DIES_WITH_US, "env", *skewed)), strict=True
        )
    ]


@asynccontextmanager
async def lag_of(daemon: Daemon) -> AsyncGenerator[Any]:
    """Give a call that asks a daemon for its lag."""
    async with grpc.aio.insecure_channel(daemon.grpc) as channel:
        stub = cast(Any, LagStub)(channel)

        async def ask(**request: Any) -> pb.GetLagResponse:
            answer: pb.GetLagResponse = await stub.GetLag(pb.GetLagRequest(**request), timeout=60)
            return answer

        yield ask


async def test_a_clock_that_is_wrong_and_set_back_in_mid_run_changes_no_lag(
    mariadb_pair: Pair, tmp_path: Path
) -> None:
    clock = Clock(tmp_path / "clock")
    clock.set(600)
    daemons = await asyncio.to_thread(start_two, mariadb_pair, tmp_path, clock)

    async def plain_lag_ns() -> int:
        found = await asyncio.to_thread(variables, daemons[1])
        return int(found["HeartbeatCurrentLagNs"])

    try:
        async with lag_of(daemons[1]) as ask:

            async def measured() -> pb.LagFigure | None:
                lag: pb.LagFigure = (await ask()).lag
                wanted = (pb.LagFigure.STATE_MEASURED, pb.LagFigure.METHOD_CLOCK)
                return lag if (lag.state, lag.method) == wanted else None

            for off_seconds in (600, -3600):
                clock.set(off_seconds)

                async def is_wrong(off_seconds: int = off_seconds) -> bool:
                    return abs(await plain_lag_ns() - off_seconds * SECOND_NS) < 300 * SECOND_NS

                await eventually(is_wrong, what=f"a clock that is {off_seconds} s off")
                lag = await eventually(measured)
                assert lag is not None
                assert 0 <= lag.lower_ns <= lag.lag_ns <= lag.upper_ns < 300 * SECOND_NS
            answer = await ask(with_history=True)
            assert answer.keyspace == KEYSPACE
            assert answer.tablet_alias.uid == 101
            assert answer.history
    finally:
        for daemon in daemons:
            await asyncio.to_thread(daemon.terminate)
