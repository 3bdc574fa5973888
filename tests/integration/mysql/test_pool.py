"""The pool against real servers: every limit of time is kept, no connection is reused in doubt."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import closing

import psutil
import pytest

from tabletd.errors import MySQLUnavailable, NotWritable, Reason, TabletdError
from tabletd.mysql.pool import Pool
from tabletd.telemetry.vars import Registry
from tests.conftest import StartServer
from tests.support.pools import pool_of, settings_of
from tests.support.servers import RealServer
from tests.support.waiting import eventually


def _statements(server: RealServer, text: str) -> list[tuple[object, ...]]:
    return server.query(
        "SELECT id FROM information_schema.processlist"
        " WHERE info LIKE %s AND id <> CONNECTION_ID()",
        (f"%{text}%",),
    )


def _is_stopped(server: RealServer) -> bool:
    process = server.identity.process()
    return process is not None and process.status() == psutil.STATUS_STOPPED


async def test_a_statement_that_takes_too_long_ends_on_the_server_too(
    any_server: RealServer,
) -> None:
    async with pool_of(any_server, size_max=1) as pool:
        started = time.monotonic()
        with pytest.raises(TabletdError) as caught:
            await pool.execute("SELECT SLEEP(60)", timeout_seconds=0.3)
        assert caught.value.reason is Reason.TIMEOUT
        assert time.monotonic() - started < 30
        await eventually(lambda: not _statements(any_server, "SLEEP(60)"))
        assert (await pool.execute("SELECT 1")).rows == [(1,)]


async def test_a_cancelled_statement_ends_on_the_server_too(any_server: RealServer) -> None:
    async with pool_of(any_server, size_max=1) as pool:
        task = asyncio.ensure_future(pool.execute("SELECT SLEEP(61)", timeout_seconds=math.inf))
        await eventually(lambda: _statements(any_server, "SLEEP(61)"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: not _statements(any_server, "SLEEP(61)"))
        assert (await pool.execute("SELECT 2")).rows == [(2,)]


async def test_cancelling_at_any_moment_never_gives_a_wrong_answer(any_server: RealServer) -> None:
    async with pool_of(any_server, size_max=2) as pool:
        for number in range(60):
            task = asyncio.ensure_future(pool.execute("SELECT %s, SLEEP(0.002)", (number,)))
            await asyncio.wait([task], timeout=0.0001 * number)
            task.cancel()
            await asyncio.wait([task])
            answer = await pool.execute("SELECT %s", (-number,))
            assert answer.rows == [(-number,)]


async def test_a_transaction_is_rolled_back_when_its_body_fails_or_is_cancelled(
    any_server: RealServer, database: str
) -> None:
    any_server.query(f"CREATE TABLE {database}.t (a int) ENGINE=InnoDB")
    async with pool_of(any_server, database=database, size_max=1) as pool:
        async with pool.session() as session:
            with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the block is what fails
                async with session.transaction():
                    await session.execute("INSERT INTO t VALUES (1)")
                    raise ZeroDivisionError
            async with session.transaction():
                await session.execute("INSERT INTO t VALUES (2)")
        with pytest.raises(asyncio.CancelledError):  # noqa: PT012 - the block is what fails
            async with pool.session() as session, session.transaction():
                await session.execute("INSERT INTO t VALUES (3)")
                raise asyncio.CancelledError
        assert (await pool.execute("SELECT a FROM t")).rows == [(2,)]


async def test_an_open_transaction_never_reaches_the_next_borrower(
    any_server: RealServer, database: str
) -> None:
    any_server.query(f"CREATE TABLE {database}.t (a int) ENGINE=InnoDB")
    async with pool_of(any_server, database=database, size_max=1) as pool:
        async with pool.session() as session:
            await session.execute("BEGIN")
            await session.execute("INSERT INTO t VALUES (1)")
        await eventually(lambda: any_server.scalar(f"SELECT COUNT(*) FROM {database}.t") == 0)
        assert (await pool.execute("SELECT COUNT(*) FROM t")).scalar() == 0


async def test_a_session_without_autocommit_never_reaches_the_next_borrower(
    any_server: RealServer,
) -> None:
    async with pool_of(any_server, size_max=1) as pool:
        async with pool.session() as session:
            await session.execute("SET autocommit = 0")
            await session.execute("SELECT * FROM mysql.user LIMIT 1")
        assert (await pool.execute("SELECT @@autocommit")).scalar() == 1


async def test_a_changed_session_can_be_kept_from_the_next_borrower(
    any_server: RealServer,
) -> None:
    async with pool_of(any_server, size_max=1) as pool:
        async with pool.session() as session:
            await session.execute("SET @mine = 1")
            session.drop_afterwards()
        assert (await pool.execute("SELECT @mine")).scalar() is None


async def test_killed_connections_are_replaced_without_a_word(any_server: RealServer) -> None:
    async with pool_of(any_server) as pool:
        async with pool.session() as one, pool.session() as two:
            ids = (one.connection_id, two.connection_id)
        for connection_id in ids:
            any_server.query(f"KILL {connection_id}")
        await eventually(
            lambda: (
                not any_server.query(
                    "SELECT 1 FROM information_schema.processlist WHERE id IN (%s, %s)", ids
                )
            )
        )
        for number in range(3):
            assert (await pool.execute("SELECT %s", (number,))).scalar() == number


async def test_a_connection_killed_in_a_statement_says_that_the_outcome_is_not_known(
    any_server: RealServer,
) -> None:
    async with pool_of(any_server) as pool:
        task = asyncio.ensure_future(pool.execute("SELECT SLEEP(62)"))
        rows = await eventually(lambda: _statements(any_server, "SLEEP(62)"))
        any_server.query(f"KILL {rows[0][0]}")
        with pytest.raises(TabletdError) as caught:
            await task
        # MySQL 5.7 tells the victim "interrupted" before it hangs up.
        assert isinstance(caught.value, MySQLUnavailable) or caught.value.facts["errno"] == "1317"
        assert (await pool.execute("SELECT 1")).scalar() == 1


@pytest.fixture(params=["mariadb", "mysql-5.7"])
def own_server(request: pytest.FixtureRequest, start_server: StartServer) -> RealServer:
    name: str = request.param
    return start_server(name)


async def test_a_restart_of_the_server_goes_unnoticed_between_statements(
    own_server: RealServer,
) -> None:
    server = own_server
    async with pool_of(server) as pool:
        assert (await pool.execute("SELECT 1")).scalar() == 1
        await asyncio.to_thread(server.shut_down)
        with pytest.raises(MySQLUnavailable) as caught:
            await pool.execute("SELECT 1")
        assert f"127.0.0.1:{server.port}" in str(caught.value)
        await asyncio.to_thread(server.restart)
        assert (await pool.execute("SELECT 2")).scalar() == 2


async def test_a_frozen_server_costs_no_more_than_the_limit(own_server: RealServer) -> None:
    server = own_server
    async with pool_of(server, size_max=1) as pool:
        assert (await pool.execute("SELECT 1")).scalar() == 1
        server.pause()
        await eventually(lambda: _is_stopped(server))
        for _ in range(2):  # first on the pooled connection, then on a new one
            started = time.monotonic()
            with pytest.raises(TabletdError) as caught:
                await pool.execute("SELECT 1", timeout_seconds=0.4)
            assert caught.value.reason in {Reason.TIMEOUT, Reason.MYSQL_UNAVAILABLE}
            assert time.monotonic() - started < 30
        server.resume()
        assert (await pool.execute("SELECT 3")).scalar() == 3


async def test_borrowers_beyond_the_size_wait_in_order_and_not_for_ever(
    any_server: RealServer,
) -> None:
    registry = Registry()
    pool = Pool(settings_of(any_server), name="Small", size_max=1, registry=registry)
    await pool.open()
    async with pool.session():
        with pytest.raises(MySQLUnavailable) as caught:
            await pool.execute("SELECT 1", timeout_seconds=0.1)
        assert "Small" in str(caught.value)
        assert registry.export() == {"SmallCapacity": 1, "SmallInUse": 1, "SmallWaitCount": 1}
    answers = await asyncio.gather(*(pool.execute("SELECT %s", (n,)) for n in range(64)))
    assert [answer.scalar() for answer in answers] == list(range(64))
    await pool.close()


async def test_a_limit_that_is_used_up_sends_nothing(any_server: RealServer, database: str) -> None:
    async with pool_of(any_server, database=database) as pool, pool.session() as session:
        with pytest.raises(TabletdError) as caught:
            await session.execute("CREATE TABLE t (a int)", timeout_seconds=0)
        assert caught.value.reason is Reason.TIMEOUT
        assert (await session.execute("SHOW TABLES")).rows == []


async def test_who_waits_while_the_pool_is_closed_gets_nothing(any_server: RealServer) -> None:
    async with pool_of(any_server, size_max=1) as pool:
        async with pool.session():
            waiting = asyncio.ensure_future(pool.execute("SELECT 1"))
            await asyncio.sleep(0)
            await pool.close()
        with pytest.raises(TabletdError) as caught:
            await waiting
        assert caught.value.reason is Reason.SHUTTING_DOWN


async def test_a_closed_pool_lends_nothing_and_can_be_opened_again(any_server: RealServer) -> None:
    async with pool_of(any_server) as pool:
        await pool.execute("SELECT 1")
        await pool.close()
        with pytest.raises(TabletdError) as caught:
            await pool.execute("SELECT 1")
        assert caught.value.reason is Reason.SHUTTING_DOWN
        await pool.open()
        assert (await pool.execute("SELECT 1")).scalar() == 1


async def test_one_session_refuses_two_statements_at_once(any_server: RealServer) -> None:
    statement = "SELECT GET_LOCK('held', 60)"
    async with pool_of(any_server) as pool, pool.session() as session:
        with closing(any_server.connect()) as holder:
            holder.cursor().execute(statement)
            first = asyncio.ensure_future(session.execute(statement))
            await eventually(lambda: _statements(any_server, statement))
            with pytest.raises(TabletdError) as caught:
                await session.execute("SELECT 1")
            assert caught.value.reason is Reason.INTERNAL
        assert (await first).scalar() == 1


async def test_a_writable_session_is_refused_under_read_only_even_to_root(
    any_server: RealServer, database: str
) -> None:
    async with pool_of(any_server, database=database) as pool:
        await pool.execute("CREATE TABLE t (a int)", writable=True)
        any_server.query("SET GLOBAL read_only = 1")
        before = any_server.gtid_executed()
        with pytest.raises(NotWritable):
            await pool.execute("INSERT INTO t VALUES (1)", writable=True)
        assert any_server.gtid_executed() == before
