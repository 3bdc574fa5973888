"""Lag with bounds on real servers, whatever the clocks of their hosts show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.heartbeat import (
    HeartbeatSettings,
    LagMethod,
    LagState,
    SqlPrimary,
    WriteMode,
    WriterQuestion,
    writer_link,
)
from tests.conftest import StartServer
from tests.support.lag_chain import RunningTracker, SkewedClock, WriterLine, running_tracker
from tests.support.pools import pool_of
from tests.support.servers import Pair, RealServer
from tests.support.tablets import heartbeat_settings
from tests.support.waiting import eventually

SECOND_NS = 1_000_000_000
SETTINGS = heartbeat_settings(interval_seconds=0.1)


@dataclass
class Measured:
    """A primary whose heartbeats a replica's tracker measures by."""

    primary: RunningTracker
    replica: RunningTracker
    line: WriterLine


@asynccontextmanager
async def measured(
    pair: Pair,
    *,
    settings: HeartbeatSettings = SETTINGS,
    clock: SkewedClock | None = None,
) -> AsyncGenerator[Measured]:
    """Write on the primary and read on the replica while the context lasts."""
    line = WriterLine()
    async with (
        running_tracker(pair.primary, settings) as primary,
        running_tracker(pair.replica, settings, clock=clock, daemon=line) as replica,
    ):
        line.tracker, line.clock = primary.tracker, primary.clock
        await primary.tracker.make_primary()
        await replica.tracker.make_non_primary()
        await replica.look_at_server()
        yield Measured(primary, replica, line)


@pytest.mark.parametrize("off_seconds", [600, -600])
async def test_clocks_that_differ_and_drift_change_nothing(
    any_pair: Pair, off_seconds: float
) -> None:
    async with measured(any_pair, clock=SkewedClock(off_seconds, drift_ppm=200)) as both:
        lag = await both.replica.reaches(method=LagMethod.CLOCK, state=LagState.MEASURED)
        assert lag.lower_ns is not None
        assert lag.lag_ns is not None
        assert lag.upper_ns is not None
        assert 0 <= lag.lower_ns <= lag.lag_ns <= lag.upper_ns < 300 * SECOND_NS
        # The documented figure stays what it is: the difference of the two wall clocks.
        shown = both.replica.registry.export()["HeartbeatCurrentLagNs"]
        assert isinstance(shown, int)
        assert abs(shown - off_seconds * SECOND_NS) < 300 * SECOND_NS


async def test_a_wall_clock_that_is_set_back_in_mid_run_changes_nothing(mariadb_pair: Pair) -> None:
    clock = SkewedClock()
    async with measured(mariadb_pair, clock=clock) as both:
        await both.replica.reaches(method=LagMethod.CLOCK)
        clock.wall_off_seconds = -3600
        before = both.replica.registry.export()["HeartbeatReads"]
        await eventually(lambda: both.replica.registry.export()["HeartbeatReads"] != before)
        lag = await both.replica.reaches(state=LagState.MEASURED, method=LagMethod.CLOCK)
        assert lag.lag_ns is not None
        assert 0 <= lag.lag_ns < 300 * SECOND_NS


async def test_stopped_replication_is_told_with_the_servers_words_and_its_lag_grows(
    any_pair: Pair,
) -> None:
    async with measured(any_pair) as both:
        await both.replica.reaches(method=LagMethod.CLOCK)
        any_pair.replica.script("STOP SLAVE SQL_THREAD")
        await both.replica.look_at_server()
        await eventually(lambda: (both.replica.lag.lower_ns or 0) > SECOND_NS)
        lag = await both.replica.reaches(state=LagState.STOPPED, method=LagMethod.CLOCK)
        assert "SQL thread stopped: no error given" in lag.error
        any_pair.replica.script("START SLAVE SQL_THREAD")
        await both.replica.look_at_server()
        await both.replica.reaches(lower_ns=0, state=LagState.MEASURED)


async def test_an_error_of_the_replica_is_told_in_its_own_words(mariadb_pair: Pair) -> None:
    mariadb_pair.primary.script("CREATE DATABASE errs", "CREATE TABLE errs.t (id INT PRIMARY KEY)")
    mariadb_pair.catch_up()
    async with measured(mariadb_pair) as both:
        await both.replica.reaches(method=LagMethod.CLOCK)
        mariadb_pair.replica.script("SET SESSION sql_log_bin = 0", "INSERT INTO errs.t VALUES (1)")
        mariadb_pair.primary.query("INSERT INTO errs.t VALUES (1)")

        async def is_told() -> bool:
            await both.replica.look_at_server()
            return "Duplicate entry '1' for key 'PRIMARY'" in both.replica.lag.error

        await eventually(is_told)
        await both.replica.reaches(state=LagState.STOPPED)


async def test_a_writer_that_pauses_is_no_lag(any_pair: Pair) -> None:
    async with measured(any_pair) as both:
        await both.replica.reaches(method=LagMethod.CLOCK)
        with any_pair.primary.connect() as blocker, blocker.cursor() as cursor:
            cursor.execute("LOCK TABLES _vt.heartbeat READ")
            lag = await both.replica.reaches(state=LagState.IDLE)
            assert (lag.lower_ns, lag.error) == (0, "")
            assert "late with its heartbeats: nothing to measure by" in lag.cause
            cursor.execute("UNLOCK TABLES")
        await both.replica.reaches(state=LagState.MEASURED)


async def test_beats_that_do_not_come_from_a_writer_that_cannot_be_asked_leave_the_lag_open(
    mariadb_pair: Pair,
) -> None:
    async with measured(mariadb_pair) as both:
        await both.replica.reaches(method=LagMethod.CLOCK)
        both.line.is_cut = True
        await both.primary.tracker.writer.close()
        lag = await both.replica.reaches(state=LagState.STALE, error="")
        assert lag.lower_ns == 0
        assert "the primary's daemon cannot be asked" in lag.cause


async def test_another_daemon_that_writes_is_followed(mariadb_pair: Pair) -> None:
    async with (
        measured(mariadb_pair) as both,
        running_tracker(
            mariadb_pair.primary, replace(SETTINGS, tablet_uid=2), clock=SkewedClock(-40, -100)
        ) as other,
    ):
        await both.replica.reaches(method=LagMethod.CLOCK)
        await both.primary.tracker.close()
        both.line.tracker, both.line.clock = other.tracker, other.clock
        await other.tracker.make_primary()
        row = "SELECT tabletUid FROM _vt.heartbeat"
        await eventually(lambda: mariadb_pair.replica.query(row) == [(2,)])
        before = both.replica.lag.measured_monotonic
        await eventually(lambda: both.replica.lag.measured_monotonic != before)
        lag = await both.replica.reaches(state=LagState.MEASURED, method=LagMethod.CLOCK)
        assert lag.lag_ns is not None
        assert lag.lag_ns < 300 * SECOND_NS


async def test_beats_of_another_makes_daemon_are_measured_by_the_wall_clocks(
    mariadb_pair: Pair,
) -> None:
    async with measured(mariadb_pair) as both:
        await both.replica.reaches(method=LagMethod.CLOCK)
        both.line.is_cut = True
        await both.primary.tracker.writer.close()
        beats = count(1)

        def is_wall_after_another_beat() -> bool:
            mariadb_pair.primary.query(
                "INSERT INTO _vt.heartbeat (ts, tabletUid, keyspaceShard) VALUES (%s, 7, 'test:0')"
                " ON DUPLICATE KEY UPDATE ts=VALUES(ts), tabletUid=VALUES(tabletUid)",
                (next(beats),),
            )
            return both.replica.lag.method is LagMethod.WALL

        await eventually(is_wall_after_another_beat)


async def test_a_delay_that_an_operator_gave_is_part_of_the_lag_and_told_apart(
    any_pair: Pair,
) -> None:
    delayed = ("STOP SLAVE", "CHANGE MASTER TO MASTER_DELAY = 2", "START SLAVE")
    async with measured(any_pair) as both:
        await both.replica.reaches(method=LagMethod.CLOCK)
        any_pair.replica.script(*delayed)
        try:
            await both.replica.look_at_server()
            await eventually(lambda: (both.replica.lag.lower_ns or 0) > SECOND_NS)
            await both.replica.reaches(delay_ns=2 * SECOND_NS, state=LagState.MEASURED)
        finally:
            any_pair.replica.script(
                "STOP SLAVE", "CHANGE MASTER TO MASTER_DELAY = 0", "START SLAVE"
            )


async def test_heartbeats_on_demand_begin_when_somebody_asks_and_end_after_the_lease(
    any_pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So rarely that a question out of turn is seen.
    monkeypatch.setattr(writer_link, "_IDLE_PAUSE_SECONDS", 3600.0)
    settings = replace(SETTINGS, writes=WriteMode.ON_DEMAND, lease_seconds=0.5)
    async with measured(any_pair, settings=settings) as both:
        nobody_asks = "heartbeats are written on demand, and nobody has asked for them"
        await both.replica.reaches(state=LagState.IDLE, cause=nobody_asks)
        any_pair.catch_up()
        executed = any_pair.primary.gtid_executed()
        await both.replica.looks(2)
        asked = both.replica.registry.export()["LagExchanges"]
        await both.replica.looks(8)
        assert both.replica.registry.export()["LagExchanges"] == asked
        assert any_pair.primary.gtid_executed() == executed
        both.replica.tracker.want_heartbeats()
        await both.replica.reaches(state=LagState.MEASURED)
        assert any_pair.primary.gtid_executed() != executed
        await both.replica.reaches(state=LagState.IDLE)


async def test_a_replica_of_a_replica_measures_its_whole_way(
    any_pair: Pair, start_server: StartServer
) -> None:
    between = any_pair.replica
    kind = "mariadb" if between.is_mariadb else "mysql-5.7"
    last = await asyncio.to_thread(start_server, kind, primary=between)
    async with (
        measured(any_pair) as both,
        running_tracker(last, SETTINGS, clock=SkewedClock(77), daemon=both.line) as chained,
    ):
        await chained.tracker.make_non_primary()
        await chained.reaches(method=LagMethod.CLOCK, state=LagState.MEASURED)
        between.script("STOP SLAVE")
        await eventually(lambda: (chained.lag.lower_ns or 0) > SECOND_NS)
        between.script("START SLAVE")
        await eventually(lambda: chained.lag.lower_ns == 0)


async def test_without_heartbeats_the_primarys_position_tells_the_lag(any_pair: Pair) -> None:
    # A server that has committed nothing has no position.
    any_pair.primary.script("CREATE DATABASE begun")
    settings = replace(SETTINGS, writes=WriteMode.OFF)
    async with measured(any_pair, settings=settings, clock=SkewedClock(-900, 150)) as both:
        lag = await both.replica.reaches(
            state=LagState.MEASURED, method=LagMethod.GTID, lower_ns=0, error=""
        )
        assert lag.upper_ns is not None
        assert 0 <= lag.upper_ns < 300 * SECOND_NS
        any_pair.replica.script("STOP SLAVE SQL_THREAD")
        any_pair.primary.script("CREATE DATABASE later")
        await eventually(lambda: (both.replica.lag.lower_ns or 0) > SECOND_NS)
        assert both.replica.lag.method is LagMethod.GTID
        any_pair.replica.script("START SLAVE SQL_THREAD")
        await eventually(lambda: both.replica.lag.lower_ns == 0)


async def test_of_a_primary_without_a_daemon_its_servers_position_tells_the_lag(
    any_pair: Pair,
) -> None:
    any_pair.primary.script("CREATE DATABASE begun")
    any_pair.catch_up()
    clock = SkewedClock(-900, 150)
    async with (
        pool_of(any_pair.primary) as pool,
        running_tracker(
            any_pair.replica, SETTINGS, clock=clock, daemon=SqlPrimary(pool, clock)
        ) as replica,
    ):
        await replica.tracker.make_non_primary()
        await replica.look_at_server()
        await replica.reaches(state=LagState.MEASURED, method=LagMethod.GTID, lower_ns=0, error="")
        any_pair.replica.script("STOP SLAVE SQL_THREAD")
        any_pair.primary.script("CREATE DATABASE later")
        await eventually(lambda: (replica.lag.lower_ns or 0) > SECOND_NS)
        assert replica.lag.method is LagMethod.GTID
        any_pair.replica.script("START SLAVE SQL_THREAD")
        await eventually(lambda: replica.lag.lower_ns == 0)


async def test_a_server_that_replicates_itself_is_not_taken_for_the_primary(
    any_pair: Pair,
) -> None:
    async with pool_of(any_pair.replica) as pool:
        question = WriterQuestion(0, 0, want_heartbeats=False, want_position=True)
        with pytest.raises(TabletdError, match="replicates from another server") as refusal:
            await SqlPrimary(pool, SkewedClock()).ask(question, timeout_seconds=60)
        assert refusal.value.reason is Reason.NOT_PRIMARY


async def test_heartbeats_that_are_off_are_not_written(any_server: RealServer) -> None:
    async with running_tracker(any_server, replace(SETTINGS, writes=WriteMode.OFF)) as one:
        await one.tracker.make_primary()
        assert not one.tracker.writer.is_open
        assert not any_server.query("SHOW DATABASES LIKE '\\_vt'")
