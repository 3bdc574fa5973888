"""Operators' statements on real servers of both flavours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tabletd.admin.tablet_admin import FetchOptions, TabletAdmin
from tabletd.errors import NotWritable, Reason, TabletdError
from tabletd.servicers.convert_status import (
    full_status_to_proto,
    permissions_to_proto,
    primary_status_to_proto,
    replication_status_to_proto,
    schema_to_proto,
)
from tabletd.tablet import TabletType
from tests.support.pools import pool_of
from tests.support.servers import Pair, RealServer
from tests.support.waiting import eventually

ANY = FetchOptions()


@asynccontextmanager
async def admin_of(
    server: RealServer, database: str, *, app_user: str = "root", app_password: str = ""
) -> AsyncGenerator[TabletAdmin]:
    async with (
        pool_of(server) as pool,
        pool_of(server, raw=True, size_max=2) as dba_pool,
        pool_of(server, raw=True, size_max=1, user=app_user, password=app_password) as app_pool,
    ):
        yield TabletAdmin(pool=pool, dba_pool=dba_pool, app_pool=app_pool, database=database)


@pytest.fixture
async def admin(any_server: RealServer, database: str) -> AsyncIterator[TabletAdmin]:
    any_server.query(
        "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(20)) CHARACTER SET utf8mb4",
        database=database,
    )
    any_server.query("INSERT INTO t VALUES (1, 'a'), (2, 'é'), (3, NULL)", database=database)
    async with admin_of(any_server, database) as made:
        yield made


def reason_of(caught: pytest.ExceptionInfo[TabletdError]) -> Reason:
    return caught.value.reason


async def test_a_statement_is_run_in_the_tablets_own_schema(admin: TabletAdmin) -> None:
    result = await admin.fetch_as_dba(b"SELECT id, name FROM t ORDER BY id", ANY)
    assert result.rows == [(b"1", b"a"), (b"2", "é".encode()), (b"3", None)]


async def test_another_schema_can_be_named_and_must_exist(
    admin: TabletAdmin, any_server: RealServer
) -> None:
    other = any_server.create_database()
    where = await admin.fetch_as_dba(b"SELECT DATABASE()", FetchOptions(database=other))
    assert where.rows == [(other.encode(),)]
    with pytest.raises(TabletdError) as caught:
        await admin.fetch_as_dba(b"SELECT 1", FetchOptions(database="nowhere`; DROP"))
    assert reason_of(caught) is Reason.TABLE_NOT_FOUND


async def test_the_tablets_own_schema_need_not_exist_yet(any_server: RealServer) -> None:
    async with admin_of(any_server, "not_there_yet") as admin:
        assert (await admin.fetch_as_dba(b"SELECT DATABASE()", ANY)).rows == [(None,)]


async def test_more_rows_than_asked_for_are_refused(admin: TabletAdmin) -> None:
    assert len((await admin.fetch_as_dba(b"SELECT * FROM t", FetchOptions(rows_max=3))).rows) == 3
    with pytest.raises(TabletdError) as caught:
        await admin.fetch_as_dba(b"SELECT * FROM t", FetchOptions(rows_max=2))
    assert reason_of(caught) is Reason.RESULT_TOO_LARGE


async def test_a_session_that_a_statement_changed_is_not_used_again(admin: TabletAdmin) -> None:
    await admin.fetch_as_dba(b"SET SESSION sql_mode = 'ANSI', @mine = 1", ANY)
    assert (await admin.fetch_as_dba(b"SELECT @mine", ANY)).rows == [(None,)]


async def test_foreign_keys_are_checked_unless_it_is_said(
    admin: TabletAdmin, any_server: RealServer, database: str
) -> None:
    any_server.script(
        "CREATE TABLE p (id INT PRIMARY KEY) ENGINE=InnoDB",
        "CREATE TABLE c (id INT, FOREIGN KEY (id) REFERENCES p (id)) ENGINE=InnoDB",
        database=database,
    )
    with pytest.raises(TabletdError):
        await admin.fetch_as_dba(b"INSERT INTO c VALUES (1)", ANY)
    without = FetchOptions(disable_foreign_key_checks=True)
    assert (await admin.fetch_as_dba(b"INSERT INTO c VALUES (1)", without)).rows_affected == 1


async def test_a_statement_can_be_kept_out_of_the_binary_log(
    admin: TabletAdmin, any_server: RealServer
) -> None:
    before = any_server.gtid_executed()
    await admin.fetch_as_dba(b"INSERT INTO t VALUES (4, 'x')", FetchOptions(disable_binlogs=True))
    assert any_server.gtid_executed() == before
    await admin.fetch_as_dba(b"INSERT INTO t VALUES (5, 'x')", ANY)
    assert any_server.gtid_executed() != before


async def test_several_statements_run_in_order_and_stop_at_the_first_error(
    admin: TabletAdmin, any_server: RealServer, database: str
) -> None:
    sql = (
        b"CREATE TABLE u (a TEXT); INSERT INTO u VALUES ('x;y'), (\"--\"); SELECT COUNT(*) FROM u;"
    )
    created, inserted, counted = await admin.fetch_multi_as_dba(sql, ANY)
    assert (created.rows_affected, inserted.rows_affected, counted.rows) == (0, 2, [(b"2",)])
    with pytest.raises(TabletdError):
        await admin.fetch_multi_as_dba(b"DELETE FROM u; nonsense; DROP TABLE u", ANY)
    assert any_server.query("SELECT COUNT(*) FROM u", database=database) == [(0,)]


async def test_all_answers_together_are_no_larger_than_a_message(admin: TabletAdmin) -> None:
    megabyte = "SELECT REPEAT('x', 1048576)"
    with pytest.raises(TabletdError) as caught:
        await admin.fetch_multi_as_dba("; ".join([megabyte] * 17).encode(), ANY)
    assert reason_of(caught) is Reason.RESULT_TOO_LARGE
    assert len(await admin.fetch_multi_as_dba("; ".join([megabyte] * 16).encode(), ANY)) == 16


@pytest.mark.parametrize("sql", [b"", b"  \n "])
async def test_an_empty_statement_is_refused(
    mariadb: RealServer, database: str, sql: bytes
) -> None:
    async with admin_of(mariadb, database) as admin:
        for call in (
            admin.fetch_as_dba(sql, ANY),
            admin.fetch_multi_as_dba(sql, ANY),
            admin.fetch_as_app(sql, 0),
            admin.execute_query(sql.decode(), {}),
        ):
            with pytest.raises(TabletdError) as caught:
                await call
            assert reason_of(caught) is Reason.INVALID_REQUEST


async def test_bind_variables_are_values_whatever_is_in_them(admin: TabletAdmin) -> None:
    awkward = "'; DROP TABLE t; -- \\ % \" ` \0 \N{PILE OF POO} é"
    result = await admin.execute_query(
        "SELECT :v, ':v', 5 % 3, id FROM t WHERE id IN ::ids AND name <=> :n",
        {"v": awkward, "ids": [1, 2, 3], "n": None},
    )
    assert result.rows == [(awkward.encode(), b":v", b"2", b"3")]


async def test_bind_variables_are_read_as_the_servers_sql_mode_reads_quotes(
    admin: TabletAdmin, any_server: RealServer
) -> None:
    any_server.query("SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES'")
    result = await admin.execute_query("SELECT '\\', :v", {"v": "a\\'b"})
    assert result.rows == [(b"\\", b"a\\'b")]


async def test_more_rows_than_the_limit_of_a_query_are_refused(admin: TabletAdmin) -> None:
    with pytest.raises(TabletdError) as caught:
        await admin.execute_query("SELECT * FROM t", {}, rows_max=1)
    assert reason_of(caught) is Reason.RESULT_TOO_LARGE


async def test_a_query_writes_nothing_under_read_only_even_with_all_privileges(
    admin: TabletAdmin, any_server: RealServer
) -> None:
    await admin.set_read_only(True)
    before = any_server.gtid_executed()
    for sql in ("INSERT INTO t VALUES (9, 'x')", "CREATE TABLE v (id INT)", "DROP TABLE t"):
        with pytest.raises(NotWritable):
            await admin.execute_query(sql, {})
    assert len((await admin.execute_query("SELECT * FROM t", {})).rows) == 3
    await admin.set_read_only(False)
    assert any_server.gtid_executed() == before
    assert (await admin.execute_query("INSERT INTO t VALUES (9, 'x')", {})).rows_affected == 1


async def test_the_app_account_has_its_own_rights(any_server: RealServer, database: str) -> None:
    any_server.script(
        "CREATE USER app@'127.0.0.1' IDENTIFIED BY 'app-secret'",
        f"GRANT SELECT ON {database}.* TO app@'127.0.0.1'",
        f"CREATE TABLE {database}.t (id INT)",
    )
    async with admin_of(any_server, database, app_user="app", app_password="app-secret") as admin:
        who = await admin.fetch_as_app(b"SELECT CURRENT_USER()", 0)
        assert who.rows == [(b"app@127.0.0.1",)]
        with pytest.raises(TabletdError) as caught:
            await admin.fetch_as_app(b"INSERT INTO t VALUES (1)", 0)
        assert reason_of(caught) is Reason.MISSING_GRANT
        assert "INSERT" in str(caught.value)


async def test_a_statement_ends_on_the_server_when_its_caller_goes_away(
    admin: TabletAdmin, any_server: RealServer
) -> None:
    running = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'"
    call = asyncio.ensure_future(admin.fetch_as_dba(b"SELECT SLEEP(60)", ANY))
    await eventually(lambda: any_server.scalar(running) == 1)
    call.cancel()
    await eventually(lambda: any_server.scalar(running) == 0)
    assert call.cancelled()


async def test_a_statement_of_a_megabyte_passes(admin: TabletAdmin) -> None:
    text = "x" * (1 << 20)
    result = await admin.fetch_as_dba(f"SELECT LENGTH('{text}')".encode(), ANY)
    assert result.rows == [(b"1048576",)]


async def test_the_schema_is_described_with_its_tables(admin: TabletAdmin, database: str) -> None:
    schema = schema_to_proto(
        await admin.schema(
            tables=[], exclude_tables=[], include_views=False, table_schema_only=False
        )
    )
    (table,) = schema.table_definitions
    assert (table.name, list(table.columns)) == ("t", ["id", "name"])
    assert list(table.primary_key_columns) == ["id"]
    assert [field.name for field in table.fields] == ["id", "name"]
    assert "{{.DatabaseName}}" in schema.database_schema


async def test_a_primary_and_its_replica_tell_their_positions(any_pair: Pair) -> None:
    # A MariaDB that nothing was written to since its reset has no GTID yet.
    any_pair.primary.create_database()
    any_pair.catch_up()
    async with (
        admin_of(any_pair.primary, "shop") as primary,
        admin_of(any_pair.replica, "shop") as replica,
    ):
        position = primary_status_to_proto(await primary.primary_status()).position
        assert position.startswith("MariaDB/" if any_pair.primary.is_mariadb else "MySQL56/")
        status = replication_status_to_proto(await replica.replication_status())
        assert (status.io_state, status.sql_state) == (3, 3)
        assert status.io_thread_running
        assert status.sql_thread_running
        assert status.source_port == any_pair.primary.port
        full = full_status_to_proto(await replica.full_status(), TabletType.REPLICA)
        assert full.HasField("replication_status")
        assert full.read_only
        with pytest.raises(TabletdError) as caught:
            await primary.replication_status()
        assert reason_of(caught) is Reason.REPLICATION_NOT_RUNNING
        whole = full_status_to_proto(await primary.full_status(), TabletType.PRIMARY)
        assert not whole.HasField("replication_status")


async def test_there_are_no_recent_migrations_before_there_is_a_queue(admin: TabletAdmin) -> None:
    assert await admin.recent_migrations() == []


async def test_the_accounts_are_told_without_their_passwords(
    admin: TabletAdmin, any_server: RealServer, database: str
) -> None:
    any_server.script(
        "CREATE USER teller@localhost IDENTIFIED BY 'Tell-me-9'",
        f"GRANT SELECT ON `{database}`.* TO teller@localhost",
    )
    try:
        told = permissions_to_proto(await admin.permissions())
    finally:
        any_server.script("DROP USER teller@localhost")
    (user,) = [one for one in told.user_permissions if one.user == "teller"]
    assert user.host == "localhost"
    assert user.password_checksum != 0
    assert user.privileges["Super_priv"] == "N"
    assert not {"Password", "authentication_string"} & set(user.privileges)
    (granted,) = [one for one in told.db_permissions if one.user == "teller"]
    assert granted.db.replace("\\", "") == database
    assert granted.privileges["Select_priv"] == "Y"


async def test_a_position_is_waited_for_until_it_is_applied(
    admin: TabletAdmin, any_server: RealServer
) -> None:
    position = (await admin.primary_status()).position
    if position.startswith("FilePos/"):
        with pytest.raises(TabletdError, match="is not one of") as caught:
            await admin.wait_for_position(position)
        assert reason_of(caught) is Reason.INVALID_REQUEST
        return
    await admin.wait_for_position(position)
    other = "MySQL56" if any_server.is_mariadb else "MariaDB"
    with pytest.raises(TabletdError, match="is not one of"):
        await admin.wait_for_position(f"{other}/0-1-1")
