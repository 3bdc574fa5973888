"""A table against its altered copy: every row that differs is named, nothing else is."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.executor import ddl
from tabletd.executor.verify import RowKey, VerifyOptions, drop_scratch, open_comparison
from tabletd.executor.verify import comparison as comparison_module
from tests.support.pools import pool_of
from tests.support.servers import RealServer
from tests.support.two_tables import TwoTables, compare

ORDERS = (
    "id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, code VARCHAR(40) NOT NULL, amount DECIMAL(12,2)"
    " NOT NULL, note VARCHAR(120), UNIQUE KEY (code)"
)
WIDER = "MODIFY note VARCHAR(200), ADD COLUMN extra INT NOT NULL DEFAULT 7"
KEYS = {
    "two numbers": "a INT NOT NULL, b BIGINT UNSIGNED NOT NULL, PRIMARY KEY (a, b)",
    "text": "a VARCHAR(40) NOT NULL PRIMARY KEY, b INT",
    "latin text": "a VARCHAR(40) CHARACTER SET latin1 NOT NULL PRIMARY KEY, b INT",
    "bytes": "a BINARY(16) NOT NULL PRIMARY KEY, b INT",
    "choice and number": "a ENUM('z','y','x') NOT NULL, b INT NOT NULL, PRIMARY KEY (a, b)",
    "moment": "a DATETIME(6) NOT NULL, b INT NOT NULL, PRIMARY KEY (b, a)",
    "timestamp": "a TIMESTAMP(3) NOT NULL DEFAULT '2020-01-01', b INT NOT NULL, PRIMARY KEY (a, b)",
    "decimal": "a DECIMAL(10,2) NOT NULL PRIMARY KEY, b INT",
    "double": "a DOUBLE NOT NULL PRIMARY KEY, b INT",
    "not the primary": "a INT NOT NULL, b INT NOT NULL, UNIQUE KEY (b)",
    "a beginning": "a VARCHAR(40) NOT NULL, b INT NOT NULL, PRIMARY KEY (a(8), b)",
}
VALUES = {
    "text": "CONCAT('kä', n)",
    "latin text": "CONCAT('kä', n)",
    "bytes": "UNHEX(MD5(n))",
    "choice and number": "1 + n % 3",
    "moment": "TIMESTAMPADD(MICROSECOND, n * 977, '2024-01-01')",
    "timestamp": "TIMESTAMPADD(SECOND, n * 977, '2024-01-01')",
    "decimal": "n / 4",
    "double": "n / 7",
    "a beginning": "CONCAT('long enough ', n)",
}


def numbers(count: int) -> str:
    digits = (
        "(SELECT 0 d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5"
    )
    digits += " UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)"
    places = [f"{digits} d{place}" for place in range(4)]
    sum_ = " + ".join(f"d{place}.d * {10**place}" for place in range(4))
    return f"(SELECT {sum_} AS n FROM {' JOIN '.join(places)} HAVING n < {count}) numbers"


def orders(server: RealServer, database: str, rows: int = 3000, alter: str = WIDER) -> TwoTables:
    tables = TwoTables(server, database, ORDERS, alter)
    tables.loosely(
        "INSERT INTO t SELECT n + 1, CONCAT('code ', n), n / 8, IF(n % 3, CONCAT('note ', n), NULL)"
        f" FROM {numbers(rows)}"
    )
    tables.alter_copy()
    return tables


async def test_rows_that_are_alike_are_equal_and_nothing_is_left(
    any_server: RealServer, database: str
) -> None:
    tables = orders(any_server, database)
    assert await compare(tables) == []
    assert tables.names == {"t", "t_new"}


async def test_a_lost_a_surplus_and_a_changed_row_are_named(
    any_server: RealServer, database: str
) -> None:
    tables = orders(any_server, database)
    tables.loosely(
        "DELETE FROM t_new WHERE id = 3000",
        "UPDATE t_new SET amount = amount + 0.01, note = 'x' WHERE id = 1500",
        "INSERT INTO t_new (id, code, amount) VALUES (9000, 'nobody ordered it', 1)",
        "UPDATE t_new SET note = '' WHERE id = 1",
    )
    assert sorted(map(str, await compare(tables))) == [
        "id = 1500: differs in amount, note",
        "id = 1: differs in note",
        "id = 3000: lost",
        "id = 9000: only in the new table",
    ]


async def test_values_that_changed_places_are_found(any_server: RealServer, database: str) -> None:
    tables = orders(any_server, database)
    tables.loosely(
        "UPDATE t_new a JOIN t_new b ON a.id + b.id = 21 AND a.id IN (10, 11)"
        " JOIN (SELECT id, note FROM t) c ON c.id = b.id SET a.note = c.note"
    )
    assert [row.key.values for row in await compare(tables)] == [(10,), (11,)]


@pytest.mark.parametrize("name", KEYS)
async def test_along_any_key_every_row_is_compared(
    any_server: RealServer, database: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison_module, "_ROWS_FIRST", 7)
    monkeypatch.setattr(comparison_module, "_ROWS_MIN", 7)
    monkeypatch.setattr(comparison_module, "_ROWS_MAX", 7)
    tables = TwoTables(any_server, database, KEYS[name], "ADD COLUMN extra INT NOT NULL DEFAULT 7")
    tables.loosely(f"INSERT INTO t SELECT {VALUES.get(name, 'n % 3')}, n FROM {numbers(40)}")
    tables.alter_copy()
    assert await compare(tables) == []
    for row in (0, 6, 7, 20, 39):
        tables.loosely(f"DELETE FROM t_new WHERE b = {row}")
    found = await compare(tables)
    assert [row.new for row in found] == [None] * 5, found
    async with pool_of(any_server) as pool:
        opening = open_comparison(pool, tables.migration, ddl.parse(tables.statement), "t", "t_new")
        async with opening as comparison:
            assert await comparison.look([row.key for row in found]) == tuple(found)
            tables.loosely("DELETE FROM t WHERE b = 20")
            assert len(await comparison.look([row.key for row in found])) == 4


async def test_two_rows_that_a_type_change_makes_one_are_named(
    any_server: RealServer, database: str
) -> None:
    columns = "id INT NOT NULL PRIMARY KEY, code VARCHAR(20) NOT NULL, UNIQUE KEY (code)"
    tables = TwoTables(any_server, database, columns, "MODIFY code INT NOT NULL")
    tables.loosely(
        "INSERT INTO t VALUES (1, '007'), (2, '7'), (3, '8')",
        "CREATE TABLE t_new LIKE t",
        "ALTER TABLE t_new MODIFY code INT NOT NULL",
        "INSERT IGNORE INTO t_new SELECT * FROM t",
    )
    (lost,) = await compare(tables)
    assert str(lost) in ("id = 1: lost", "id = 2: lost")


@pytest.mark.parametrize(
    ("key", "converted", "values", "lost"),
    [
        ("DECIMAL(8,2)", "INT", "(1.10,'a'), (1.20,'a'), (2.60,'b'), (7,'c')", ["id = 1.20: lost"]),
        ("VARCHAR(9)", "INT", "('007','a'), ('7','b'), ('10','c')", ["id = '7': lost"]),
        (
            "VARCHAR(9) COLLATE utf8mb4_bin",
            "VARCHAR(9) COLLATE utf8mb4_general_ci",
            "('a','a'), ('A','b'), ('z','c'), ('B','d')",
            ["id = 'a': lost"],
        ),
        ("DATETIME(3)", "DATETIME", "('2024-01-01 00:00:00.1','a'), ('2024-01-01','b')", None),
    ],
)
async def test_two_rows_whose_keys_a_type_change_makes_one_are_named(
    any_server: RealServer,
    database: str,
    key: str,
    converted: str,
    values: str,
    lost: list[str] | None,
) -> None:
    columns = f"id {key} NOT NULL PRIMARY KEY, name VARCHAR(9)"
    tables = TwoTables(any_server, database, columns, f"MODIFY id {converted} NOT NULL")
    tables.loosely(
        f"INSERT INTO t VALUES {values}",
        "CREATE TABLE t_new LIKE t",
        f"ALTER TABLE t_new MODIFY id {converted} NOT NULL",
        "INSERT IGNORE INTO t_new SELECT * FROM t",
    )
    found = [str(row) for row in await compare(tables)]
    assert len(found) == 1, found
    if lost is not None:
        assert found == lost


async def test_a_key_in_another_order_is_compared_as_a_whole(
    any_server: RealServer, database: str
) -> None:
    columns = "id VARCHAR(9) NOT NULL PRIMARY KEY, name VARCHAR(9)"
    tables = TwoTables(any_server, database, columns, "MODIFY id INT NOT NULL")
    tables.loosely(f"INSERT INTO t SELECT LPAD(n, 5, '0'), n FROM {numbers(600)}")
    tables.alter_copy()
    assert await compare(tables) == []
    tables.loosely("DELETE FROM t_new WHERE id = 77", "UPDATE t_new SET name = 'x' WHERE id = 5")
    assert sorted(map(str, await compare(tables))) == [
        "id = '00005': differs in name",
        "id = '00077': lost",
    ]


async def test_columns_are_compared_under_their_new_names_and_those_without_a_past_are_not(
    any_server: RealServer, database: str
) -> None:
    columns = (
        "id INT NOT NULL PRIMARY KEY, `a%s` INT, gone INT, again INT,"
        " sum INT AS (`a%s` + 1) VIRTUAL"
    )
    alter = (
        "CHANGE `a%s` `b``%` BIGINT, DROP COLUMN gone, DROP again, ADD COLUMN again INT DEFAULT 4,"
        " DROP COLUMN sum, ADD COLUMN twice INT AS (id * 2) STORED"
    )
    tables = TwoTables(any_server, database, columns, alter)
    tables.loosely(f"INSERT INTO t (id, `a%s`, gone, again) SELECT n, n, n, n FROM {numbers(50)}")
    tables.loosely(
        "CREATE TABLE t_new (id INT NOT NULL PRIMARY KEY, `b``%` BIGINT, again INT DEFAULT 4,"
        " twice INT AS (id * 2) STORED)",
        "INSERT INTO t_new (id, `b``%`) SELECT id, `a%s` FROM t",
    )
    assert await compare(tables) == []
    tables.loosely("UPDATE t_new SET `b``%` = -1 WHERE id = 9")
    assert [str(row) for row in await compare(tables)] == ["id = 9: differs in b`%"]


async def test_a_value_that_does_not_fit_is_told_in_the_servers_words(
    any_server: RealServer, database: str
) -> None:
    columns = "id INT NOT NULL PRIMARY KEY, code VARCHAR(20)"
    tables = TwoTables(any_server, database, columns, "MODIFY code INT")
    tables.loosely("INSERT INTO t VALUES (1, '5'), (2, 'none'), (3, '06')")
    tables.alter_copy()
    (found,) = await compare(tables)
    assert found.key == RowKey(("id",), (2,))
    assert "Incorrect integer value: 'none'" in str(found)


async def test_null_differs_from_a_default_unless_that_is_wanted(
    any_server: RealServer, database: str
) -> None:
    columns = "id INT NOT NULL PRIMARY KEY, a INT, b VARCHAR(9), c ENUM('x','y'), d DATE"
    alter = "MODIFY a INT NOT NULL, MODIFY b VARCHAR(9) NOT NULL, MODIFY c ENUM('x','y') NOT NULL,"
    tables = TwoTables(any_server, database, columns, f"{alter} MODIFY d DATE NOT NULL")
    tables.loosely(
        "INSERT INTO t (id) VALUES (1)",
        "CREATE TABLE t_new LIKE t",
        f"{tables.statement.replace('TABLE t ', 'TABLE t_new ')}",
        "INSERT IGNORE INTO t_new SELECT * FROM t",
    )
    assert [str(row) for row in await compare(tables)] == ["id = 1: differs in a, b, c, d"]
    assert await compare(tables, VerifyOptions(null_to_default=True)) == []


async def test_a_comparison_goes_on_behind_its_last_chunk(
    mariadb: RealServer, database: str
) -> None:
    tables = orders(mariadb, database)
    tables.loosely("DELETE FROM t_new WHERE id IN (5, 2500)")
    async with pool_of(mariadb) as pool:
        opening = open_comparison(pool, tables.migration, ddl.parse(tables.statement), "t", "t_new")
        async with opening as comparison:
            chunks = [chunk async for chunk in comparison.chunks()]
            assert sum(chunk.rows for chunk in chunks) == 3000
            assert len(chunks) > 1
            assert chunks[0].last is not None
            last = RowKey.from_json(chunks[0].last.to_json())
            rest = [chunk async for chunk in comparison.chunks(last)]
    assert [str(row) for chunk in rest for row in chunk.differences] == ["id = 2500: lost"]
    assert sum(chunk.rows for chunk in rest) == 3000 - chunks[0].rows


async def test_more_differences_than_are_told_are_said_to_be_more(
    mariadb: RealServer, database: str
) -> None:
    tables = orders(mariadb, database, rows=50)
    tables.loosely("DELETE FROM t_new WHERE id > 10")
    options = VerifyOptions(differences_max=3)
    async with pool_of(mariadb) as pool:
        statement = ddl.parse(tables.statement)
        opening = open_comparison(pool, tables.migration, statement, "t", "t_new", options)
        async with opening as comparison:
            (chunk,) = [chunk async for chunk in comparison.chunks()]
    assert chunk.too_many
    assert len(chunk.differences) == 3


async def test_tables_without_a_common_key_are_refused(
    any_server: RealServer, database: str
) -> None:
    columns = "id INT NOT NULL PRIMARY KEY, a INT"
    tables = TwoTables(any_server, database, columns, "DROP COLUMN id")
    tables.loosely("CREATE TABLE t_new (a INT)")
    with pytest.raises(TabletdError, match="cannot be compared") as caught:
        await compare(tables)
    assert caught.value.reason is Reason.PREFLIGHT_REFUSED


async def test_what_triggers_keep_equal_is_equal_in_every_snapshot(
    any_server: RealServer, database: str
) -> None:
    """As pt-online-schema-change's triggers do, under writes that never pause."""
    tables = orders(any_server, database, rows=500, alter="MODIFY note VARCHAR(90)")
    any_server.query("SET GLOBAL log_bin_trust_function_creators = 1")
    new = "NEW.id, NEW.code, NEW.amount, NEW.note"
    tables.loosely(
        f"CREATE TRIGGER a AFTER INSERT ON t FOR EACH ROW REPLACE INTO t_new VALUES ({new})",
        f"CREATE TRIGGER b AFTER UPDATE ON t FOR EACH ROW REPLACE INTO t_new VALUES ({new})",
        "CREATE TRIGGER c AFTER DELETE ON t FOR EACH ROW DELETE FROM t_new WHERE id = OLD.id",
    )
    writes = 0

    async def write() -> None:
        nonlocal writes
        async with pool_of(any_server, database=database) as pool:
            while True:
                number = writes % 400 + 1
                await pool.execute("UPDATE t SET amount = amount + 1 WHERE id = %s", (number,))
                await pool.execute("DELETE FROM t WHERE id = %s", (number + 7,))
                await pool.execute("INSERT INTO t (code, amount) VALUES (%s, 1)", (f"w{writes}",))
                writes += 1

    async with asyncio.TaskGroup() as tasks:
        writer = tasks.create_task(write())
        for _ in range(5):
            assert await compare(tables) == []
        writer.cancel()
    assert writes > 5


async def test_converted_values_never_get_into_the_binary_log(
    any_server: RealServer, database: str
) -> None:
    any_server.query("SET GLOBAL binlog_format = 'STATEMENT'")
    columns = "id INT NOT NULL PRIMARY KEY, code VARCHAR(20)"
    tables = TwoTables(any_server, database, columns, "MODIFY code INT")
    tables.loosely("INSERT INTO t VALUES (1, '05'), (2, '06')")
    tables.alter_copy()
    before = any_server.gtid_executed()
    assert await compare(tables) == []
    file = any_server.query("SHOW MASTER STATUS")[0][0]
    events = [str(row[5]) for row in any_server.query(f"SHOW BINLOG EVENTS IN '{file}'")]
    scratch = [event for event in events if f"{database}`.`_vt_drp_" in event]
    assert len(scratch) == 4, scratch
    assert all("CREATE TABLE" in event or "DROP TABLE" in event for event in scratch)
    assert any_server.gtid_executed() != before


async def test_scratch_tables_of_a_daemon_that_was_killed_are_dropped_by_the_next(
    mariadb: RealServer, database: str
) -> None:
    tables = orders(mariadb, database, rows=10)
    async with pool_of(mariadb) as pool:
        statement = ddl.parse(tables.statement)
        first = open_comparison(pool, tables.migration, statement, "t", "t_new")
        comparison = await first.__aenter__()
        async for _ in comparison.chunks():
            pass
        assert len(tables.names) == 4
        other = replace(tables.migration, id=8)
        for migration, left in ((other, 4), (tables.migration, 2)):
            async with open_comparison(pool, migration, statement, "t", "t_new") as comparison:
                async for _ in comparison.chunks():
                    pass
            assert len(tables.names) == left
        await first.__aexit__(None, None, None)


async def test_scratch_tables_are_dropped_by_the_number_of_their_migration(
    any_server: RealServer, database: str
) -> None:
    tables = orders(any_server, database, rows=10)
    async with pool_of(any_server) as pool:
        opening = open_comparison(pool, tables.migration, ddl.parse(tables.statement), "t", "t_new")
        async with opening as comparison:
            async for _ in comparison.chunks():
                assert len(tables.names) == 4
            async with pool.session() as session:
                await drop_scratch(session, database, migration_id=8)
                assert len(tables.names) == 4
                await drop_scratch(session, database, tables.migration.id)
                assert tables.names == {"t", "t_new"}
