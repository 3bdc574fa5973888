"""A result of MySQL as a `query.QueryResult`.

The types are told as Vitess tells them, with one difference: text is told from bytes by the
collation and not by the flag BINARY, which text with a `_bin` collation has as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from tabletd.errors import Reason, TabletdError
from tabletd.mysql.result import Column, ResultSet
from tabletd_pb import query_pb2

_UNSIGNED_FLAG: Final = 32
_ENUM_FLAG: Final = 256
_SET_FLAG: Final = 2048
_BINARY_CHARSET: Final = 63

_T = query_pb2.Type

if TYPE_CHECKING:
    _Pair: TypeAlias = tuple[query_pb2.Type.ValueType, query_pb2.Type.ValueType]

_TYPES: Final[Mapping[int, query_pb2.Type.ValueType]] = {
    0: _T.DECIMAL,
    4: _T.FLOAT32,
    5: _T.FLOAT64,
    6: _T.NULL_TYPE,
    7: _T.TIMESTAMP,
    10: _T.DATE,
    11: _T.TIME,
    12: _T.DATETIME,
    13: _T.YEAR,
    14: _T.DATE,
    16: _T.BIT,
    17: _T.TIMESTAMP,
    18: _T.DATETIME,
    19: _T.TIME,
    242: _T.VECTOR,
    245: _T.JSON,
    246: _T.DECIMAL,
    247: _T.ENUM,
    248: _T.SET,
    255: _T.GEOMETRY,
}
# Signed, unsigned.
_WHOLE_NUMBERS: Final[Mapping[int, _Pair]] = {
    1: (_T.INT8, _T.UINT8),
    2: (_T.INT16, _T.UINT16),
    3: (_T.INT32, _T.UINT32),
    8: (_T.INT64, _T.UINT64),
    9: (_T.INT24, _T.UINT24),
}
# With a character set, without.
_STRINGS: Final[Mapping[int, _Pair]] = {
    15: (_T.VARCHAR, _T.VARBINARY),
    249: (_T.TEXT, _T.BLOB),
    250: (_T.TEXT, _T.BLOB),
    251: (_T.TEXT, _T.BLOB),
    252: (_T.TEXT, _T.BLOB),
    253: (_T.VARCHAR, _T.VARBINARY),
    254: (_T.CHAR, _T.BINARY),
}


def field_type(column: Column) -> query_pb2.Type.ValueType:
    """Return the type of a column from the protocol's type code, flags and collation.

    Raises:
        TabletdError: UNSUPPORTED_SERVER for a type code that no server of today sends.
    """
    code = column.type_code
    if code in _WHOLE_NUMBERS:
        signed, unsigned = _WHOLE_NUMBERS[code]
        return unsigned if column.flags & _UNSIGNED_FLAG else signed
    if code in _STRINGS:
        if column.flags & _ENUM_FLAG:
            return _T.ENUM
        if column.flags & _SET_FLAG:
            return _T.SET
        text, binary = _STRINGS[code]
        return binary if column.charset == _BINARY_CHARSET else text
    if code in _TYPES:
        return _TYPES[code]
    raise TabletdError(
        Reason.UNSUPPORTED_SERVER,
        f"the server describes column {column.name!r} by type {code}, which is not known",
    )


def field_to_proto(column: Column) -> query_pb2.Field:
    """Return the whole description of a column; `column_type` is not in the protocol."""
    return query_pb2.Field(
        name=column.name,
        type=field_type(column),
        table=column.table,
        org_table=column.org_table,
        database=column.database,
        org_name=column.org_name,
        column_length=column.length,
        charset=column.charset,
        decimals=column.decimals,
        flags=column.flags,
    )


def fields_to_proto(columns: Sequence[Column]) -> list[query_pb2.Field]:
    """Return the descriptions of columns, in order."""
    return [field_to_proto(column) for column in columns]


def row_to_proto(cells: tuple[bytes | None, ...]) -> query_pb2.Row:
    """Return a row: the lengths of its cells, -1 for NULL, and their bytes one after the other."""
    return query_pb2.Row(
        lengths=[-1 if cell is None else len(cell) for cell in cells],
        values=b"".join([cell for cell in cells if cell is not None]),
    )


def result_to_proto(result: ResultSet) -> query_pb2.QueryResult:
    """Return a result of a raw pool, whose cells are the server's own text.

    Args:
        result: rows of bytes and None.
    """
    return query_pb2.QueryResult(
        fields=fields_to_proto(result.columns),
        rows_affected=result.rows_affected,
        insert_id=result.insert_id,
        rows=[row_to_proto(cells) for cells in result.rows],
        info=result.info,
    )
