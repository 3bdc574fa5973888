"""Lag as a replica reads it from real heartbeats."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from tabletd.heartbeat import LagMethod, LagState, Reader, WriterDaemon
from tabletd.heartbeat.exchange import Suspensions
from tabletd.telemetry.vars import Registry
from tests.support.clock import FakeClock
from tests.support.fakes_lag import FakeWriterDaemon
from tests.support.pools import pool_of
from tests.support.servers import RealServer
from tests.support.tablets import heartbeat_settings
from tests.support.waiting import eventually

SECOND_NS = 1_000_000_000
TABLE = (
    "CREATE TABLE _vt.heartbeat (keyspaceShard VARBINARY(256) NOT NULL PRIMARY KEY, "
    "tabletUid INT UNSIGNED NOT NULL, ts BIGINT UNSIGNED NOT NULL)"
)


class OneReader:
    """A reader of a server with a heartbeat of the test's own making."""

    def __init__(self, server: RealServer, reader: Reader, registry: Registry) -> None:
        self.server = server
        self.reader = reader
        self.registry = registry

    def stamp(self, ts: int) -> None:
        self.server.query("REPLACE INTO _vt.heartbeat VALUES ('test:0', 1111, %s)", (ts,))

    def export(self, name: str) -> object:
        return self.registry.export()[name]

    def histogram(self) -> dict[str, int]:
        value = self.registry.export()["HeartbeatLagNsHistogram"]
        assert isinstance(value, dict)
        return value


@asynccontextmanager
async def reader_of(
    server: RealServer,
    clock: FakeClock,
    *,
    interval_seconds: float = 1,
    daemon: WriterDaemon | None = None,
    suspensions: Suspensions | None = None,
) -> AsyncGenerator[OneReader]:
    registry = Registry()
    server.script("CREATE DATABASE IF NOT EXISTS _vt", "DROP TABLE IF EXISTS _vt.heartbeat", TABLE)
    async with pool_of(server, size_max=1) as pool:
        settings = heartbeat_settings(interval_seconds=interval_seconds)
        reader = Reader(
            pool,
            settings,
            clock=clock,
            registry=registry,
            daemon=daemon,
            suspensions=suspensions,
        )
        yield OneReader(server, reader, registry)
        await reader.close()


async def test_a_heartbeat_of_ten_seconds_ago_is_a_lag_of_ten_seconds(
    any_server: RealServer,
) -> None:
    clock = FakeClock()
    async with reader_of(any_server, clock) as one:
        one.stamp(clock.wall_ns() - 10 * SECOND_NS)
        await one.reader.read()
        lag = one.reader.status()
        assert (lag.state, lag.lag_ns, lag.error) == (LagState.MEASURED, 10 * SECOND_NS, "")
        assert one.export("HeartbeatCumulativeLagNs") == 10 * SECOND_NS
        assert one.export("HeartbeatCurrentLagNs") == 10 * SECOND_NS
        assert (one.export("HeartbeatReads"), one.export("HeartbeatReadErrors")) == (1, 0)
        histogram = one.histogram()
        assert {label: count for label, count in histogram.items() if count} == {
            "10s": 1,
            "Count": 1,
            "Total": 10 * SECOND_NS,
        }


async def test_before_the_first_read_nothing_is_known_and_opening_reads_at_once(
    any_server: RealServer,
) -> None:
    clock = FakeClock()
    async with reader_of(any_server, clock) as one:
        assert one.reader.status().state is LagState.UNKNOWN
        one.stamp(clock.wall_ns())
        await one.reader.open()
        assert one.reader.status().state is LagState.MEASURED


async def test_a_figure_older_than_two_intervals_is_stale_and_never_a_fresh_zero(
    any_server: RealServer,
) -> None:
    clock = FakeClock()
    async with reader_of(any_server, clock) as one:
        one.stamp(clock.wall_ns() - 3 * SECOND_NS)
        await one.reader.read()
        read_at = clock.monotonic_seconds()
        clock.advance(2)
        assert one.reader.status().state is LagState.MEASURED
        clock.advance(0.001)
        lag = one.reader.status()
        assert (lag.state, lag.lag_ns) == (LagState.STALE, 3 * SECOND_NS)
        assert lag.since_monotonic == read_at
        assert lag.error == "no heartbeat received in over 2x the heartbeat interval"


async def test_a_failed_read_keeps_the_figure_until_it_is_stale_and_then_gives_the_cause(
    any_server: RealServer, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    async with reader_of(any_server, clock) as one:
        one.stamp(clock.wall_ns())
        await one.reader.read()
        any_server.query("DROP TABLE _vt.heartbeat")
        with caplog.at_level(logging.ERROR):
            await one.reader.read()
        assert one.reader.status().state is LagState.MEASURED
        assert one.export("HeartbeatReadErrors") == 1
        assert "HeartbeatReporter: Failed to read most recent heartbeat: " in caplog.text
        clock.advance(2.1)
        lag = one.reader.status()
        assert lag.state is LagState.STALE
        assert "Failed to read most recent heartbeat: " in lag.error
        assert "1146" in lag.error


async def test_without_a_heartbeat_of_this_shard_the_error_is_the_documented_one(
    any_server: RealServer,
) -> None:
    async with reader_of(any_server, FakeClock()) as one:
        any_server.query("INSERT INTO _vt.heartbeat VALUES ('other:0', 1, 1)")
        await one.reader.read()
        lag = one.reader.status()
        assert (lag.state, lag.lag_ns) == (LagState.UNKNOWN, None)
        assert lag.error.startswith(
            "Failed to parse heartbeat result: "
            "failed to read heartbeat: writer query did not result in 1 row. Got 0"
        )
        assert one.export("HeartbeatCumulativeLagNs") == 0


async def test_a_timestamp_beyond_signed_64_bits_is_refused(any_server: RealServer) -> None:
    async with reader_of(any_server, FakeClock()) as one:
        one.stamp(2**63)
        await one.reader.read()
        assert one.reader.status().error.startswith("Failed to parse heartbeat result: ")


async def test_a_clock_behind_the_writers_gives_a_lag_below_zero_that_counts_as_it_is(
    any_server: RealServer,
) -> None:
    clock = FakeClock()
    async with reader_of(any_server, clock) as one:
        one.stamp(clock.wall_ns() + 4 * SECOND_NS)
        await one.reader.read()
        lag = one.reader.status()
        assert (lag.lag_ns, lag.whole_seconds) == (-4 * SECOND_NS, 0)
        assert one.export("HeartbeatCumulativeLagNs") == -4 * SECOND_NS
        assert one.histogram()["0"] == 1


async def test_a_closed_reader_forgets_its_figure(any_server: RealServer) -> None:
    clock = FakeClock()
    async with reader_of(any_server, clock) as one:
        one.stamp(clock.wall_ns() - SECOND_NS)
        await one.reader.open()
        await one.reader.close()
        assert one.reader.status().state is LagState.UNKNOWN
        assert one.export("HeartbeatCurrentLagNs") == 0


async def test_a_read_that_is_held_up_ends_with_its_interval(any_server: RealServer) -> None:
    clock = FakeClock()
    async with reader_of(any_server, clock, interval_seconds=0.3) as one:
        one.stamp(clock.wall_ns())
        with any_server.connect() as blocker, blocker.cursor() as cursor:
            cursor.execute("LOCK TABLES _vt.heartbeat WRITE")
            await one.reader.read()
            assert one.export("HeartbeatReadErrors") == 1
            cursor.execute("UNLOCK TABLES")
        while one.export("HeartbeatReads") != 1:  # on a slow machine one more may end so
            await one.reader.read()


async def test_a_machine_that_was_suspended_forgets_the_writers_time(mariadb: RealServer) -> None:
    clock, slept_ns = FakeClock(), [0]
    daemon = FakeWriterDaemon(FakeClock(monotonic_seconds=50.0))
    suspensions = Suspensions(lambda: slept_ns[0])
    async with reader_of(mariadb, clock, daemon=daemon, suspensions=suspensions) as one:
        mariadb.script(
            "ALTER TABLE _vt.heartbeat ADD COLUMN series BIGINT UNSIGNED NOT NULL DEFAULT 0,"
            " ADD COLUMN seq BIGINT UNSIGNED NOT NULL DEFAULT 0,"
            " ADD COLUMN sentNs BIGINT UNSIGNED NOT NULL DEFAULT 0"
        )
        mariadb.query(
            "INSERT INTO _vt.heartbeat VALUES ('test:0', 1111, %s, 7, 1, %s)",
            (clock.wall_ns() - 3 * SECOND_NS, 49 * SECOND_NS),
        )
        running = asyncio.create_task(one.reader.run())
        await one.reader.open()
        await eventually(lambda: one.reader.status().method is LagMethod.CLOCK)
        daemon.answers = False
        slept_ns[0] = 60 * SECOND_NS
        await one.reader.read()
        assert one.reader.status().method is LagMethod.WALL
        daemon.answers = True
        await eventually(lambda: one.reader.status().method is LagMethod.CLOCK)
        running.cancel()
