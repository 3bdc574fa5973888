"""What both servers say about replication, read into one form."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest

from tabletd.errors import Reason
from tabletd.mysql.errors import MySQLError
from tabletd.mysql.flavor import Flavor, server_info
from tabletd.mysql.full_status import FullStatus, full_status
from tabletd.mysql.replication import (
    PrimaryStatus,
    ReplicationStatus,
    ThreadState,
    gtid_executed,
    primary_status,
    replication_status,
)
from tabletd.sandbox.releases import REPLICATION_PASSWORD
from tests.conftest import StartServer
from tests.support.pools import pool_of
from tests.support.servers import Pair, RealServer
from tests.support.waiting import eventually


@pytest.fixture
def server_without_binlog(start_server: StartServer) -> RealServer:
    return start_server("mariadb", options=("--skip-log-bin",))


async def _replication(server: RealServer) -> ReplicationStatus | None:
    async with pool_of(server) as pool, pool.session() as session:
        return await replication_status(session, await server_info(session))


async def _replica_status(server: RealServer) -> ReplicationStatus:
    status = await _replication(server)
    assert status is not None
    return status


async def _status_when(
    server: RealServer, condition: Callable[[ReplicationStatus], bool]
) -> ReplicationStatus:
    status = await _replica_status(server)

    async def is_met() -> bool:
        nonlocal status
        status = await _replica_status(server)
        return condition(status)

    await eventually(is_met)
    return status


async def _primary(server: RealServer) -> PrimaryStatus:
    async with pool_of(server) as pool, pool.session() as session:
        return await primary_status(session, await server_info(session))


async def _full(server: RealServer) -> FullStatus:
    async with pool_of(server) as pool, pool.session() as session:
        return await full_status(session, await server_info(session))


async def test_the_flavour_and_version_are_known(any_server: RealServer) -> None:
    async with pool_of(any_server) as pool, pool.session() as session:
        info = await server_info(session)
    expected = (Flavor.MARIADB, (10, 11)) if any_server.is_mariadb else (Flavor.MYSQL, (5, 7))
    assert (info.flavor, info.version[:2]) == expected


async def test_a_primary_is_no_replica(any_server: RealServer) -> None:
    assert await _replication(any_server) is None


async def test_a_running_replica_is_told_in_full(any_pair: Pair) -> None:
    primary, replica = any_pair.primary, any_pair.replica
    status = await _replica_status(replica)
    assert status.is_running
    assert (status.source_host, status.source_port) == (primary.host, primary.port)
    assert (status.source_user, status.source_server_id) == ("repl", primary.port)
    assert (status.last_io_error, status.last_sql_error) == ("", "")
    assert (status.using_gtid, status.auto_position) == (True, True)
    assert (status.has_replication_filters, status.ssl_allowed) == (False, False)
    assert (status.connect_retry_seconds, status.sql_delay_seconds) == (1, 0)
    assert status.lag_seconds == 0
    assert status.relay_log_source_position.startswith("FilePos/binlog.")
    assert status.relay_log_file_position.startswith("FilePos/relay.")
    assert bool(status.source_uuid) is not primary.is_mariadb


async def test_both_ends_name_the_same_position(any_pair: Pair, database: str) -> None:
    any_pair.primary.query(f"CREATE TABLE {database}.t (a int)")
    any_pair.catch_up()
    source = await _primary(any_pair.primary)
    status = await _replica_status(any_pair.replica)
    assert status.position == source.position == status.relay_log_position
    assert status.file_position == source.file_position
    flavour = "MariaDB/" if any_pair.primary.is_mariadb else "MySQL56/"
    assert source.position.startswith(flavour)
    assert bool(source.server_uuid) is not any_pair.primary.is_mariadb


async def test_the_executed_gtids_are_the_servers_own(any_pair: Pair) -> None:
    for server in (any_pair.primary, any_pair.replica):
        async with pool_of(server) as pool, pool.session() as session:
            assert (
                await gtid_executed(session, await server_info(session)) == server.gtid_executed()
            )


async def test_a_stopped_replica_has_an_unknown_lag_not_zero(any_pair: Pair) -> None:
    any_pair.replica.script("STOP SLAVE")
    status = await _replica_status(any_pair.replica)
    assert (status.io_state, status.sql_state) == (ThreadState.STOPPED, ThreadState.STOPPED)
    assert status.lag_seconds is None
    any_pair.replica.script("START SLAVE IO_THREAD")
    status = await _status_when(any_pair.replica, lambda now: now.io_state is ThreadState.RUNNING)
    assert status.sql_state is ThreadState.STOPPED
    assert status.lag_seconds is None


async def test_a_lost_source_is_connecting_with_the_servers_words(any_pair: Pair) -> None:
    replica = any_pair.replica
    replica.script("STOP SLAVE", "CHANGE MASTER TO MASTER_PASSWORD='wrong'", "START SLAVE")
    try:
        status = await _status_when(replica, lambda now: bool(now.last_io_error))
        assert status.io_state in {ThreadState.CONNECTING, ThreadState.STOPPED}
        assert "repl" in status.last_io_error
        assert not status.is_running
    finally:
        mended = f"CHANGE MASTER TO MASTER_PASSWORD='{REPLICATION_PASSWORD}'"
        replica.script("STOP SLAVE", mended, "START SLAVE")


async def test_a_broken_sql_thread_gives_its_error(any_pair: Pair, database: str) -> None:
    any_pair.primary.query(f"CREATE TABLE {database}.t (a int PRIMARY KEY)")
    any_pair.catch_up()
    any_pair.replica.script("SET sql_log_bin = 0", f"DROP TABLE {database}.t")
    any_pair.primary.query(f"INSERT INTO {database}.t VALUES (1)")
    replica = any_pair.replica
    try:
        status = await _status_when(replica, lambda now: now.sql_state is ThreadState.STOPPED)
        assert f"{database}.t" in status.last_sql_error
        assert status.io_state is ThreadState.RUNNING
    finally:
        table = f"CREATE TABLE {database}.t (a int PRIMARY KEY)"
        replica.script("SET sql_log_bin = 0", table, "START SLAVE")


async def test_a_delay_and_a_filter_are_seen(any_pair: Pair) -> None:
    replica = any_pair.replica
    replica.script("STOP SLAVE")
    if replica.is_mariadb:
        replica.script("SET GLOBAL replicate_do_db = 'only'")
    else:
        replica.script("CHANGE REPLICATION FILTER REPLICATE_DO_DB = (only_this)")
    replica.script("CHANGE MASTER TO MASTER_DELAY = 7", "START SLAVE")
    try:
        status = await _replica_status(replica)
        assert (status.sql_delay_seconds, status.has_replication_filters) == (7, True)
    finally:
        replica.script("STOP SLAVE", "CHANGE MASTER TO MASTER_DELAY = 0")
        if not replica.is_mariadb:
            replica.script("CHANGE REPLICATION FILTER REPLICATE_DO_DB = ()")


async def test_of_two_connections_the_worst_is_told(mariadb_pair: Pair) -> None:
    replica = mariadb_pair.replica
    replica.script("CHANGE MASTER 'second' TO MASTER_HOST='127.0.0.1', MASTER_PORT=1")
    try:
        status = await _replica_status(replica)
        assert (status.channel, status.sql_state) == ("second", ThreadState.STOPPED)
    finally:
        await asyncio.to_thread(replica.script, "RESET SLAVE 'second' ALL")


async def test_the_full_status_of_a_primary_and_a_replica(any_pair: Pair) -> None:
    primary, replica = await _full(any_pair.primary), await _full(any_pair.replica)
    assert (primary.read_only, replica.read_only) == (False, True)
    assert primary.replication is None
    assert replica.replication is not None
    assert primary.primary is not None
    assert (primary.server_id, replica.server_id) == (any_pair.primary.port, any_pair.replica.port)
    assert (primary.log_bin_enabled, primary.log_replica_updates) == (True, True)
    assert (primary.binlog_format, primary.binlog_row_image) == ("ROW", "FULL")
    assert primary.gtid_mode == ("" if any_pair.primary.is_mariadb else "ON")
    assert primary.version.startswith("10.11" if any_pair.primary.is_mariadb else "5.7")
    assert not primary.semi_sync.primary_enabled
    assert replica.heartbeat_interval_seconds > 0
    assert replica.replica_net_timeout_seconds == 60


async def test_the_right_to_see_replication_is_named_when_it_is_missing(
    any_pair: Pair,
) -> None:
    any_pair.primary.query("CREATE USER clerk@'127.0.0.1' IDENTIFIED BY 'x'")
    any_pair.catch_up()
    async with (
        pool_of(any_pair.replica, user="clerk", password="x") as pool,
        pool.session() as session,
    ):
        info = await server_info(session)
        with pytest.raises(MySQLError) as caught:
            await replication_status(session, info)
    assert caught.value.reason is Reason.MISSING_GRANT
    assert re.match(r"GRANT (SLAVE MONITOR|REPLICATION CLIENT) ON ", caught.value.hint or "")


async def test_a_server_without_a_binary_log_has_empty_positions(
    server_without_binlog: RealServer,
) -> None:
    status = await _primary(server_without_binlog)
    assert (status.position, status.file_position) == ("", "")
    assert (await _full(server_without_binlog)).primary is None
