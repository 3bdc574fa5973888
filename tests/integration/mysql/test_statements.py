"""Values on their way to real servers, and answers on their way back."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.mysql.errors import MySQLError
from tests.support.pools import pool_of
from tests.support.servers import RealServer


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


async def test_the_rest_of_a_procedure_is_held_to_the_limits_too(
    any_server: RealServer, database: str
) -> None:
    any_server.query(
        f"CREATE PROCEDURE {database}.two() BEGIN SELECT 1; SELECT 2 UNION SELECT 3; END"
    )
    async with pool_of(any_server, size_max=1) as pool:
        assert (await pool.execute(f"CALL {database}.two()", rows_max=2)).rows == [(1,)]
        with pytest.raises(TabletdError) as caught:
            await pool.execute(f"CALL {database}.two()", rows_max=1)
        assert caught.value.reason is Reason.RESULT_TOO_LARGE
        assert (await pool.execute("SELECT 3")).rows == [(3,)]


async def test_text_bytes_and_numbers_are_told_apart(any_server: RealServer, database: str) -> None:
    any_server.script(
        "CREATE TABLE t (j json, g point, b bit(9), v varbinary(3),"
        " c varchar(3) COLLATE utf8mb4_bin, e enum('\u00e9'), t time(3),"
        " d datetime(6), z date, y year, n decimal(5,2), f float)",
        "SET sql_mode = ''",
        "INSERT INTO t VALUES ('[1]', POINT(1, 2), 257, 'a', '\u00e9', '\u00e9', '-1:02:03.5',"
        " '2024-02-29 01:02:03.000004', '0000-00-00', 2024, 1.50, 0.5)",
        database=database,
    )
    async with pool_of(any_server, database=database) as pool:
        row = (await pool.execute("SELECT * FROM t")).one()
    assert row is not None
    point = row.pop("g")
    assert isinstance(point, bytes)
    assert len(point) == 25
    assert row == {
        "j": "[1]",
        "b": 257,
        "v": b"a",
        "c": "\u00e9",
        "e": "\u00e9",
        "t": "-01:02:03.500",
        "d": datetime(2024, 2, 29, 1, 2, 3, 4),
        "z": "0000-00-00",
        "y": 2024,
        "n": Decimal("1.50"),
        "f": 0.5,
    }


async def test_counts_and_insert_id_are_told(any_server: RealServer, database: str) -> None:
    any_server.query(f"CREATE TABLE {database}.t (id int AUTO_INCREMENT PRIMARY KEY, a int)")
    async with pool_of(any_server, database=database) as pool:
        inserted = await pool.execute("INSERT INTO t (a) VALUES (1), (1), (2)")
        assert (inserted.rows_affected, inserted.insert_id) == (3, 1)
        assert inserted.info == "Records: 3  Duplicates: 0  Warnings: 0"
        updated = await pool.execute("UPDATE t SET a = 2")
        assert (updated.rows_affected, updated.info) == (
            2,
            "Rows matched: 3  Changed: 2  Warnings: 0",
        )


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
