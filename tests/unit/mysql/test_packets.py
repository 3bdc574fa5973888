"""Answers of the server from bytes, however they arrive and however broken they are."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabletd.mysql.packets import AnswerReader, ConnectionLost, Limits, ServerError
from tabletd.mysql.result import ResultSet


def _packet(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


def _text(text: bytes) -> bytes:
    return bytes([len(text)]) + text


_COLUMN = (
    b"".join(_text(part) for part in (b"def", b"shop", b"o", b"orders", b"n", b"name"))
    + b"\x0c\x2d\x00\x14\x00\x00\x00\xfd\x01\x00\x00\x00\x00"
)
_EOF = b"\xfe\x00\x00\x02\x00"
_ROWS = b"".join(
    [
        _packet(1, b"\x01"),
        _packet(2, _COLUMN),
        _packet(3, _EOF),
        _packet(4, _text(b"one")),
        _packet(5, b"\xfb"),
        _packet(6, _EOF),
    ]
)
_ERROR = _packet(1, b"\xff\x7a\x04#42S02no such table")


async def _read(*chunks: bytes, raw: bool = True) -> ResultSet:
    stream = asyncio.StreamReader()
    for chunk in chunks:
        stream.feed_data(chunk)
    stream.feed_eof()
    return await AnswerReader(stream, 1, raw=raw).read(Limits())


@given(st.integers(1, len(_ROWS)))
async def test_rows_are_the_same_however_the_stream_is_cut(at: int) -> None:
    result = await _read(_ROWS[:at], _ROWS[at:])
    assert result.rows == [(b"one",), (None,)]
    column = result.columns[0]
    assert (column.name, column.org_name, column.database) == ("n", "name", "shop")
    assert (column.type_code, column.charset, column.length) == (253, 45, 20)


async def test_an_error_keeps_its_number_state_and_words() -> None:
    with pytest.raises(ServerError) as caught:
        await _read(_ERROR)
    error = caught.value
    assert (error.errno, error.sqlstate, error.text) == (1146, "42S02", "no such table")


async def test_a_farewell_sent_unasked_is_understood() -> None:
    with pytest.raises(ServerError) as caught:
        await _read(_packet(0, b"\xff\x1d\x04#08S01Server shutdown in progress"))
    assert caught.value.errno == 1053


@given(st.integers(0, len(_ROWS) - 1))
async def test_a_stream_that_ends_early_is_a_lost_connection(at: int) -> None:
    with pytest.raises(ConnectionLost):
        await _read(_ROWS[:at])


@pytest.mark.parametrize(
    "answer",
    [
        _packet(5, b"\x00\x00\x00\x02\x00\x00\x00"),  # out of step
        _packet(1, b"\x00\x00\x00\x02\x00\x00\x00") * 2,  # two answers
        _packet(1, b"\xfb/etc/passwd"),  # asks for a local file
        _packet(1, b""),
    ],
)
async def test_what_no_server_may_send_is_a_lost_connection(answer: bytes) -> None:
    with pytest.raises(ConnectionLost):
        await _read(answer)
