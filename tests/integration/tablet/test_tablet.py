"""Tablets beside real pairs: role, health and lag as the servers change underneath."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pymysql
import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.heartbeat import LagState, TrackerMode
from tabletd.tablet import TabletSettings, TabletType
from tests.support.servers import Pair, RealServer
from tests.support.tablets import Recorder, RunningTablet, running_tablet
from tests.support.waiting import eventually


async def is_type(running: RunningTablet, tablet_type: TabletType) -> None:
    await eventually(lambda: running.tablet.type is tablet_type, what=f"is {tablet_type}")


def promote(pair: Pair) -> None:
    """Make the replica the primary, as an operator does."""
    pair.primary.query("SET GLOBAL read_only = 1")
    pair.catch_up()
    pair.replica.script("STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = 0")
    is_mariadb = pair.primary.is_mariadb
    using = "MASTER_USE_GTID=current_pos" if is_mariadb else "MASTER_AUTO_POSITION=1"
    source = f"MASTER_HOST='127.0.0.1', MASTER_PORT={pair.replica.port}, MASTER_USER='repl'"
    password = "MASTER_PASSWORD='repl'"
    pair.primary.script(f"CHANGE MASTER TO {source}, {password}, {using}", "START SLAVE")


async def test_lag_is_measured_on_the_replica_of_a_writing_primary(any_pair: Pair) -> None:
    async with (
        running_tablet(any_pair.primary, uid=1) as primary,
        running_tablet(any_pair.replica, uid=2) as replica,
    ):
        await primary.serves()
        await replica.serves()
        assert (primary.tablet.type, replica.tablet.type) == (
            TabletType.PRIMARY,
            TabletType.REPLICA,
        )
        assert primary.tablet.health.primary_term_start_seconds > 0
        assert replica.tablet.health.primary_term_start_seconds == 0
        reads = replica.count("HeartbeatReads")
        await eventually(lambda: replica.count("HeartbeatReads") >= reads + 5)
        lag = replica.tablet.lag
        assert lag.state is LagState.MEASURED
        assert lag.lag_seconds is not None
        assert lag.lag_seconds < 2
        assert replica.count("HeartbeatWrites") == 0
        assert replica.registry.export()["TabletStateName"] == "SERVING"
        assert replica.registry.export()["TabletType"] == "replica"


async def test_a_replica_never_gets_a_transaction_of_its_own(any_pair: Pair) -> None:
    async with (
        running_tablet(any_pair.primary, uid=1) as primary,
        running_tablet(any_pair.replica, uid=2) as replica,
    ):
        await replica.serves()
        written = primary.count("HeartbeatWrites")
        await eventually(lambda: primary.count("HeartbeatWrites") >= written + 10)
    any_pair.catch_up()
    assert any_pair.replica.gtid_executed() == any_pair.primary.gtid_executed()


async def test_a_primary_made_read_only_writes_no_more_and_comes_back(
    any_server: RealServer,
) -> None:
    async with running_tablet(any_server) as running:
        await running.serves()
        await eventually(lambda: running.count("HeartbeatWrites") >= 1)
        any_server.query("SET GLOBAL read_only = 1")
        before = any_server.gtid_executed()
        await is_type(running, TabletType.REPLICA)
        reads = running.count("HeartbeatReads")
        await eventually(lambda: running.count("HeartbeatReads") >= reads + 5)
        assert any_server.gtid_executed() == before
        any_server.query("SET GLOBAL read_only = 0")
        await is_type(running, TabletType.PRIMARY)
        written = running.count("HeartbeatWrites")
        await eventually(lambda: running.count("HeartbeatWrites") > written)


async def test_roles_follow_a_promotion_in_both_directions(any_pair: Pair) -> None:
    async with (
        running_tablet(any_pair.primary, uid=1) as old,
        running_tablet(any_pair.replica, uid=2) as new,
    ):
        await old.serves()
        await new.serves()
        promote(any_pair)
        await is_type(new, TabletType.PRIMARY)
        await is_type(old, TabletType.REPLICA)
        reads = old.count("HeartbeatReads")
        await eventually(lambda: old.count("HeartbeatReads") >= reads + 3)
        await eventually(
            lambda: any_pair.primary.scalar("SELECT tabletUid FROM _vt.heartbeat") == 2
        )
        await old.serves()
    await eventually(
        lambda: any_pair.primary.gtid_executed() == any_pair.replica.gtid_executed(),
        what="no errant transaction on the former primary",
    )


async def test_a_stopped_sql_thread_ends_serving_after_the_grace_with_the_servers_text(
    any_pair: Pair,
) -> None:
    any_pair.primary.script("CREATE DATABASE app", "CREATE TABLE app.t (id INT PRIMARY KEY)")
    any_pair.catch_up()
    settings = TabletSettings(follow_interval_seconds=0.1, replication_stopped_grace_seconds=0.5)
    async with (
        running_tablet(any_pair.primary, uid=1),
        running_tablet(any_pair.replica, uid=2, settings=settings) as replica,
    ):
        await replica.serves()
        any_pair.replica.script("SET sql_log_bin = 0", "INSERT INTO app.t VALUES (1)")
        any_pair.primary.query("INSERT INTO app.t VALUES (1)")
        await eventually(lambda: replica.tablet.lag.state is LagState.STOPPED)
        assert replica.tablet.lag.error.startswith("replication is not running: SQL thread")
        await eventually(lambda: "Duplicate entry '1'" in replica.tablet.health.health_error)
        assert not replica.tablet.is_serving
        first = replica.tablet.lag.lag_ns
        assert first is not None
        await eventually(lambda: (replica.tablet.lag.lag_ns or 0) > first)
        any_pair.replica.script("SET sql_log_bin = 0", "DELETE FROM app.t", "START SLAVE")
        await replica.serves()
        assert not replica.tablet.health.health_error


async def test_a_stopped_io_thread_shows_as_growing_lag_and_stopped(any_pair: Pair) -> None:
    async with (
        running_tablet(any_pair.primary, uid=1),
        running_tablet(any_pair.replica, uid=2) as replica,
    ):
        await replica.serves()
        any_pair.replica.query("STOP SLAVE IO_THREAD")
        await eventually(lambda: replica.tablet.lag.state is LagState.STOPPED)
        await eventually(lambda: replica.tablet.health.lag_seconds >= 1)
        assert replica.tablet.is_serving
        any_pair.replica.query("START SLAVE IO_THREAD")
        await eventually(lambda: replica.tablet.lag.state is LagState.MEASURED)
        await eventually(lambda: replica.tablet.health.lag_seconds == 0)


async def test_mode_polling_takes_the_servers_word(any_pair: Pair) -> None:
    async with running_tablet(any_pair.replica, mode=TrackerMode.POLLING) as replica:
        await replica.serves()
        await eventually(lambda: replica.tablet.lag.state is LagState.MEASURED)
        any_pair.replica.query("STOP SLAVE SQL_THREAD")
        await eventually(lambda: replica.tablet.lag.state is LagState.STOPPED)
        assert not replica.count("HeartbeatReads")


async def test_a_replica_without_any_heartbeat_is_not_serving_and_says_why(
    any_pair: Pair,
) -> None:
    async with running_tablet(any_pair.replica) as replica:
        await eventually(
            lambda: "Failed to read most recent heartbeat" in replica.tablet.health.health_error
        )
        assert not replica.tablet.is_serving
    assert any_pair.replica.gtid_executed() == any_pair.primary.gtid_executed()


async def test_a_server_that_goes_away_and_comes_back_is_followed(any_server: RealServer) -> None:
    async with running_tablet(any_server) as running:
        await running.serves()
        # A crash in the middle of a CREATE TABLE would leave MySQL 5.7 a schema it cannot drop.
        await eventually(lambda: running.count("HeartbeatWrites") >= 1)
        await asyncio.to_thread(any_server.kill)
        await eventually(lambda: not running.tablet.is_serving)
        assert "cannot be reached" in running.tablet.health.health_error
        assert running.tablet.is_primary
        assert running.registry.export()["TabletState"] == 0
        await asyncio.to_thread(any_server.restart)
        await running.serves()
        assert not running.tablet.health.health_error
        written = running.count("HeartbeatWrites")
        await eventually(lambda: running.count("HeartbeatWrites") > written)


async def test_a_connection_that_is_killed_does_not_end_serving(any_server: RealServer) -> None:
    async with running_tablet(any_server) as running:
        await running.serves()
        async with running.tablet.subscribe() as updates:
            await anext(updates)
            for _ in range(5):
                for (connection_id,) in any_server.query(
                    "SELECT id FROM information_schema.processlist "
                    "WHERE command = 'Sleep' AND user = 'root'"
                ):
                    with suppress(pymysql.MySQLError):  # it has gone by itself
                        any_server.query(f"KILL {connection_id}")
                await running.tablet.refresh()
            await running.tablet.run_health_check()
            assert (await anext(updates)).serving


async def test_a_server_that_is_away_at_the_start_is_waited_for(any_server: RealServer) -> None:
    await asyncio.to_thread(any_server.kill)
    async with running_tablet(any_server) as running:
        await eventually(lambda: "cannot be reached" in running.tablet.health.health_error)
        assert running.tablet.type is TabletType.UNKNOWN
        await asyncio.to_thread(any_server.restart)
        await running.serves()
        assert running.tablet.is_primary


async def test_a_server_that_hangs_is_not_serving(any_server: RealServer) -> None:
    settings = TabletSettings(follow_interval_seconds=0.1, look_seconds_max=0.5)
    async with running_tablet(any_server, settings=settings) as running:
        await running.serves()
        any_server.pause()
        try:
            await eventually(lambda: not running.tablet.is_serving)
            assert "took longer than" in running.tablet.health.health_error
        finally:
            any_server.resume()
        await running.serves()


async def test_a_wrong_password_is_told_and_waited_out(any_server: RealServer) -> None:
    any_server.script(
        "CREATE USER daemon@'%' IDENTIFIED BY 'other'", "GRANT ALL ON *.* TO daemon@'%'"
    )
    async with running_tablet(any_server, user="daemon", password="right") as running:
        await eventually(lambda: "does not let in" in running.tablet.health.health_error)
        any_server.query("ALTER USER daemon@'%' IDENTIFIED BY 'right'")
        await running.serves()


async def test_parts_are_told_in_order_and_in_reverse_order(any_server: RealServer) -> None:
    calls: list[str] = []
    parts = (Recorder("throttler", calls), Recorder("executor", calls))
    async with running_tablet(any_server, listeners=parts) as running:
        await is_type(running, TabletType.PRIMARY)
        assert calls == ["throttler primary", "executor primary"]
        any_server.query("SET GLOBAL read_only = 1")
        await is_type(running, TabletType.REPLICA)
        await eventually(lambda: len(calls) == 4)
        assert calls[2:] == ["executor non-primary", "throttler non-primary"]
    assert calls[4:] == ["executor close", "throttler close"]


async def test_a_part_that_cannot_take_its_role_is_tried_again_and_nobody_is_primary_before(
    any_server: RealServer,
) -> None:
    executor = Recorder("executor", failure=TabletdError(Reason.MISSING_GRANT, "no grant"))
    async with running_tablet(any_server, listeners=(executor,)) as running:
        await eventually(lambda: "executor" in " ".join(executor.calls[1:]))
        assert not running.tablet.is_primary
        assert "no grant" in running.tablet.health.health_error
        executor.failure = None
        await running.serves()
        assert running.tablet.is_primary


async def test_a_part_that_cannot_step_down_hinders_no_other(any_server: RealServer) -> None:
    executor = Recorder("executor")
    async with running_tablet(any_server, listeners=(executor,)) as running:
        await running.serves()
        executor.failure = TabletdError(Reason.MYSQL_ERROR, "busy")
        any_server.query("SET GLOBAL read_only = 1")
        await eventually(lambda: "busy" in running.tablet.health.health_error)
        assert not running.tracker.writer.is_open
        assert running.tablet.type is TabletType.REPLICA
        executor.failure = None
        await eventually(lambda: "busy" not in running.tablet.health.health_error)


async def test_change_type_to_primary_is_refused_on_a_replica(any_pair: Pair) -> None:
    async with running_tablet(any_pair.replica) as replica:
        with pytest.raises(TabletdError, match="it is a replica") as refused:
            await replica.tablet.change_type(TabletType.PRIMARY)
        assert refused.value.reason is Reason.READ_ONLY
        assert replica.tablet.type is TabletType.REPLICA


async def test_a_drained_tablet_stays_drained_and_is_not_drained_twice(
    any_server: RealServer,
) -> None:
    async with running_tablet(any_server, uid=101) as running:
        await running.serves()
        await running.tablet.change_type(TabletType.DRAINED)
        assert running.tablet.health.type is TabletType.DRAINED
        assert not running.tracker.writer.is_open
        with pytest.raises(TabletdError, match="Tablet: zone1-0000000101, is already drained"):
            await running.tablet.change_type(TabletType.DRAINED)
        await running.tablet.refresh()
        assert running.tablet.type is TabletType.DRAINED
        await running.tablet.change_type(TabletType.PRIMARY)
        assert running.tablet.is_primary


async def test_refresh_follows_at_once_and_raises_when_the_server_is_away(
    any_server: RealServer,
) -> None:
    slow = TabletSettings(follow_interval_seconds=3600)
    async with running_tablet(any_server, mode=TrackerMode.DISABLE, settings=slow) as running:
        await running.tablet.refresh()
        assert running.tablet.is_primary
        any_server.query("SET GLOBAL read_only = 1")
        await running.tablet.refresh()
        assert running.tablet.type is TabletType.REPLICA
        await asyncio.to_thread(any_server.kill)
        with pytest.raises(TabletdError, match=r"cannot be reached|was lost"):
            await running.tablet.refresh()
        await running.tablet.run_health_check()
        assert not running.tablet.is_serving


async def test_a_beat_that_meets_read_only_makes_the_tablet_look_at_once(
    any_server: RealServer,
) -> None:
    slow = TabletSettings(follow_interval_seconds=3600)
    async with running_tablet(any_server, settings=slow) as running:
        await eventually(lambda: running.count("HeartbeatWrites") >= 1)
        any_server.query("SET GLOBAL read_only = 1")
        await is_type(running, TabletType.REPLICA)


async def test_health_is_broadcast_at_once_on_change_and_at_least_at_its_interval(
    any_server: RealServer,
) -> None:
    settings = TabletSettings(follow_interval_seconds=3600, health_check_interval_seconds=0.2)
    async with running_tablet(any_server, settings=settings) as running:
        await running.tablet.refresh()
        async with running.tablet.subscribe() as updates:
            for _ in range(3):
                assert (await anext(updates)).serving
            any_server.query("SET GLOBAL read_only = 1")
            async for health in updates:
                if health.type is TabletType.REPLICA:
                    break


async def test_a_health_check_is_broadcast_even_when_nothing_has_changed(
    any_server: RealServer,
) -> None:
    slow = TabletSettings(follow_interval_seconds=3600, health_check_interval_seconds=3600)
    async with running_tablet(any_server, settings=slow) as running:
        await running.tablet.refresh()
        async with running.tablet.subscribe() as updates:
            first = await anext(updates)
            await running.tablet.run_health_check()
            assert await anext(updates) == first


async def test_shutdown_is_told_and_ends_streams(any_server: RealServer) -> None:
    async with running_tablet(any_server) as running:
        await running.serves()
        async with running.tablet.subscribe() as updates:
            await anext(updates)
            running.tablet.begin_shutdown()
            assert not (await anext(updates)).serving
            with pytest.raises(TabletdError, match="tabletserver is shutdown"):
                await anext(updates)
        with pytest.raises(TabletdError, match="tabletserver is shutdown"):
            await running.tablet.refresh()


async def test_the_former_type_is_accepted_for_the_grace_period_after_a_promotion(
    any_server: RealServer,
) -> None:
    any_server.query("SET GLOBAL read_only = 1")
    settings = TabletSettings(follow_interval_seconds=0.1, serving_state_grace_seconds=3600)
    async with running_tablet(any_server, settings=settings) as running:
        await is_type(running, TabletType.REPLICA)
        assert not running.tablet.accepts(TabletType.PRIMARY)
        any_server.query("SET GLOBAL read_only = 0")
        await is_type(running, TabletType.PRIMARY)
        assert running.tablet.accepts(TabletType.PRIMARY)
        assert running.tablet.accepts(TabletType.REPLICA)
        assert not running.tablet.accepts(TabletType.RDONLY)
