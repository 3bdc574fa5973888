"""Log lines: their form, and what must not be in them."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from tabletd.telemetry.logging import JsonFormatter, PlainFormatter, set_level


def record(message: str, *arguments: object, **facts: object) -> logging.LogRecord:
    made = logging.LogRecord("tabletd.x", logging.WARNING, __file__, 1, message, arguments, None)
    made.facts = facts
    return made


def failing_record(text: str) -> logging.LogRecord:
    made = record("it broke")
    try:
        raise RuntimeError(text)
    except RuntimeError:
        made.exc_info = sys.exc_info()
    return made


def test_a_json_line_has_the_event_and_its_facts() -> None:
    entry = json.loads(JsonFormatter([]).format(record("%s moved", "it", table="t\n1", rows=5)))
    assert entry["event"] == "it moved"
    assert (entry["level"], entry["logger"]) == ("warning", "tabletd.x")
    assert (entry["table"], entry["rows"]) == ("t\n1", 5)
    assert entry["time"].endswith("+00:00")


def test_a_plain_line_is_one_line() -> None:
    line = PlainFormatter([]).format(record("two\nlines", table="t"))
    assert line.endswith("WARNING tabletd.x: two\\nlines table=t")


@pytest.mark.parametrize("formatter", [JsonFormatter, PlainFormatter])
def test_a_secret_is_blotted_out_wherever_it_comes_from(
    formatter: type[JsonFormatter | PlainFormatter],
) -> None:
    formats = formatter(["open-sesame", ""])
    for made in (
        record("it is open-sesame"),
        record("%s", "open-sesame"),
        record("x", password="open-sesame"),
        failing_record("open-sesame"),
    ):
        line = formats.format(made)
        assert "sesame" not in line
        assert "***" in line


@pytest.fixture
def levels_as_before() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("", "tabletd", "uvicorn")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.mark.usefixtures("levels_as_before")
def test_strange_metadata_of_a_caller_cannot_fill_the_log() -> None:
    library = logging.getLogger("grpc._cython.cygrpc")
    set_level("warning")
    assert not library.filter(record("Invalid encoding on b'\\xff'"))
    assert library.filter(record("the server has ended"))


@pytest.mark.usefixtures("levels_as_before")
def test_a_call_that_its_caller_and_the_server_end_at_once_is_not_logged() -> None:
    library = logging.getLogger("grpc._cython.cygrpc")
    set_level("warning")
    cancelled, failed = record("Exception not handled"), failing_record("x")
    try:
        raise asyncio.CancelledError
    except asyncio.CancelledError:
        cancelled.exc_info = sys.exc_info()
    assert not library.filter(cancelled)
    assert library.filter(failed)
