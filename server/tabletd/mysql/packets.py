"""The text protocol's answers, from bytes to rows.

aiomysql reads each packet by two awaits and each cell by a method call; here whole chunks of the
stream are cut in one go, which makes the pass-through of results several times cheaper. It also
keeps the SQL state of errors, which PyMySQL drops.

Source: MySQL Internals, "Client/Server Protocol", text result sets without CLIENT_DEPRECATE_EOF.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from tabletd.mysql.result import Column, ResultSet

CHUNK_BYTES: Final = 1 << 17
PACKET_LENGTH_MAX: Final = 0xFFFFFF
STATUS_IN_TRANSACTION: Final = 0x0001
STATUS_MORE_RESULTS: Final = 0x0008
STATUS_NO_BACKSLASH_ESCAPES: Final = 0x0200
BINARY_CHARSET: Final = 63
_OK: Final = 0x00
_EOF: Final = 0xFE
_ERROR: Final = 0xFF
_NULL: Final = 0xFB

Decoder = Callable[[bytes], Any]


class ConnectionLost(Exception):
    """The stream ended, broke, or holds what no server may send here."""


class ResultTooLarge(Exception):
    """The answer passed a limit; its rest is still in the stream."""


class ServerError(Exception):
    """The server's error packet."""

    def __init__(self, errno: int, sqlstate: str, text: str) -> None:
        super().__init__(errno, sqlstate, text)
        self.errno = errno
        self.sqlstate = sqlstate
        self.text = text


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of an answer is taken; None: no limit."""

    rows_max: int | None = None
    bytes_max: int | None = None


@dataclass(frozen=True, slots=True)
class _Footer:
    status: int
    warning_count: int


class AnswerReader:
    """Reads the answer to one command.

    Args:
        stream: what the server sends; nothing of an earlier answer may be left in it.
        sequence: the number that the answer's first packet must have.
        raw: leave cells as the server's text bytes.
    """

    def __init__(self, stream: asyncio.StreamReader, sequence: int, *, raw: bool) -> None:
        self._stream = stream
        self._sequence = sequence
        self._raw = raw
        self._buffer = bytearray()
        self._at = 0
        self.status = 0

    async def read(self, limits: Limits) -> ResultSet:
        """Return the first result; further ones (of a CALL) are read and dropped.

        Raises:
            ServerError: the server refused or stopped the statement; the connection is usable.
            ResultTooLarge: a limit was passed; the connection is not usable.
            ConnectionLost: it is gone.
        """
        result = await self._read_result(limits)
        while self.status & STATUS_MORE_RESULTS:
            await self._read_result(limits)
        if self._at != len(self._buffer):
            raise ConnectionLost("the server sent more than one answer")
        return result

    async def _read_result(self, limits: Limits) -> ResultSet:
        head = await self._next()
        if head[0] == _OK:
            return self._read_ok(head)
        if head[0] == _NULL:
            raise ConnectionLost("the server asked for a local file, which is never given")
        count, _ = _lenenc(head, 0)
        columns = tuple([_column(await self._next()) for _ in range(count)])
        if (await self._next())[0] != _EOF:
            raise ConnectionLost("the end of the column list is missing")
        result = ResultSet(columns=columns)
        footer = await self._read_rows(result, limits)
        self.status = footer.status
        result.warning_count = footer.warning_count
        result.rows_affected = len(result.rows)
        return result

    async def _read_rows(self, result: ResultSet, limits: Limits) -> _Footer:
        rows = result.rows
        decoders = None if self._raw else [_decoder(column) for column in result.columns]
        count = len(result.columns)
        bytes_left = limits.bytes_max
        while True:
            packet = self._take()
            if packet is None:
                await self._fill()
                continue
            if packet[0] == _EOF and len(packet) < 9:
                return _Footer(_u16(packet, 3), _u16(packet, 1))
            if packet[0] == _ERROR:
                raise _error(packet)
            if limits.rows_max is not None and len(rows) >= limits.rows_max:
                raise ResultTooLarge(f"more than {limits.rows_max} rows")
            if bytes_left is not None:
                bytes_left -= len(packet)
                if bytes_left < 0:
                    raise ResultTooLarge(f"more than {limits.bytes_max} bytes")
            cells = _cells(packet, count)
            rows.append(tuple(cells) if decoders is None else _decoded(cells, decoders))

    def _read_ok(self, packet: bytes) -> ResultSet:
        affected, at = _lenenc(packet, 1)
        insert_id, at = _lenenc(packet, at)
        self.status = _u16(packet, at)
        warning_count, at = _u16(packet, at + 2), at + 4
        # The manual says: to the end of the packet. Servers put a length before it.
        _, at = _lenenc(packet, at) if at < len(packet) else (0, at)
        return ResultSet(
            rows_affected=affected,
            insert_id=insert_id,
            warning_count=warning_count,
            info=_text(packet[at:]),
        )

    async def _next(self) -> bytes:
        while (packet := self._take()) is None:
            await self._fill()
        if not packet:
            raise ConnectionLost("the server sent an empty packet")
        if packet[0] == _ERROR:
            raise _error(packet)
        return packet

    def _take(self) -> bytes | None:
        """Return the next packet when all of it is here, joined where it is longer than 16 MiB."""
        buffer, start = self._buffer, self._at
        parts: list[bytes] = []
        while True:
            if len(buffer) < start + 4:
                return None
            length = buffer[start] | buffer[start + 1] << 8 | buffer[start + 2] << 16
            end = start + 4 + length
            if len(buffer) < end:
                return None
            parts.append(bytes(buffer[start + 4 : end]))
            if length < PACKET_LENGTH_MAX:
                break
            start = end
        if self._sequence >= 0:
            self._check_sequence(buffer[self._at + 3], parts[0])
        self._at = end
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _check_sequence(self, sequence: int, packet: bytes) -> None:
        # A server that shuts down, or kills us, says so unasked, by an error numbered from zero.
        if sequence != self._sequence % 256 and packet[:1] != bytes([_ERROR]):
            raise ConnectionLost("the server's answer is out of step")
        self._sequence = -1

    async def _fill(self) -> None:
        del self._buffer[: self._at]
        self._at = 0
        try:
            chunk = await self._stream.read(CHUNK_BYTES)
        except OSError as error:
            raise ConnectionLost(str(error)) from error
        if not chunk:
            raise ConnectionLost("the server closed the connection")
        self._buffer += chunk


def _cells(packet: bytes, count: int) -> list[bytes | None]:
    cells: list[bytes | None] = []
    at = 0
    for _ in range(count):
        length = packet[at]
        at += 1
        if length >= _NULL:
            if length == _NULL:
                cells.append(None)
                continue
            width = {0xFC: 2, 0xFD: 3, 0xFE: 8}[length]
            length = int.from_bytes(packet[at : at + width], "little")
            at += width
        cells.append(packet[at : at + length])
        at += length
    return cells


def _decoded(cells: Sequence[bytes | None], decoders: Sequence[Decoder | None]) -> tuple[Any, ...]:
    return tuple(
        [
            cell if cell is None or decoder is None else decoder(cell)
            for cell, decoder in zip(cells, decoders, strict=True)
        ]
    )


@lru_cache(maxsize=4096)
def _column(packet: bytes) -> Column:
    # A loop's statement has the same columns each time: SHOW ALL SLAVES STATUS has 62 of them.
    names: list[str] = []
    at = 0
    for _ in range(6):
        length, at = _lenenc(packet, at)
        names.append(packet[at : at + length].decode(errors="replace"))
        at += length
    _catalog, database, table, org_table, name, org_name = names
    at += 1  # the length of what follows, always 12
    return Column(
        name=name,
        table=table,
        org_table=org_table,
        database=database,
        org_name=org_name,
        charset=_u16(packet, at),
        length=int.from_bytes(packet[at + 2 : at + 6], "little"),
        type_code=packet[at + 6],
        flags=_u16(packet, at + 7),
        decimals=packet[at + 9],
    )


def _error(packet: bytes) -> ServerError:
    errno = _u16(packet, 1)
    if packet[3:4] == b"#":
        return ServerError(errno, packet[4:9].decode(errors="replace"), _text(packet[9:]))
    return ServerError(errno, "", _text(packet[3:]))


def _text(cell: bytes) -> str:
    return cell.decode(errors="replace")


def _u16(packet: bytes, at: int) -> int:
    return packet[at] | packet[at + 1] << 8


def _lenenc(packet: bytes, at: int) -> tuple[int, int]:
    """Return a length-encoded integer and the place after it."""
    first = packet[at]
    if first < _NULL:
        return first, at + 1
    width = {0xFC: 2, 0xFD: 3, 0xFE: 8}[first]
    return int.from_bytes(packet[at + 1 : at + 1 + width], "little"), at + 1 + width


def _datetime(cell: bytes) -> datetime | str:
    # Zero and partly-zero dates have no Python value: they stay what the server wrote.
    try:
        return datetime.fromisoformat(cell.decode())
    except ValueError:
        return cell.decode()


def _date(cell: bytes) -> date | str:
    try:
        return date.fromisoformat(cell.decode())
    except ValueError:
        return cell.decode()


def _decimal(cell: bytes) -> Decimal:
    return Decimal(cell.decode())


def _bit(cell: bytes) -> int:
    return int.from_bytes(cell, "big")


_DECODERS: Final[dict[int, Decoder | None]] = {
    0: _decimal,  # DECIMAL before 5.0.3
    1: int,  # TINY
    2: int,  # SHORT
    3: int,  # LONG
    4: float,  # FLOAT
    5: float,  # DOUBLE
    7: _datetime,  # TIMESTAMP
    8: int,  # LONGLONG
    9: int,  # INT24
    10: _date,  # DATE
    11: _text,  # TIME
    12: _datetime,  # DATETIME
    13: int,  # YEAR
    16: _bit,  # BIT
    245: _text,  # JSON
    246: _decimal,  # NEWDECIMAL
    255: None,  # GEOMETRY
}


def _decoder(column: Column) -> Decoder | None:
    """Return how a cell of the column becomes a Python value; None: it stays bytes."""
    if column.type_code in _DECODERS:
        return _DECODERS[column.type_code]
    return None if column.charset == BINARY_CHARSET else _text
