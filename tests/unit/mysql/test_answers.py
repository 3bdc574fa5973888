"""Answers that no real server can be made to give: broken off, out of step, or nonsense."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabletd.errors import MySQLUnavailable
from tabletd.mysql.errors import MySQLError
from tabletd.mysql.pool import Pool
from tabletd.mysql.result import ResultSet
from tabletd.mysql.settings import MySQLSettings
from tests.support.scripted_server import packet, scripted_server, text

_COLUMN = (
    b"".join(text(part) for part in (b"def", b"shop", b"o", b"orders", b"n", b"name"))
    + b"\x0c\x2d\x00\x14\x00\x00\x00\xfd\x01\x00\x00\x00\x00"
)
_END_OF_COLUMNS = b"\xfe\x00\x00\x02\x00"
_END_OF_ROWS = b"\xfe\xff\xff\x02\x00"  # 65535 warnings
_ROWS = b"".join(
    [
        packet(1, b"\x01"),
        packet(2, _COLUMN),
        packet(3, _END_OF_COLUMNS),
        packet(4, text(b"one")),
        packet(5, b"\xfb"),
        packet(6, _END_OF_ROWS),
    ]
)


async def _execute(answer: bytes, *, rows_max: int | None = None) -> ResultSet:
    async with scripted_server(answer) as port:
        pool = Pool(MySQLSettings(port=port), name="TestPool", raw=True)
        await pool.open()
        try:
            return await pool.execute("SELECT n", rows_max=rows_max)
        finally:
            await pool.close()


@pytest.mark.parametrize("rows_max", [None, 2])
async def test_rows_are_the_same_at_once_and_one_by_one(rows_max: int | None) -> None:
    result = await _execute(_ROWS, rows_max=rows_max)
    assert result.rows == [(b"one",), (None,)]
    assert (result.rows_affected, result.warning_count) == (2, 65535)
    column = result.columns[0]
    assert (column.name, column.org_name, column.database) == ("n", "name", "shop")
    assert (column.type_code, column.charset, column.length) == (253, 45, 20)


async def test_an_error_keeps_its_number_state_and_words() -> None:
    with pytest.raises(MySQLError, match="no such table") as caught:
        await _execute(packet(1, b"\xff\x7a\x04#42S02no such table"))
    assert (caught.value.errno, caught.value.sqlstate) == (1146, "42S02")


async def test_an_error_among_the_rows_is_the_answer() -> None:
    answer = _ROWS[: -len(packet(6, _END_OF_ROWS))] + packet(6, b"\xff\x25\x05#70100interrupted")
    for rows_max in (None, 9):
        with pytest.raises(MySQLError) as caught:
            await _execute(answer, rows_max=rows_max)
        assert caught.value.errno == 1317


@settings(max_examples=40, deadline=None)
@given(at=st.integers(0, len(_ROWS) - 1), rows_max=st.sampled_from([None, 9]))
async def test_an_answer_that_breaks_off_is_a_lost_connection(
    at: int, rows_max: int | None
) -> None:
    with pytest.raises(MySQLUnavailable) as caught:
        await _execute(_ROWS[:at], rows_max=rows_max)
    assert caught.value.facts["sent"] == "True"


@pytest.mark.parametrize(
    "answer",
    [
        packet(0, b"\xff\x1d\x04#08S01Server shutdown in progress"),  # a farewell, sent unasked
        packet(5, b"\x00\x00\x00\x02\x00\x00\x00"),  # out of step
        packet(1, b"\xfb/etc/passwd"),  # asks for a local file
        packet(1, b""),
        packet(1, b"\x01") + packet(2, b"nonsense"),
        _ROWS.replace(b"\x03one", b"\xfcone"),  # a cell longer than its row
    ],
)
@pytest.mark.parametrize("rows_max", [None, 9])
async def test_what_no_server_may_send_is_a_lost_connection(
    answer: bytes, rows_max: int | None
) -> None:
    with pytest.raises(MySQLUnavailable) as caught:
        await _execute(answer, rows_max=rows_max)
    assert caught.value.facts["sent"] == "True"
