from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabletd_client.cli.sql import split_statements, takes_away
from tabletd_client.cli.words import bytes_text, parse_duration, seconds_text


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("", []),
        (" ; ;\n", []),
        ("-- nothing\n/* to do */ ;", []),
        ("a; b", ["a", "b"]),
        ("a ';' b; c", ["a ';' b", "c"]),
        (r"a 'it\';s'; c", [r"a 'it\';s'", "c"]),
        ("a 'it'';s'; c", ["a 'it'';s'", "c"]),
        ("a `x;``y`; c", ["a `x;``y`", "c"]),
        ("a -- b; c\n; d", ["a -- b; c", "d"]),
        ("a # b; c\n; d", ["a # b; c", "d"]),
        ("a--b; c", ["a--b", "c"]),
        ("a /* ; */ b", ["a /* ; */ b"]),
        ("/*!50001 a; b */; c", ["/*!50001 a; b */", "c"]),
        ("a 'open; b", ["a 'open; b"]),
    ],
)
def test_statements_end_at_semicolons_that_are_not_quoted(text: str, statements: list[str]) -> None:
    assert split_statements(text) == statements


@given(st.lists(st.sampled_from(["a", "';'", "`;`", "/*;*/", " ", "\n", "'", "--", "#", "\\"])))
def test_nothing_is_lost_by_splitting(parts: list[str]) -> None:
    text = "".join(parts)
    for statement in split_statements(text):
        assert statement in text


@pytest.mark.parametrize(
    ("statement", "takes"),
    [
        ("DROP TABLE t", True),
        ("alter table t drop column c", True),
        ("truncate t", True),
        ("/*!50001 drop table t */", True),
        ("alter table t add dropped int", False),
        ("alter table t add c int comment 'drop'", False),
        ("alter table `drop` add c int -- drop", False),
    ],
)
def test_what_takes_something_away_is_noticed(statement: str, takes: bool) -> None:
    assert takes_away(statement) is takes


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("7d", 604_800), ("0.5s", 0.5)],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "90", "s", "1m1h", "-5s", "0s", "soon"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.25, "0.2s"),
        (59.4, "59s"),
        (60, "1m00s"),
        (125, "2m05s"),
        (3600, "1h00m"),
        (12_000, "3h20m"),
        (349_200, "4d01h"),
    ],
)
def test_a_span_of_time_is_told_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (812, "812 B"), (4_404_019, "4.2 MiB"), (2**40, "1.0 TiB"), (2**50, "1024.0 TiB")],
)
def test_a_size_is_told_in_its_largest_unit(count: int, text: str) -> None:
    assert bytes_text(count) == text
