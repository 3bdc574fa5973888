"""Old values against new definitions: what the server itself converts is equal, all else is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.support.servers import RealServer
from tests.support.two_tables import TwoTables, compare


@dataclass(frozen=True)
class Change:
    """A column that gets another definition.

    Attributes:
        old: its definition.
        new: the one that it gets.
        values: literals for the old column.
        other: a literal that the new column has in no row.
    """

    old: str
    new: str
    values: tuple[str, ...]
    other: str


_TEXTS: Final = ("'a'", "'7'", "'  b '", "'äöü€'", "''", "'a''b'")
_CHANGES: Final = {
    "int to bigint": Change("INT", "BIGINT", ("-5", "0", "2147483647"), "6"),
    "int to unsigned": Change("INT", "BIGINT UNSIGNED", ("5", "0", "2147483647"), "6"),
    "int to zerofill": Change("INT", "INT(10) UNSIGNED ZEROFILL", ("5", "0", "77"), "6"),
    "zerofill to int": Change("INT(6) UNSIGNED ZEROFILL", "BIGINT", ("5", "0", "77"), "6"),
    "int to text": Change("INT", "VARCHAR(20)", ("-5", "0", "77"), "'05'"),
    "zerofill to text": Change("INT(6) ZEROFILL", "VARCHAR(20)", ("5", "0", "77"), "'5'"),
    "int to decimal": Change("INT", "DECIMAL(14,3)", ("-5", "0", "77"), "77.001"),
    "int to double": Change("BIGINT", "DOUBLE", ("-5", "0", "77"), "6"),
    "int to float": Change("INT", "FLOAT", ("16777217", "0", "77"), "6"),
    "int to enum": Change("INT", "ENUM('a','b')", ("1", "2", "1"), "''"),
    "int to year": Change("INT", "YEAR", ("1999", "2024", "2000"), "2001"),
    "bit to int": Change("BIT(5)", "INT", ("b'10101'", "0", "1"), "6"),
    "int to bit": Change("INT", "BIT(6)", ("21", "0", "1"), "b'110'"),
    "decimal, longer": Change("DECIMAL(8,2)", "DECIMAL(12,4)", ("1.5", "-99.99", "0"), "1.5001"),
    "decimal, shorter": Change("DECIMAL(8,4)", "DECIMAL(8,2)", ("1.555", "-1.5549", "0"), "1.57"),
    "decimal to int": Change("DECIMAL(8,2)", "INT", ("1.5", "2.5", "-0.49"), "7"),
    "decimal to text": Change("DECIMAL(8,2)", "VARCHAR(20)", ("1.5", "2", "-0.49"), "'1.5'"),
    "double to float": Change("DOUBLE", "FLOAT", ("0.1", "1e10", "-2.5"), "0.2"),
    "float to double": Change("FLOAT", "DOUBLE", ("0.1", "1e10", "-2.5"), "0.1"),
    "double to decimal": Change("DOUBLE", "DECIMAL(20,4)", ("0.1", "1e10", "-2.5"), "0.2"),
    "double to int": Change("DOUBLE", "BIGINT", ("0.5", "1.5", "-2.5"), "6"),
    "float to text": Change("FLOAT", "VARCHAR(40)", ("0.1", "1e10", "-2.5"), "'x'"),
    "same float": Change("FLOAT", "FLOAT NOT NULL", ("0.1", "16777216", "3.4e38"), "0.10001"),
    "text to int": Change("VARCHAR(20)", "INT", ("'007'", "' 8'", "'-9'"), "6"),
    "text to decimal": Change("VARCHAR(20)", "DECIMAL(8,2)", ("'1.5'", "'2'", "'-0.490'"), "6"),
    "text to double": Change("VARCHAR(20)", "DOUBLE", ("'1.50'", "'2e3'", "'-0.490'"), "6"),
    "text, longer": Change("VARCHAR(20)", "VARCHAR(200)", _TEXTS, "'A'"),
    "varchar to text": Change("VARCHAR(20)", "MEDIUMTEXT", _TEXTS, "'A'"),
    "text to varchar": Change("TEXT", "VARCHAR(30)", _TEXTS, "'A'"),
    "varchar to char": Change("VARCHAR(20)", "CHAR(30)", _TEXTS, "'A'"),
    "char to varchar": Change("CHAR(20)", "VARCHAR(30)", _TEXTS, "'A'"),
    "latin1 to utf8mb4": Change(
        "VARCHAR(20) CHARACTER SET latin1", "VARCHAR(20) CHARACTER SET utf8mb4", _TEXTS, "'ä?ü€'"
    ),
    "utf8mb4 to latin1": Change(
        "TEXT CHARACTER SET utf8mb4", "VARCHAR(20) CHARACTER SET latin1", _TEXTS, "'?'"
    ),
    "utf8mb4 to utf16": Change(
        "VARCHAR(20)", "VARCHAR(20) CHARACTER SET utf16", (*_TEXTS, "'🐬'"), "'?'"
    ),
    "other collation": Change("VARCHAR(20)", "VARCHAR(20) COLLATE utf8mb4_bin", _TEXTS, "'A'"),
    "text to binary": Change("VARCHAR(20) CHARACTER SET latin1", "VARBINARY(40)", _TEXTS, "'A'"),
    "binary to text": Change("VARBINARY(20)", "VARCHAR(40)", ("'a'", "'ä'", "''"), "'A'"),
    "varbinary to binary": Change("VARBINARY(4)", "BINARY(6)", ("'a'", "X'00'", "''"), "'A'"),
    "blob, longer": Change("BLOB", "LONGBLOB", ("X'001FFF'", "''", "'a'"), "X'00'"),
    "text to enum": Change(
        "VARCHAR(9)", "ENUM('red','blue','1')", ("'red'", "'BLUE'", "'2'"), "'1'"
    ),
    "enum to text": Change("ENUM('red','blue')", "VARCHAR(9)", ("'red'", "'blue'", "1"), "'Red'"),
    "enum, other order": Change(
        "ENUM('red','blue')", "ENUM('green','blue','red')", ("'red'", "'blue'", "1"), "'green'"
    ),
    "enum to int": Change("ENUM('5','3')", "INT", ("'5'", "'3'", "1"), "9"),
    "set, more": Change("SET('a','b')", "SET('a','c','b')", ("'a,b'", "''", "'b'"), "'c'"),
    "set to text": Change("SET('a','b')", "VARCHAR(9)", ("'a,b'", "''", "'b'"), "'b,a'"),
    "date to datetime": Change("DATE", "DATETIME(3)", ("'2024-02-29'",), "'2024-1-1'"),
    "datetime, finer": Change(
        "DATETIME", "DATETIME(6)", ("'2024-02-29 01:02:03'", "'1000-01-01'"), "'2024-1-1 0:0:0.1'"
    ),
    "datetime, coarser": Change(
        "DATETIME(6)",
        "DATETIME",
        ("'2024-02-29 01:02:03.5'", "'2024-02-29 23:59:59.9'"),
        "'2024-1-1'",
    ),
    "datetime to date": Change(
        "DATETIME(3)", "DATE", ("'2024-02-29 01:02:03.5'", "'1000-01-01'"), "'2024-1-1'"
    ),
    "datetime to text": Change(
        "DATETIME(3)", "VARCHAR(40)", ("'2024-02-29 01:02:03.5'", "'1000-01-01'"), "'2024-1-1'"
    ),
    "text to datetime": Change(
        "VARCHAR(40)", "DATETIME", ("'2024-2-29 1:2:3'", "'1000-01-01'"), "'2024-1-1'"
    ),
    "datetime to timestamp": Change(
        "DATETIME", "TIMESTAMP(3) NULL", ("'2024-02-29 01:02:03'", "'2001-07-01'"), "'2024-1-1'"
    ),
    "timestamp to datetime": Change(
        "TIMESTAMP NULL", "DATETIME(3)", ("'2024-02-29 01:02:03'", "'2001-07-01'"), "'2024-1-1'"
    ),
    "timestamp, finer": Change(
        "TIMESTAMP NULL",
        "TIMESTAMP(6) NULL",
        ("'2024-02-29 01:02:03'", "'2001-07-01'"),
        "'2024-1-1'",
    ),
    "time, finer": Change("TIME", "TIME(3)", ("'-838:59:59'", "'01:02:03'"), "'0:0:1'"),
    "time, coarser": Change("TIME(3)", "TIME", ("'01:02:03.5'", "'-01:02:03.5'"), "'0:0:1'"),
    "year to int": Change("YEAR", "INT", ("2024", "1999"), "6"),
    "null to not null": Change("INT NULL", "INT NOT NULL DEFAULT 5", ("1", "2"), "6"),
    "text to longtext of another charset": Change(
        "TEXT CHARACTER SET latin1",
        "LONGTEXT CHARACTER SET utf8mb4",
        (*_TEXTS, "REPEAT('ä', 30000)"),
        "''''",
    ),
}
_ONLY_MYSQL: Final = {
    "text to json": Change(
        "TEXT", "JSON", ('\'{"b": 1,"a":[1.50, null]}\'', "'7'", "'\"x\"'"), "'8'"
    ),
    "json to text": Change("JSON", "LONGTEXT", ('\'{"b": 1,"a":[1.5]}\'', "'7'"), "'8'"),
    "same json": Change("JSON", "JSON NOT NULL", ('\'{"b": 1,"a":[1.5]}\'', "'7'"), "'8'"),
    "geometry": Change("POINT", "GEOMETRY", ("POINT(1,2)", "POINT(1.5,2)"), "POINT(2,1)"),
}
_ONLY_MARIADB: Final = {
    "uuid to text": Change(
        "UUID", "VARCHAR(40)", ("'123e4567-e89b-12d3-a456-426655440000'",), "'x'"
    ),
    "text to uuid": Change(
        "VARCHAR(40)",
        "UUID",
        ("'123E4567-e89b-12d3-a456-426655440000'",),
        "'123e4567-e89b-12d3-a456-426655440001'",
    ),
    "same inet6": Change("INET6", "INET6 NOT NULL", ("'::1'", "'::ffff:1.2.3.4'"), "'::2'"),
}
EVERY_CHANGE: Final = {**_CHANGES, **_ONLY_MYSQL, **_ONLY_MARIADB}


def changes(server: RealServer) -> dict[str, Change]:
    return {**_CHANGES, **(_ONLY_MARIADB if server.is_mariadb else _ONLY_MYSQL)}


async def test_what_the_server_converts_is_equal_and_a_changed_value_is_found_in_its_column(
    any_server: RealServer, database: str
) -> None:
    """A column for each change; each has NULL and its values, beside each other in rows."""
    server = any_server
    every = changes(server)
    server.query("SET GLOBAL time_zone = '+05:30'")  # the session's, too, of whoever comes now
    tables = TwoTables(
        server,
        database,
        "id INT NOT NULL PRIMARY KEY"
        + "".join(f", c{number} {one.old}" for number, one in enumerate(every.values())),
        ", ".join(f"MODIFY c{number} {one.new}" for number, one in enumerate(every.values())),
    )
    width = max(len(one.values) for one in every.values())
    rows = [[one.values[row % len(one.values)] for one in every.values()] for row in range(width)]
    rows.append([one.values[0] if "NOT NULL" in one.new else "NULL" for one in every.values()])
    for number, row in enumerate(rows):
        tables.loosely(f"INSERT INTO t VALUES ({number}, {', '.join(row)})")
    tables.alter_copy()
    assert await compare(tables) == []

    others = [f"c{number} = {one.other}" for number, one in enumerate(every.values())]
    tables.loosely(f"UPDATE t_new SET {', '.join(others)} WHERE id = 1")
    (found,) = await compare(tables)
    assert found.key.values == (1,)
    names = dict(zip((f"c{number}" for number in range(len(every))), every, strict=True))
    assert {names[column] for column in found.columns} == set(every)
