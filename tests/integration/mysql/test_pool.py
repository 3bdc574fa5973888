"""The pool against real servers: every limit of time is kept, no connection is reused in doubt."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import closing

import psutil
import pytest

from tabletd.errors import MySQLUnavailable, NotWritable, Reason, TabletdError
from tabletd.mysql.errors import ConnectionRefused, MySQLError
from tabletd.mysql.pool import Pool
from tabletd.mysql.settings import MySQLSettings
from tabletd.sandbox.servers import free_port
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


async def test_values_come_back_as_they_went_in(any_server: RealServer) -> None:
    texts = ["it's", 'a "b" \\ c', "\0 \n \r \x1a %s %%", "\N{SNOWMAN} \N{GRINNING FACE}", ""]
    async with pool_of(any_server) as pool:
        for text in texts:
            result = await pool.execute("SELECT %s, HEX(%s)", (text, text))
            assert result.rows == [(text, text.encode().hex().upper())]
        for number in (0, -1, 2**63 - 1, 1.5, 1e300):
            assert (await pool.execute("SELECT %s", (number,))).scalar() == number
        assert (await pool.execute("SELECT %s", (bytes(range(256)),))).scalar() == bytes(range(256))
        assert (await pool.execute("SELECT %s IS NULL", (None,))).scalar() == 1


async def test_values_are_safe_where_a_backslash_means_nothing(any_server: RealServer) -> None:
    async with pool_of(any_server, raw=True) as pool, pool.session() as session:
        await session.execute("SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'")
        result = await session.execute("SELECT %s", ("\\' OR '1'='1",))
        assert result.rows == [(b"\\' OR '1'='1",)]


async def test_a_session_is_strict_in_utc_and_commits_by_itself(any_server: RealServer) -> None:
    any_server.query("SET GLOBAL sql_mode = ''")
    any_server.query("SET GLOBAL time_zone = '+05:00'")
    async with pool_of(any_server) as pool:
        facts = await pool.execute(
            "SELECT @@sql_mode, @@time_zone, @@autocommit, @@character_set_client"
        )
        mode, zone, autocommit, charset = facts.rows[0]
        assert "STRICT_ALL_TABLES" in mode
        assert (zone, autocommit, charset) == ("+00:00", 1, "utf8mb4")


async def test_a_raw_pool_gives_the_servers_text_and_keeps_its_sql_mode(
    any_server: RealServer,
) -> None:
    any_server.query("SET GLOBAL sql_mode = 'ANSI_QUOTES'")
    async with pool_of(any_server, raw=True) as pool:
        result = await pool.execute("SELECT 1.50, NULL, @@sql_mode, DATE '2020-01-02'")
        assert result.rows == [(b"1.50", None, b"ANSI_QUOTES", b"2020-01-02")]


async def test_a_second_statement_after_a_semicolon_is_refused(any_server: RealServer) -> None:
    async with pool_of(any_server) as pool:
        with pytest.raises(MySQLError) as caught:
            await pool.execute("SELECT 1; SELECT 2")
        assert caught.value.reason is Reason.DDL_SYNTAX


async def test_a_statement_of_bytes_is_sent_as_it_is(any_server: RealServer) -> None:
    async with pool_of(any_server) as pool:
        assert (await pool.execute(b"SELECT '%s' AS x")).dicts() == [{"x": "%s"}]


async def test_half_a_surrogate_pair_is_refused_before_it_is_sent(any_server: RealServer) -> None:
    async with pool_of(any_server) as pool:
        with pytest.raises(TabletdError) as caught:
            await pool.execute("SELECT %s", ("\ud83d",))
        assert caught.value.reason is Reason.INVALID_REQUEST


async def test_rows_beyond_sixteen_mebibytes_come_whole(any_server: RealServer) -> None:
    any_server.query("SET GLOBAL max_allowed_packet = 67108864")
    async with pool_of(any_server, raw=True) as pool:
        result = await pool.execute("SELECT REPEAT('x', 20000000), 'end'")
        assert len(result.rows[0][0]) == 20_000_000
        assert result.rows[0][1] == b"end"
        statement = f"SELECT LENGTH('{'y' * 20_000_000}')"
        assert (await pool.execute(statement)).rows == [(b"20000000",)]


async def test_the_first_result_of_a_procedure_is_given_and_the_rest_is_read(
    any_server: RealServer, database: str
) -> None:
    any_server.query(f"CREATE PROCEDURE {database}.two() BEGIN SELECT 1; SELECT 2; END")
    async with pool_of(any_server, size_max=1) as pool:
        assert (await pool.execute(f"CALL {database}.two()")).rows == [(1,)]
        assert (await pool.execute("SELECT 3")).rows == [(3,)]


async def test_counts_and_insert_id_are_told(any_server: RealServer, database: str) -> None:
    any_server.query(f"CREATE TABLE {database}.t (id int AUTO_INCREMENT PRIMARY KEY, a int)")
    async with pool_of(any_server, database=database) as pool:
        inserted = await pool.execute("INSERT INTO t (a) VALUES (1), (1), (2)")
        assert (inserted.rows_affected, inserted.insert_id) == (3, 1)
        updated = await pool.execute("UPDATE t SET a = 2")
        assert (updated.rows_affected, updated.info) == (
            2,
            "Rows matched: 3  Changed: 2  Warnings: 0",
        )


async def test_a_statement_that_takes_too_long_ends_on_the_server_too(
    any_server: RealServer,
) -> None:
    async with pool_of(any_server, size_max=1) as pool:
        started = time.monotonic()
        with pytest.raises(TabletdError) as caught:
            await pool.execute("SELECT SLEEP(60)", timeout_seconds=0.3)
        assert caught.value.reason is Reason.TIMEOUT
        assert time.monotonic() - started < 2
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
            assert time.monotonic() - started < 1
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
    async with pool_of(any_server) as pool, pool.session() as session:
        first = asyncio.ensure_future(session.execute("SELECT SLEEP(0.2)"))
        await eventually(lambda: _statements(any_server, "SLEEP(0.2)"))
        with pytest.raises(TabletdError) as caught:
            await session.execute("SELECT 1")
        assert caught.value.reason is Reason.INTERNAL
        await first


async def test_a_result_beyond_a_limit_is_refused(any_server: RealServer, database: str) -> None:
    any_server.script(
        "CREATE TABLE t (a varchar(1000))",
        "INSERT INTO t VALUES (REPEAT('x', 1000)), (''), ('')",
        database=database,
    )
    async with pool_of(any_server, database=database, size_max=1) as pool:
        assert len((await pool.execute("SELECT * FROM t", rows_max=3)).rows) == 3
        with pytest.raises(TabletdError) as caught:
            await pool.execute("SELECT * FROM t", rows_max=2)
        assert caught.value.reason is Reason.RESULT_TOO_LARGE
        with pytest.raises(TabletdError) as caught:
            await pool.execute("SELECT * FROM t", bytes_max=900)
        assert caught.value.reason is Reason.RESULT_TOO_LARGE
        assert (await pool.execute("SELECT 1")).scalar() == 1


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


async def test_nobody_there_is_said_with_the_address() -> None:
    port = free_port()
    pool = Pool(MySQLSettings(port=port, user="root"), name="P")
    await pool.open()
    with pytest.raises(MySQLUnavailable) as caught:
        await pool.execute("SELECT 1")
    assert f"127.0.0.1:{port}" in str(caught.value)
    await pool.close()


async def test_something_else_that_listens_there_is_no_mysql() -> None:
    for greeting in (b"\x05\x00\x00\x00\x0a\x00\x00\x00\x00", b"SSH-2.0-OpenSSH_9.2\r\n", b""):

        async def greet(
            _: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes = greeting
        ) -> None:
            writer.write(text)
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]
        pool = Pool(MySQLSettings(port=port, user="root"), name="P")
        await pool.open()
        with pytest.raises(MySQLUnavailable, match=f"127.0.0.1:{port}"):
            await pool.execute("SELECT 1")
        await pool.close()
        server.close()
        await server.wait_closed()


async def test_a_missing_socket_is_said_with_its_path() -> None:
    pool = Pool(MySQLSettings(unix_socket="/nowhere/mysql.sock"), name="P")
    await pool.open()
    with pytest.raises(MySQLUnavailable, match=r"/nowhere/mysql\.sock"):
        await pool.execute("SELECT 1")
    await pool.close()


async def test_a_wrong_password_is_refused_without_being_repeated(any_server: RealServer) -> None:
    any_server.query("CREATE USER clerk@'127.0.0.1' IDENTIFIED BY 'the right one'")
    async with pool_of(any_server, user="clerk", password="wrong-secret") as pool:
        with pytest.raises(ConnectionRefused) as caught:
            await pool.execute("SELECT 1")
        assert caught.value.reason is Reason.MYSQL_ACCESS_DENIED
        assert isinstance(caught.value, MySQLUnavailable)
        assert "'clerk'" in str(caught.value)
        assert str(any_server.port) in str(caught.value)
        assert "wrong-secret" not in repr(caught.value) + str(caught.value) + repr(pool.settings)


async def test_a_password_of_any_letters_logs_in(any_server: RealServer) -> None:
    password = "pässwörd \N{SNOWMAN} '\"\\"
    with closing(any_server.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE USER clerk@'127.0.0.1' IDENTIFIED BY %s", (password,))
    async with pool_of(any_server, user="clerk", password=password) as pool:
        assert (await pool.execute("SELECT 1")).scalar() == 1


async def test_an_unknown_default_schema_is_refused_by_name(any_server: RealServer) -> None:
    async with pool_of(any_server, database="nowhere") as pool:
        with pytest.raises(ConnectionRefused, match="'nowhere'") as caught:
            await pool.execute("SELECT 1")
        assert caught.value.reason is Reason.TABLE_NOT_FOUND


async def test_too_many_connections_are_told_apart(any_server: RealServer) -> None:
    any_server.script(
        "CREATE USER clerk@'127.0.0.1' IDENTIFIED BY 'x'",
        "GRANT USAGE ON *.* TO clerk@'127.0.0.1' WITH MAX_USER_CONNECTIONS 1",
    )
    async with pool_of(any_server, user="clerk", password="x") as pool, pool.session():
        with pytest.raises(MySQLUnavailable) as caught:
            await pool.execute("SELECT 1")
        assert caught.value.reason is Reason.TOO_MANY_CONNECTIONS


@pytest.mark.parametrize(
    ("sql", "grant"),
    [
        ("CREATE TABLE {0}.t2 (a int)", "GRANT CREATE ON "),
        ("SELECT * FROM {0}.t", "GRANT SELECT ON "),
        ("SET GLOBAL read_only = 1", "GRANT "),
        ("USE {0}", "grant the account"),
        ("SHOW MASTER STATUS", "GRANT "),
    ],
)
async def test_a_missing_grant_is_named(
    any_server: RealServer, database: str, sql: str, grant: str
) -> None:
    any_server.query(f"CREATE TABLE {database}.t (a int)")
    any_server.query("CREATE USER clerk@'127.0.0.1' IDENTIFIED BY 'x'")
    async with pool_of(any_server, user="clerk", password="x") as pool:
        with pytest.raises(MySQLError) as caught:
            await pool.execute(sql.format(database))
        assert caught.value.reason is Reason.MISSING_GRANT
        assert grant in str(caught.value.hint)


async def test_an_error_in_an_account_statement_does_not_repeat_the_password(
    any_server: RealServer,
) -> None:
    async with pool_of(any_server) as pool:
        with pytest.raises(MySQLError) as caught:
            await pool.execute("CREATE USER a@b IDENTIFIED WITH BY 'hunter2'")
        assert "hunter2" not in str(caught.value)


async def test_lock_waits_and_deadlocks_are_told_apart(
    any_server: RealServer, database: str
) -> None:
    any_server.script(
        "CREATE TABLE t (a int PRIMARY KEY, b int) ENGINE=InnoDB",
        "INSERT INTO t VALUES (1, 0), (2, 0)",
        database=database,
    )
    update = "UPDATE t SET b = b + 1 WHERE a = %s"
    async with pool_of(any_server, database=database) as pool:
        async with pool.session() as one, pool.session() as two:
            await two.execute("SET SESSION innodb_lock_wait_timeout = 1")
            two.drop_afterwards()
            async with one.transaction():
                await one.execute(update, (1,))
                with pytest.raises(MySQLError) as caught:
                    await two.execute(update, (1,))
                assert caught.value.reason is Reason.LOCK_WAIT
        async with pool.session() as one, pool.session() as two:
            await one.execute("BEGIN")
            await two.execute("BEGIN")
            await one.execute(update, (1,))
            await two.execute(update, (2,))
            outcomes = await asyncio.gather(
                one.execute(update, (2,)), two.execute(update, (1,)), return_exceptions=True
            )
        reasons = [error.reason for error in outcomes if isinstance(error, TabletdError)]
        assert reasons == [Reason.DEADLOCK]
