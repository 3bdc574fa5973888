"""Parameters inside the text of a statement."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum

import pytest

from tabletd.mysql.literals import bind


class _Status(StrEnum):
    READY = "ready"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "NULL"),
        (True, "1"),
        (-7, "-7"),
        (1.5, "1.5e0"),
        (1e300, "1e+300"),
        (Decimal("1E+3"), "1000"),
        ("it's", "'it\\'s'"),
        (_Status.READY, "'ready'"),
        (b"\x00\xff", "_binary X'00ff'"),
        (b"", "_binary X''"),
        (date(2024, 2, 29), "'2024-02-29'"),
        (datetime(2024, 2, 29, 1, 2, 3, 4), "'2024-02-29 01:02:03.000004'"),
        (datetime(2024, 1, 1, tzinfo=UTC), "'2024-01-01 00:00:00'"),
        (datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=1))), "'2023-12-31 23:00:00'"),
    ],
)
def test_a_value_is_written_so_that_the_server_reads_it_back(value: object, text: str) -> None:
    assert bind("%s", (value,), backslash_escapes=True) == text


def test_without_backslash_escapes_only_the_quote_is_doubled() -> None:
    assert bind("%s", ("a'b\\",), backslash_escapes=False) == "'a''b\\'"


def test_a_per_cent_sign_in_a_value_or_doubled_in_the_text_stays_one() -> None:
    assert bind("LIKE '%%' AND %s", ("%s",), backslash_escapes=True) == "LIKE '%' AND '%s'"


@pytest.mark.parametrize("value", [[1], {}, object(), float("nan"), float("inf"), Decimal("NaN")])
def test_what_mysql_has_no_value_for_is_a_bug_of_the_caller(value: object) -> None:
    with pytest.raises(TypeError):
        bind("%s", (value,), backslash_escapes=True)
