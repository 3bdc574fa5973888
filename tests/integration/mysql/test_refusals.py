"""What real servers refuse, at the door and after it: told apart, with what to do about it."""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest

from tabletd.errors import MySQLUnavailable, Reason, TabletdError
from tabletd.mysql.errors import ConnectionRefused, MySQLError
from tabletd.mysql.pool import Pool
from tabletd.mysql.settings import MySQLSettings
from tabletd.sandbox.servers import free_port
from tests.conftest import StartServer
from tests.support.pools import pool_of
from tests.support.servers import RealServer


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


@pytest.fixture
def mysql8(start_server: StartServer) -> RealServer:
    return start_server("mysql-8.0")


async def test_an_account_of_mysql_8_logs_in_over_tcp_by_default(mysql8: RealServer) -> None:
    server = mysql8
    server.query("CREATE USER clerk@'127.0.0.1' IDENTIFIED BY 'p\u00e4ssw\u00f6rd'")
    plugin = server.scalar("SELECT plugin FROM mysql.user WHERE user = 'clerk'")
    assert plugin == "caching_sha2_password"
    for _ in range(2):  # by the public key, then from the server's cache
        async with pool_of(server, user="clerk", password="p\u00e4ssw\u00f6rd") as pool:
            assert (await pool.execute("SELECT 1")).scalar() == 1
    async with pool_of(server, user="clerk", password="wrong") as pool:
        with pytest.raises(ConnectionRefused) as caught:
            await pool.execute("SELECT 1")
        assert caught.value.reason is Reason.MYSQL_ACCESS_DENIED


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


async def test_a_grant_that_was_missing_counts_from_the_next_statement_on(
    any_server: RealServer,
) -> None:
    any_server.query("CREATE USER clerk@'127.0.0.1' IDENTIFIED BY 'x'")
    async with pool_of(any_server, user="clerk", password="x", size_max=1) as pool:
        with pytest.raises(MySQLError):
            await pool.execute("SHOW MASTER STATUS")
        any_server.query("GRANT REPLICATION CLIENT ON *.* TO clerk@'127.0.0.1'")
        await pool.execute("SHOW MASTER STATUS")


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
