"""Which part works in which role and mode."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from tabletd.heartbeat import LagState, ReplTracker, TrackerMode
from tabletd.mysql.replication import ThreadState
from tabletd.telemetry.vars import Registry
from tests.support.clock import FakeClock
from tests.support.pools import pool_of
from tests.support.replication import replication
from tests.support.servers import RealServer
from tests.support.tablets import heartbeat_settings


@asynccontextmanager
async def tracker_of(
    server: RealServer, mode: TrackerMode, clock: FakeClock | None = None
) -> AsyncGenerator[ReplTracker]:
    async with pool_of(server) as pool:
        tracker = ReplTracker(
            write_pool=pool,
            read_pool=pool,
            settings=heartbeat_settings(mode=mode, interval_seconds=1),
            clock=clock or FakeClock(),
            registry=Registry(),
        )
        yield tracker
        await tracker.close()


async def test_in_mode_heartbeat_a_primary_writes_and_has_no_lag_and_others_read(
    mariadb: RealServer,
) -> None:
    async with tracker_of(mariadb, TrackerMode.HEARTBEAT) as tracker:
        await tracker.make_primary()
        assert (tracker.writer.is_open, tracker.reader.is_open) == (True, False)
        assert (tracker.status().lag_ns, tracker.status().error) == (0, "")
        await tracker.writer.write()
        await tracker.make_non_primary()
        assert (tracker.writer.is_open, tracker.reader.is_open) == (False, True)
        assert tracker.status().state is LagState.MEASURED
        await tracker.close()
        assert (tracker.writer.is_open, tracker.reader.is_open) == (False, False)


@pytest.mark.parametrize("mode", [TrackerMode.POLLING, TrackerMode.DISABLE])
async def test_in_other_modes_nobody_reads_or_writes_heartbeats(
    mariadb: RealServer, mode: TrackerMode
) -> None:
    async with tracker_of(mariadb, mode) as tracker:
        for change in (tracker.make_primary, tracker.make_non_primary):
            await change()
            assert (tracker.writer.is_open, tracker.reader.is_open) == (False, False)
    assert not mariadb.query("SHOW DATABASES LIKE '\\_vt'")


async def test_mode_polling_gives_the_servers_figure_and_its_errors(mariadb: RealServer) -> None:
    async with tracker_of(mariadb, TrackerMode.POLLING) as tracker:
        await tracker.make_non_primary()
        assert tracker.status().error == "replication is not running"
        tracker.note_replication(replication(lag_seconds=2))
        assert tracker.status().lag_seconds == 2
        tracker.note_failure("err")
        assert tracker.status().error == "err"


async def test_mode_disable_states_no_lag_and_hinders_nothing(mariadb: RealServer) -> None:
    async with tracker_of(mariadb, TrackerMode.DISABLE) as tracker:
        await tracker.make_non_primary()
        tracker.note_replication(replication(sql_state=ThreadState.STOPPED))
        assert (tracker.status().state, tracker.status().lag_ns) == (LagState.OFF, None)


async def test_stopped_replication_marks_a_heartbeats_lag_as_stopped_with_the_servers_text(
    mariadb: RealServer,
) -> None:
    clock = FakeClock()
    async with tracker_of(mariadb, TrackerMode.HEARTBEAT, clock) as tracker:
        await tracker.writer.write()
        await tracker.make_non_primary()
        tracker.note_replication(
            replication(sql_state=ThreadState.STOPPED, last_sql_error="Duplicate entry '1'")
        )
        clock.advance(0.5)
        lag = tracker.status()
        assert lag.state is LagState.STOPPED
        assert lag.lag_ns is not None
        assert "Duplicate entry '1'" in lag.error
        assert lag.since_monotonic == clock.monotonic_seconds() - 0.5


async def test_a_demoted_primary_counts_stopped_replication_from_its_demotion(
    mariadb: RealServer,
) -> None:
    clock = FakeClock()
    async with tracker_of(mariadb, TrackerMode.POLLING, clock) as tracker:
        await tracker.make_primary()
        tracker.note_replication(None)
        clock.advance(3600)
        await tracker.make_non_primary()
        tracker.note_replication(None)
        assert tracker.status().since_monotonic == clock.monotonic_seconds()
