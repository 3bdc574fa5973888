"""The ground that the other tests stand on."""

from __future__ import annotations

import pytest

from tests.conftest import StartServer
from tests.support.servers import Pair, RealServer
from tests.support.waiting import eventually


def test_a_server_is_as_good_as_new_for_each_test(any_server: RealServer) -> None:
    before = any_server.scalar("SELECT @@global.max_allowed_packet")
    name = any_server.create_database()
    any_server.script(
        "CREATE USER 'someone'@'%' IDENTIFIED BY 'x'",
        "SET GLOBAL max_allowed_packet = 2097152",
        "SET GLOBAL read_only = 1",
    )

    any_server.reset()

    schemas = {row[0] for row in any_server.query("SHOW DATABASES")}
    assert name not in schemas
    assert any_server.query("SELECT 1 FROM mysql.user WHERE user = 'someone'") == []
    assert any_server.scalar("SELECT @@global.max_allowed_packet") == before
    assert any_server.scalar("SELECT @@global.read_only") == 0


def test_a_killed_server_is_back_after_a_reset(any_server: RealServer) -> None:
    any_server.kill()
    assert not any_server.server.is_running

    any_server.reset()

    assert any_server.scalar("SELECT 1") == 1


def test_a_replica_follows_its_primary_with_the_same_transactions(
    any_pair: Pair, database: str
) -> None:
    primary, replica = any_pair.primary, any_pair.replica
    primary.script("CREATE TABLE t (id INT PRIMARY KEY)", database=database)
    primary.query("INSERT INTO t VALUES (%s)", (7,), database=database)

    any_pair.catch_up()

    assert replica.scalar("SELECT id FROM t", database=database) == 7
    assert replica.scalar("SELECT @@global.read_only") == 1
    assert replica.gtid_executed() == primary.gtid_executed()


def test_a_replica_that_went_its_own_way_is_replaced(any_pair: Pair) -> None:
    any_pair.replica.query("CREATE DATABASE errant")

    any_pair.reset()

    assert ("errant",) not in any_pair.replica.query("SHOW DATABASES")
    assert any_pair.replica.gtid_executed() == any_pair.primary.gtid_executed()


@pytest.mark.parametrize("name", ["mariadb", "mysql-5.7"])
def test_a_server_of_its_own_takes_options_and_restarts_on_its_data(
    start_server: StartServer, name: str
) -> None:
    server = start_server(name, options=("--binlog-format=STATEMENT",))
    assert server.scalar("SELECT @@global.binlog_format") == "STATEMENT"
    server.create_database("kept")

    server.shut_down()
    server.restart(options=())

    assert server.scalar("SELECT @@global.binlog_format") == "ROW"
    assert any(row[0].startswith("kept_") for row in server.query("SHOW DATABASES"))


async def test_waiting_returns_what_was_found_and_fails_when_the_time_is_over() -> None:
    values = iter([0, 0, 3])
    assert await eventually(lambda: next(values)) == 3
    with pytest.raises(AssertionError, match="last seen: False"):
        await eventually(lambda: False, within_seconds=0.05)


def test_a_server_that_was_started_with_other_options_gets_its_own_back(
    any_server: RealServer,
) -> None:
    any_server.server.shut_down()
    any_server.restart(options=["--read-only=1"])
    assert any_server.scalar("SELECT @@global.read_only") == 1
    any_server.reset()
    any_server.server.shut_down()
    any_server.restart()
    assert any_server.scalar("SELECT @@global.read_only") == 0
