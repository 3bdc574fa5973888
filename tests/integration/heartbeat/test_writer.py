"""Heartbeats on real servers: written where they belong, nowhere else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from tabletd.heartbeat import Writer
from tabletd.heartbeat.exchange import Suspensions, WriterQuestion
from tabletd.telemetry.vars import Registry
from tests.conftest import StartServer
from tests.support.clock import FakeClock
from tests.support.pools import pool_of
from tests.support.servers import Pair, RealServer
from tests.support.tablets import heartbeat_settings


class OneWriter:
    """A writer whose beats the test makes."""

    def __init__(self, writer: Writer, registry: Registry, clock: FakeClock) -> None:
        self.writer = writer
        self.registry = registry
        self.clock = clock
        self.not_writable = 0

    async def beat(self) -> None:
        self.clock.advance(0.1)
        await self.writer.write()

    @property
    def counts(self) -> tuple[object, object]:
        exported = self.registry.export()
        return exported["HeartbeatWrites"], exported["HeartbeatWriteErrors"]


@asynccontextmanager
async def writer_of(
    server: RealServer,
    *,
    user: str = "root",
    uid: int = 1111,
    interval_seconds: float = 5,
    suspensions: Suspensions | None = None,
) -> AsyncGenerator[OneWriter]:
    registry, clock = Registry(), FakeClock()
    async with pool_of(server, user=user, size_max=1) as pool:

        def count() -> None:
            one.not_writable += 1

        settings = heartbeat_settings(uid, interval_seconds=interval_seconds)
        writer = Writer(
            pool,
            settings,
            clock=clock,
            registry=registry,
            on_not_writable=count,
            suspensions=suspensions,
        )
        one = OneWriter(writer, registry, clock)
        yield one


def rows(server: RealServer) -> list[tuple[object, ...]]:
    return server.query("SELECT keyspaceShard, tabletUid, ts FROM _vt.heartbeat")


async def test_the_first_beat_creates_the_schema_and_later_ones_renew_one_row(
    any_server: RealServer,
) -> None:
    async with writer_of(any_server) as one:
        for _ in range(2):
            await one.beat()
            assert rows(any_server) == [(b"test:0", 1111, one.clock.wall_ns())]
        assert one.counts == (2, 0)


async def test_the_writer_of_another_tablet_takes_the_row_over(any_server: RealServer) -> None:
    async with writer_of(any_server, uid=1) as one, writer_of(any_server, uid=2) as other:
        await one.beat()
        await other.beat()
        assert [row[1] for row in rows(any_server)] == [2]


async def test_each_beat_has_the_next_number_and_is_told_to_who_does_not_know_it(
    mariadb: RealServer,
) -> None:
    async with writer_of(mariadb) as one:
        for _ in range(3):
            await one.beat()
        first = one.writer.answer(WriterQuestion(0, 0, want_heartbeats=False), 5)
        # The first number went to the beat that found no table.
        assert [beat.sequence for beat in first.beats] == [2, 3, 4]
        assert first.received_ns == 5
        later = one.writer.answer(WriterQuestion(first.series, 3, want_heartbeats=False), 5)
        assert later.beats == first.beats[2:]
        row = mariadb.query("SELECT series, seq, sentNs FROM _vt.heartbeat")
        assert row == [(first.series, 4, first.beats[2].sent_ns)]


async def test_a_machine_that_was_suspended_begins_another_series(mariadb: RealServer) -> None:
    slept_ns = [0]
    async with writer_of(mariadb, suspensions=Suspensions(lambda: slept_ns[0])) as one:
        series: list[object] = []
        for slept_ns[0] in (0, 10**12, 10**12):
            await one.beat()
            series.append(mariadb.scalar("SELECT series FROM _vt.heartbeat"))
        assert series[0] != series[1]
        assert series[1] == series[2]
        answer = one.writer.answer(WriterQuestion(0, 0, want_heartbeats=False), 5)
        assert len(answer.beats) == 2


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE _vt.heartbeat",
        "DROP DATABASE _vt",
        "ALTER TABLE _vt.heartbeat DROP COLUMN tabletUid",
    ],
)
async def test_a_damaged_schema_is_mended_within_the_beat(
    any_server: RealServer, damage: str
) -> None:
    async with writer_of(any_server) as one:
        await one.beat()
        any_server.query(damage)
        await one.beat()
        assert one.counts == (2, 0)
        assert rows(any_server) == [(b"test:0", 1111, one.clock.wall_ns())]


async def test_columns_that_others_have_added_do_not_matter(any_server: RealServer) -> None:
    async with writer_of(any_server) as one:
        await one.beat()
        any_server.query("ALTER TABLE _vt.heartbeat ADD COLUMN note INT FIRST")
        await one.beat()
        assert one.counts == (2, 0)


async def test_without_the_right_to_create_both_errors_are_told_and_logged_once(
    any_server: RealServer, caplog: pytest.LogCaptureFixture
) -> None:
    any_server.script(
        "CREATE USER beater@'%' IDENTIFIED BY ''",
        "GRANT REPLICATION CLIENT, REPLICATION SLAVE ON *.* TO beater@'%'",
        "GRANT SELECT, INSERT, UPDATE ON _vt.* TO beater@'%'",
    )
    if any_server.is_mariadb:
        any_server.query("GRANT REPLICA MONITOR ON *.* TO beater@'%'")
    with caplog.at_level(logging.ERROR):
        async with writer_of(any_server, user="beater") as one:
            for _ in range(3):
                await one.beat()
            assert one.counts == (0, 3)
    errors = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert errors[0].startswith("HeartbeatWriter: MySQL error 11")
    assert "and the sidecar schema cannot be made: " in errors[0]


async def test_errors_are_logged_once_a_minute_with_the_number_of_those_left_out(
    any_server: RealServer, caplog: pytest.LogCaptureFixture
) -> None:
    any_server.query("SET GLOBAL read_only = 1")
    with caplog.at_level(logging.ERROR):
        async with writer_of(any_server) as one:
            for _ in range(4):
                await one.beat()
            one.clock.advance(61)
            await one.beat()
    texts = [record.message for record in caplog.records]
    assert "HeartbeatWriter: skipped 3 log messages" in texts
    assert len(texts) == 3


async def test_a_beat_that_is_held_up_ends_within_a_second_and_leaves_no_statement(
    any_server: RealServer,
) -> None:
    async with writer_of(any_server, interval_seconds=0.3) as one:

        async def beats(count: int) -> None:
            """Beat until so many were written: on a slow machine one may end before."""
            while one.counts[0] != count:
                await one.beat()

        await beats(1)
        _, errors = one.counts
        assert isinstance(errors, int)
        with any_server.connect() as blocker, blocker.cursor() as cursor:
            cursor.execute("LOCK TABLES _vt.heartbeat READ")
            await one.beat()
            assert one.counts == (1, errors + 1)
            cursor.execute("UNLOCK TABLES")
        await beats(2)


async def test_under_read_only_nothing_is_written_not_even_with_super(
    any_server: RealServer,
) -> None:
    async with writer_of(any_server) as one:
        await one.beat()
        any_server.query("SET GLOBAL read_only = 1")
        before, stamped = any_server.gtid_executed(), rows(any_server)
        for _ in range(3):
            await one.beat()
        assert any_server.gtid_executed() == before
        assert rows(any_server) == stamped
        assert one.counts == (1, 3)
        assert one.not_writable == 3


async def test_under_read_only_no_schema_is_made_either(any_server: RealServer) -> None:
    any_server.query("SET GLOBAL read_only = 1")
    before = any_server.gtid_executed()
    async with writer_of(any_server) as one:
        await one.beat()
        assert one.counts == (0, 1)
    assert any_server.gtid_executed() == before
    assert not any_server.query("SHOW DATABASES LIKE '\\_vt'")


@pytest.mark.parametrize("read_only", [0, 1])
async def test_nothing_is_written_on_a_replica_writable_or_not(
    any_pair: Pair, read_only: int
) -> None:
    async with writer_of(any_pair.primary) as primary:
        await primary.beat()
    any_pair.catch_up()
    any_pair.replica.query(f"SET GLOBAL read_only = {read_only}")
    before = any_pair.replica.gtid_executed()
    async with writer_of(any_pair.replica) as one:
        for _ in range(3):
            await one.beat()
        assert one.counts == (0, 3)
    assert any_pair.replica.gtid_executed() == before


@pytest.mark.parametrize("name", ["mariadb", "mysql-5.7"])
@pytest.mark.parametrize("binlog_format", ["STATEMENT", "MIXED", "ROW"])
async def test_beats_replicate_and_respect_read_only_in_every_binlog_format(
    start_server: StartServer, name: str, binlog_format: str
) -> None:
    options = (f"--binlog-format={binlog_format}",)
    primary = await asyncio.to_thread(start_server, name, options=options)
    replica = await asyncio.to_thread(start_server, name, primary=primary, options=options)
    async with writer_of(primary) as one:
        for _ in range(3):
            await one.beat()
        assert one.counts == (3, 0)
        replica.catch_up()
        assert rows(replica) == [(b"test:0", 1111, one.clock.wall_ns())]
        primary.query("SET GLOBAL read_only = 1")
        before = primary.gtid_executed()
        await one.beat()
        assert primary.gtid_executed() == before
        assert one.counts == (3, 1)


@pytest.mark.parametrize("binlog_format", ["STATEMENT", "ROW"])
async def test_no_beat_slips_through_while_read_only_is_being_set(
    any_server: RealServer, binlog_format: str
) -> None:
    any_server.query(f"SET GLOBAL binlog_format = {binlog_format}")

    def toggle() -> list[tuple[str, str]]:
        seen: list[tuple[str, str]] = []
        with any_server.connect() as connection, connection.cursor() as cursor:
            for _ in range(40):
                cursor.execute("SET GLOBAL read_only = 1")
                first = any_server.gtid_executed()
                cursor.execute("DO SLEEP(0.005)")
                seen.append((first, any_server.gtid_executed()))
                cursor.execute("SET GLOBAL read_only = 0")
        return seen

    async with writer_of(any_server) as one:
        await one.beat()
        toggling = asyncio.create_task(asyncio.to_thread(toggle))
        while not toggling.done():
            await one.beat()
        assert all(first == later for first, later in await toggling)
        written, refused = one.counts
        assert written
        assert refused
