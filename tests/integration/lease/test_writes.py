"""What a daemon writes late, of the queue and of its heartbeat, once another one acts."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from tabletd.errors import LeaseNotHeld
from tabletd.executor.names import create_uuid
from tabletd.executor.row_controls import RowControls
from tabletd.executor.states import Command
from tabletd.executor.store import Store
from tabletd.heartbeat import Writer
from tabletd.lease import Lease
from tabletd.mysql.pool import Pool
from tabletd.mysql.sidecar import ensure_sidecar
from tabletd.telemetry.vars import Registry
from tests.conftest import StartServer
from tests.support.clock import FakeClock
from tests.support.lease import Stopwatch, holder_of, lease_of
from tests.support.pools import pool_of
from tests.support.servers import RealServer
from tests.support.submissions import submission
from tests.support.tablets import heartbeat_settings

ROWS = "SELECT * FROM _vt.schema_migrations ORDER BY id"
BEATS = "SELECT tabletUid, ts FROM _vt.heartbeat"


@dataclass(frozen=True)
class Two:
    """A daemon whose clock stands, so that only the server can tell it that its term is over."""

    server: RealServer
    pool: Pool
    first: Lease
    second: Lease

    async def supersede(self) -> None:
        self.server.script("UPDATE _vt.lease SET nonce = ''")
        await self.second.make_primary()
        assert self.first.is_held
        assert self.second.is_held


@asynccontextmanager
async def two_leases(server: RealServer) -> AsyncGenerator[Two]:
    async with (
        pool_of(server) as pool,
        lease_of(server, holder_of(1), now=Stopwatch()) as first,
        lease_of(server, holder_of(2)) as second,
    ):
        async with pool.session() as session:
            await ensure_sidecar(session)
        await first.make_primary()
        yield Two(server, pool, first, second)


@pytest.fixture(params=["mariadb", "mysql57", "STATEMENT"])
def server(request: pytest.FixtureRequest, start_server: StartServer) -> RealServer:
    """Each flavour, and one whose replicas get statements."""
    if request.param == "STATEMENT":
        return start_server("mysql-5.7", options=("--binlog-format=STATEMENT",))
    found: RealServer = request.getfixturevalue(request.param)
    return found


async def test_no_late_write_reaches_the_queue(server: RealServer) -> None:
    uuid = create_uuid()
    async with two_leases(server) as two:
        store = Store(two.pool, tablet="zone1-1", fence=two.first)
        rows = RowControls(store)
        assert (await store.insert(submission(uuid), shard="0")).rows_affected == 1
        for command in (Command.SCHEDULE, Command.CLAIM):
            await store.transition(uuid, command)
        await store.begin_run(uuid, {"run_nonce": "n"})
        migration = await store.read(uuid)
        before = server.records(ROWS)
        await two.supersede()

        for late in (
            lambda: store.report(uuid, progress=50.0, eta_seconds=1, rows_copied=10),
            lambda: store.insert(submission(create_uuid()), shard="0"),
            lambda: store.transition(uuid, Command.COMPLETE, message="late", run_nonce="n"),
            lambda: store.update_run(uuid, "n", "stage = %s", "late", running=True),
            lambda: store.end_run(uuid, "n", ()),
            lambda: store.set_artifacts(migration.id, ("a",)),
            lambda: store.set_cleaned([migration.id]),
            lambda: rows.cut_over_threshold(uuid, 7),
        ):
            with pytest.raises(LeaseNotHeld):
                await late()
        assert server.records(ROWS) == before

        successor = Store(two.pool, tablet="zone1-1", fence=two.second)
        await successor.transition(uuid, Command.COMPLETE, message="done", run_nonce="n")
        assert (await successor.read(uuid)).message == "done"


async def test_no_late_heartbeat_is_written_and_none_counts_as_missed(server: RealServer) -> None:
    clock, registry = FakeClock(), Registry()
    async with two_leases(server) as two, pool_of(server, size_max=1) as pool:
        writer = Writer(
            pool,
            heartbeat_settings(interval_seconds=5),
            clock=clock,
            registry=registry,
            on_not_writable=lambda: None,
            fence=two.first,
        )
        await writer.write()
        written = server.query(BEATS)
        assert written == [(1111, clock.wall_ns())]
        await two.supersede()
        for _ in range(2):
            clock.advance(1)
            await writer.write()
        assert server.query(BEATS) == written
        assert not two.first.is_held
        counted = registry.export()
        assert (counted["HeartbeatWrites"], counted["HeartbeatWriteErrors"]) == (1, 0)
