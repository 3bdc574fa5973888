"""Every MySQL type comes out of a QueryResult as the server wrote it.

Oracles: for cells what the program `mariadb` prints, for types information_schema.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Sequence
from typing import Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tabletd.mysql.result import ResultSet
from tabletd.sandbox.servers import client_program
from tabletd.servicers.query_result import result_to_proto
from tabletd_pb import query_pb2
from tests.support.pools import pool_of
from tests.support.servers import RealServer

_T = query_pb2.Type
_TEXT = st.text(
    st.characters(exclude_categories=["Cs"], max_codepoint=0x1F6FF), max_size=12
) | st.sampled_from(["", "\N{GRINNING FACE}", "a\tb\nc\0d", "'\"\\", "NULL"])
_BYTES = st.binary(max_size=12)


def _whole(bits: int, *, signed: bool) -> st.SearchStrategy[int]:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return st.integers(low, high) | st.sampled_from([low, high, 0])


def _decimal(sign: str, whole: int, fraction: int, decimals: int) -> str:
    return f"{sign}{whole}.{fraction:0{decimals}d}"


def _number(digits: int, decimals: int) -> st.SearchStrategy[str]:
    return st.builds(
        _decimal,
        sign=st.sampled_from(["", "-"]),
        whole=st.integers(0, 10 ** (digits - decimals) - 1),
        fraction=st.integers(0, 10**decimals - 1),
        decimals=st.just(decimals),
    )


_TIMES: Final = st.builds(
    "{}{}:{:02d}:{:02d}.{:06d}".format,
    st.sampled_from(["", "-"]),
    st.integers(0, 837),
    st.integers(0, 59),
    st.integers(0, 59),
    st.integers(0, 999_999),
)
_DATES = st.sampled_from(["0000-00-00", "2020-02-00", "1000-01-01", "9999-12-31", "2024-02-29"])
_MOMENTS = st.sampled_from(["0000-00-00 00:00:00", "9999-12-31 23:59:59", "2024-02-29 12:34:56"])
_INSTANTS = st.sampled_from(["0000-00-00 00:00:00", "1970-01-02 00:00:00", "2037-12-31 23:59:59"])

# What information_schema calls the type (DATA_TYPE, unsigned?) and what it is on the wire.
_WIRE_TYPES: Final = {
    "tinyint": _T.INT8,
    "tinyint unsigned": _T.UINT8,
    "smallint": _T.INT16,
    "smallint unsigned": _T.UINT16,
    "mediumint": _T.INT24,
    "mediumint unsigned": _T.UINT24,
    "int": _T.INT32,
    "int unsigned": _T.UINT32,
    "bigint": _T.INT64,
    "bigint unsigned": _T.UINT64,
    "float": _T.FLOAT32,
    "double": _T.FLOAT64,
    "double unsigned": _T.FLOAT64,
    "decimal": _T.DECIMAL,
    "decimal unsigned": _T.DECIMAL,
    "date": _T.DATE,
    "time": _T.TIME,
    "datetime": _T.DATETIME,
    "timestamp": _T.TIMESTAMP,
    "year": _T.YEAR,
    "char": _T.CHAR,
    "varchar": _T.VARCHAR,
    "binary": _T.BINARY,
    "varbinary": _T.VARBINARY,
    "tinytext": _T.TEXT,
    "text": _T.TEXT,
    "mediumtext": _T.TEXT,
    "longtext": _T.TEXT,
    "tinyblob": _T.BLOB,
    "blob": _T.BLOB,
    "mediumblob": _T.BLOB,
    "longblob": _T.BLOB,
    "enum": _T.ENUM,
    "set": _T.SET,
    "bit": _T.BIT,
    "json": _T.JSON,
    "geometry": _T.GEOMETRY,
    "point": _T.GEOMETRY,
}

_COLUMNS: Final[dict[str, st.SearchStrategy[object]]] = {
    "tinyint": _whole(8, signed=True),
    "tinyint unsigned": _whole(8, signed=False),
    "bool": st.booleans(),
    "smallint": _whole(16, signed=True),
    "smallint(5) unsigned zerofill": _whole(16, signed=False),
    "mediumint": _whole(24, signed=True),
    "mediumint unsigned": _whole(24, signed=False),
    "int": _whole(32, signed=True),
    "int unsigned": _whole(32, signed=False),
    "bigint": _whole(64, signed=True),
    "bigint unsigned": _whole(64, signed=False),
    "float": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "double unsigned": st.floats(0, 1e300),
    "decimal(65,30)": _number(65, 30),
    "decimal(10,0) unsigned": st.integers(0, 10**10 - 1),
    "date": _DATES,
    "time": _TIMES.map(lambda text: text.partition(".")[0]),
    "time(6)": _TIMES,
    "datetime": _MOMENTS,
    "datetime(6)": _MOMENTS.map(lambda text: f"{text}.000001" if text[0] != "0" else text),
    "timestamp NULL DEFAULT NULL": _INSTANTS,
    "timestamp(3) NULL DEFAULT NULL": _INSTANTS,
    "year": st.sampled_from([0, 1901, 2155]),
    "char(12)": _TEXT,
    "char(12) character set latin1": st.text(st.characters(max_codepoint=0xFF), max_size=12),
    "varchar(12)": _TEXT,
    "varchar(12) collate utf8mb4_bin": _TEXT,
    "binary(12)": _BYTES,
    "varbinary(12)": _BYTES,
    "tinytext": _TEXT,
    "text": st.integers(0, 70_000).map(
        lambda length: "\N{LATIN SMALL LETTER E WITH ACUTE}" * (length // 4)
    ),
    "mediumtext": _TEXT,
    "longtext collate utf8mb4_bin": _TEXT,
    "tinyblob": _BYTES,
    "blob": _BYTES,
    "mediumblob": _BYTES,
    "longblob": st.integers(0, 300).map(lambda length: b"\xff" * length),
    "enum('a','b c','\N{SNOWMAN}','')": st.sampled_from(["a", "b c", "\N{SNOWMAN}", ""]),
    "set('x','y','z')": st.sets(st.sampled_from("xyz")).map(lambda found: ",".join(sorted(found))),
    "bit(1)": st.integers(0, 1),
    "bit(64)": _whole(64, signed=False),
    "json": st.sampled_from(['{"a": [1, null, "\N{GRINNING FACE}"]}', "[]", '"text"']),
}
_POINTS: Final = ("geometry", "point")
_NAMES: Final = [f"c{number}" for number in range(len(_COLUMNS) + len(_POINTS))]


def _create_table(server: RealServer, database: str) -> None:
    types = [*_COLUMNS, *_POINTS]
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(_NAMES, types, strict=True))
    server.query(
        f"CREATE TABLE {database}.t (id int PRIMARY KEY, {columns})"
        " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"
    )


def _insert(server: RealServer, database: str, row: Sequence[object]) -> None:
    marks = ["%s"] * len(_COLUMNS) + ["ST_GeomFromText(%s)"] * len(_POINTS)
    with server.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SET sql_mode = 'NO_ENGINE_SUBSTITUTION', time_zone = '+00:00'")
        cursor.execute("DELETE FROM t")
        cursor.execute(f"INSERT INTO t VALUES (1, {', '.join(marks)})", tuple(row))


def _printed_by_mariadb(server: RealServer, database: str) -> list[bytes | None]:
    """Return each cell as the program prints it: one statement, so one line, for each.

    The line's end is the only thing that the program adds; NULL is told by a second statement.
    """
    statements = ["SET time_zone = '+00:00';"]
    statements += [
        f"SELECT {name} IS NULL FROM t; SELECT {name} FROM t; SELECT '{_MARK}';" for name in _NAMES
    ]
    done = subprocess.run(
        [
            client_program(),
            "--no-defaults",
            "--batch",
            "--raw",
            "--skip-column-names",
            "--default-character-set=utf8mb4",
            "--user=root",
            f"--socket={server.socket}",
            database,
        ],
        input="\n".join(statements).encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    blocks = done.stdout.split(f"\n{_MARK}\n".encode())[:-1]
    cells: list[bytes | None] = []
    for block in blocks:
        is_null, _, cell = block.partition(b"\n")
        cells.append(None if is_null == b"1" else cell)
    return cells


_MARK: Final = "-- end of cell --"


def _cells(row: query_pb2.Row) -> list[bytes | None]:
    cells: list[bytes | None] = []
    at = 0
    for length in row.lengths:
        cells.append(None if length < 0 else row.values[at : at + length])
        at += max(length, 0)
    assert at == len(row.values)
    return cells


def _types_by_metadata(server: RealServer, database: str) -> list[int]:
    rows = server.query(
        "SELECT data_type, column_type FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = 't' ORDER BY ordinal_position",
        (database,),
    )
    types: list[int] = []
    for data_type, column_type in rows[1:]:
        unsigned = " unsigned" if "unsigned" in str(column_type) else ""
        types.append(_WIRE_TYPES[f"{data_type}{unsigned}"])
    return types


async def _read(server: RealServer, database: str) -> ResultSet:
    async with pool_of(server, raw=True, database=database) as pool:
        return await pool.execute(f"SELECT {', '.join(_NAMES)} FROM t")


_ROWS = st.tuples(
    *(st.none() | strategy for strategy in _COLUMNS.values()),
    *(st.sampled_from([None, "POINT(1 2)", "POINT(-0.5 1e300)"]) for _ in _POINTS),
)


def test_cells_and_types_are_those_that_the_server_gave(
    any_server: RealServer, database: str
) -> None:
    _create_table(any_server, database)
    types = _types_by_metadata(any_server, database)

    @settings(
        max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
    )
    @given(row=_ROWS)
    def check(row: tuple[object, ...]) -> None:
        _insert(any_server, database, row)
        result = result_to_proto(asyncio.run(_read(any_server, database)))
        result = query_pb2.QueryResult.FromString(result.SerializeToString())
        assert [field.type for field in result.fields] == types
        for name, found, printed in zip(
            _NAMES, _cells(result.rows[0]), _printed_by_mariadb(any_server, database), strict=True
        ):
            assert found == printed, name

    check()


async def test_a_field_is_described_in_full(any_server: RealServer, database: str) -> None:
    any_server.query(f"CREATE TABLE {database}.t (id int unsigned PRIMARY KEY, v varchar(5))")
    async with pool_of(any_server, raw=True, database=database) as pool:
        result = result_to_proto(await pool.execute("SELECT id AS a, v FROM t AS alias"))
    key, text = result.fields
    assert (key.name, key.org_name, key.table, key.org_table) == ("a", "id", "alias", "t")
    assert (key.database, key.charset, key.column_length) == (database, 63, 10)
    flags = query_pb2.MySqlFlag
    wanted = flags.NOT_NULL_FLAG | flags.PRI_KEY_FLAG | flags.UNSIGNED_FLAG
    assert key.flags & wanted == wanted
    assert (text.type, text.column_length) == (_T.VARCHAR, 20)
    assert (result.rows_affected, list(result.rows)) == (0, [])


async def test_null_without_a_column_has_the_null_type(any_server: RealServer) -> None:
    async with pool_of(any_server, raw=True) as pool:
        result = result_to_proto(await pool.execute("SELECT NULL, '', 1"))
    assert result.fields[0].type == _T.NULL_TYPE
    assert _cells(result.rows[0]) == [None, b"", b"1"]
    assert list(result.rows[0].lengths) == [-1, 0, 1]
