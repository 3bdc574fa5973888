"""The lag of tablets as `tabletctl` prints it."""

from __future__ import annotations

from typing import Any

import pytest

from tabletd_client.cli.lag_text import lag_table, span, sparkline
from tabletd_client.models import LagMethod, LagPoint, LagState, TabletLag

WIDTH = 80


def _lag(**told: Any) -> TabletLag:
    facts: dict[str, Any] = {
        "alias": "zone1-0000000101",
        "keyspace": "commerce",
        "shard": "0",
        "type": "replica",
        "serving": True,
        "lag_seconds": 0,
        "error": "",
        "state": LagState.MEASURED,
        "method": LagMethod.CLOCK,
        "lag_ms": 0.83,
        "lower_ms": 0.0,
        "upper_ms": 25.9,
        "history": _history(LagState.MEASURED, 0.8),
    }
    return TabletLag(**{**facts, **told})


def _history(
    state: LagState, lag_ms: float | None, ages: range = range(300)
) -> tuple[LagPoint, ...]:
    return tuple(
        LagPoint(age_ms=age * 1e3, state=state, lag_ms=lag_ms, lower_ms=None, upper_ms=None)
        for age in reversed(ages)
    )


def _fits(text: str) -> bool:
    return all(len(line) <= WIDTH for line in text.splitlines())


def test_a_replica_is_one_line_of_80_columns_with_bounds_and_the_last_minutes() -> None:
    text = lag_table([_lag(), _lag(alias="zone1-0000000102", shard="80-", lag_ms=1_500.0)], WIDTH)
    assert _fits(text)
    heads, first, second = text.splitlines()
    assert heads.split()[:6] == ["ALIAS", "SHARD", "STATE", "LAG", "BOUNDS", "METHOD"]
    assert first.split()[2:6] == ["measured", "0.8ms", "0..26ms", "clock"]
    assert "1.50s" in second
    assert first.endswith("▁" * 10)


def test_the_lag_of_a_silent_tablet_is_told_within_80_columns() -> None:
    one = TabletLag(
        alias="zone1-0000000101",
        keyspace="commerce",
        shard="0",
        type="unknown",
        serving=None,
        lag_seconds=None,
        error="127.0.0.1:16101 does not answer: failed to connect to all addresses; " * 3,
    )
    text = lag_table([one], WIDTH)
    assert _fits(text)
    assert text.splitlines()[1].split() == ["zone1-0000000101", "0", "unknown", "?", "-", "-"]
    assert "    why: 127.0.0.1:16101 does not answer" in text
    assert len(lag_table([one]).splitlines()) == 2


def test_a_stopped_delayed_replica_says_since_when_why_and_what_is_on_purpose() -> None:
    one = _lag(
        state=LagState.STOPPED,
        serving=False,
        held_ms=65_000.0,
        error="SQL thread stopped: duplicate key",
        delay_ms=60_000.0,
    )
    text = " ".join(lag_table([one], WIDTH).split())
    assert "not serving; stopped for 1m05s; SQL thread stopped: duplicate key" in text
    assert "delayed by 1m00s on purpose" in text


def test_a_primary_has_no_lag() -> None:
    one = _lag(type="primary", state=LagState.OFF, method=LagMethod.NONE, lag_ms=0.0, history=())
    assert "primary  -" in lag_table([one], WIDTH)


def test_a_daemon_of_before_there_were_bounds_still_tells_its_seconds() -> None:
    one = _lag(state=LagState.UNKNOWN, method=LagMethod.NONE, lag_ms=None, lag_seconds=3)
    assert " 3s " in lag_table([one], WIDTH)


@pytest.mark.parametrize(
    ("state", "lag_ms", "spark"),
    [
        (LagState.MEASURED, 0.0, "▁"),
        (LagState.MEASURED, 99.0, "▃"),
        (LagState.MEASURED, 60_000.0, "█"),
        (LagState.IDLE, None, "."),
        (LagState.STALE, 5.0, "?"),
        (LagState.UNKNOWN, None, "?"),
        (LagState.STOPPED, 5.0, "x"),
        (LagState.OFF, 0.0, " "),
    ],
)
def test_each_part_of_the_last_minutes_is_one_character(
    state: LagState, lag_ms: float | None, spark: str
) -> None:
    assert sparkline(_history(state, lag_ms), 10) == spark * 10


def test_a_part_of_the_time_shows_its_worst_moment() -> None:
    history = (
        *_history(LagState.MEASURED, 1.0, range(150, 300)),
        *_history(LagState.MEASURED, 1.0, range(11, 150)),
        *_history(LagState.MEASURED, 5_000.0, range(10, 11)),
        *_history(LagState.MEASURED, 1.0, range(10)),
    )
    assert sparkline(history, 10) == "▁" * 9 + "▇"


def test_minutes_of_which_nothing_is_known_yet_are_blank() -> None:
    assert sparkline(_history(LagState.MEASURED, 1.0, range(30)), 10) == " " * 9 + "▁"


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0"), (0.83, "0.8ms"), (25.9, "26ms"), (1_500, "1.50s"), (125_000, "2m05s")],
)
def test_a_lag_is_told_in_a_unit_that_suits_its_size(milliseconds: float, text: str) -> None:
    assert span(milliseconds) == text
