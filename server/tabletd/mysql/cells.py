"""What aiomysql reads, in our words: cells as Python values, columns, the server's remark."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from pymysql.constants import FIELD_TYPE
from pymysql.protocol import FieldDescriptorPacket, MysqlPacket

from tabletd.mysql.result import Column

_ENCODING: Final = "utf8"


def _datetime(text: str) -> datetime | str:
    # Zero and partly-zero dates have no Python value: they stay what the server wrote.
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text


def _date(text: str) -> date | str:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return text


def _bit(cell: bytes) -> int:
    return int.from_bytes(cell, "big")


# By protocol type. Others come as aiomysql gives them without a converter: bytes where the
# collation is binary (BLOB, GEOMETRY), else text (also TIME and JSON).
CONVERTERS: Final[Mapping[int, Callable[[Any], Any]]] = {
    FIELD_TYPE.DECIMAL: Decimal,
    FIELD_TYPE.NEWDECIMAL: Decimal,
    FIELD_TYPE.TINY: int,
    FIELD_TYPE.SHORT: int,
    FIELD_TYPE.INT24: int,
    FIELD_TYPE.LONG: int,
    FIELD_TYPE.LONGLONG: int,
    FIELD_TYPE.YEAR: int,
    FIELD_TYPE.FLOAT: float,
    FIELD_TYPE.DOUBLE: float,
    FIELD_TYPE.DATE: _date,
    FIELD_TYPE.DATETIME: _datetime,
    FIELD_TYPE.TIMESTAMP: _datetime,
    FIELD_TYPE.BIT: _bit,
}


@lru_cache(maxsize=4096)
def column(descriptor: bytes) -> Column:
    """Return a column from its descriptor in the protocol: the same in each beat of a loop."""
    field: Any = FieldDescriptorPacket(descriptor, _ENCODING)
    return Column(
        name=field.name,
        table=field.table_name,
        org_table=field.org_table,
        database=field.db.decode(_ENCODING),
        org_name=field.org_name,
        type_code=field.type_code,
        flags=field.flags,
        charset=field.charsetnr,
        length=field.length,
        decimals=field.scale,
    )


def remark(message: bytes) -> str:
    """Return the server's remark on a statement, which has its length in front."""
    if not message:
        return ""
    packet: Any = MysqlPacket(message, _ENCODING)
    text: bytes = packet.read_length_coded_string()
    return text.decode(errors="replace")


def size_bytes(row: tuple[Any, ...]) -> int:
    """Return about how much a row takes: texts and bytes as they are, other values as eight."""
    return sum([len(cell) if isinstance(cell, (bytes, str)) else 8 for cell in row])
