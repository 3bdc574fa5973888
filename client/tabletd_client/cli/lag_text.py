"""The lag of tablets as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tabletd_client.cli.text import table
from tabletd_client.cli.words import seconds_text
from tabletd_client.models import LagMethod, LagPoint, LagState, TabletLag

_MINUTES: Final = 5
_SPARKS_MIN: Final = 10
_SPARKS_MAX: Final = 60
_SPARKS_WITHOUT_TERMINAL: Final = 30
# Fixed steps, so that the same height means the same on every replica: the most that each shows.
_STEPS_MS: Final = (
    (10.0, "▁"),
    (30.0, "▂"),
    (100.0, "▃"),
    (300.0, "▄"),
    (1_000.0, "▅"),
    (3_000.0, "▆"),
    (10_000.0, "▇"),
    (float("inf"), "█"),
)
_NOTHING: Final = " "
_MARKS: Final = {
    LagState.STOPPED: "x",
    LagState.STALE: "?",
    LagState.UNKNOWN: "?",
    LagState.IDLE: ".",
}


def lag_table(lags: Sequence[TabletLag], width: int | None = None) -> str:
    """Return the lag of tablets, one a line, with that of the last minutes.

    Args:
        lags: one for each tablet.
        width: of the terminal; what a line has no room for follows below it. None: it is none.
    """
    heads = ("ALIAS", "SHARD", "STATE", "LAG", "BOUNDS", "METHOD")
    rows = [
        (one.alias, one.shard, _state(one), _lag(one), _bounds(one), _method(one)) for one in lags
    ]
    sparks = _SPARKS_WITHOUT_TERMINAL
    if width is not None:
        taken = sum(max(map(len, column)) + 2 for column in zip(heads, *rows, strict=True))
        sparks = min(_SPARKS_MAX, max(_SPARKS_MIN, width - taken))
    return table(
        (*heads, f"LAST {_MINUTES}M", "WHY"),
        [
            (*row, sparkline(one.history, sparks), _why(one))
            for row, one in zip(rows, lags, strict=True)
        ],
        width,
    )


def sparkline(history: Sequence[LagPoint], width: int) -> str:
    """Return the last minutes as so many characters, the newest at the right end.

    Each is the most of its part of the time, by its height; `x` stopped; where there is no figure,
    `?` not known, `.` idle.
    """
    part_ms = _MINUTES * 60_000 / width
    parts: dict[int, list[LagPoint]] = {}
    for point in history:
        parts.setdefault(int(point.age_ms / part_ms), []).append(point)
    return "".join(_spark(parts.get(number, [])) for number in reversed(range(width)))


def _spark(points: Sequence[LagPoint]) -> str:
    states = {point.state for point in points}
    known = [
        point.lag_ms
        for point in points
        if point.state is LagState.MEASURED and point.lag_ms is not None
    ]
    if known and LagState.STOPPED not in states:
        return next(spark for most, spark in _STEPS_MS if max(known) < most)
    return next((mark for state, mark in _MARKS.items() if state in states), _NOTHING)


def _state(one: TabletLag) -> str:
    if one.state is LagState.OFF and one.type == "primary":
        return one.type
    return one.state


def _lag(one: TabletLag) -> str:
    if one.state is LagState.OFF:
        return "-"
    if one.lag_ms is not None:
        return span(one.lag_ms)
    return "?" if one.lag_seconds is None else seconds_text(one.lag_seconds)


def _bounds(one: TabletLag) -> str:
    if one.state is LagState.OFF or (one.lower_ms is None and one.upper_ms is None):
        return "-"
    lower = "?" if one.lower_ms is None else span(one.lower_ms)
    upper = "?" if one.upper_ms is None else span(one.upper_ms)
    return f"{lower}..{upper}"


def _method(one: TabletLag) -> str:
    return "-" if one.method is LagMethod.NONE else one.method


def _why(one: TabletLag) -> str:
    delay = f"delayed by {span(one.delay_ms)} on purpose" if one.delay_ms else ""
    serving = "not serving" if one.serving is False else ""
    held = "" if one.held_ms is None else f"{one.state} for {seconds_text(one.held_ms / 1000)}"
    return "; ".join(part for part in (serving, held, one.error, one.cause, delay) if part)


def span(milliseconds: float) -> str:
    """Return a lag in a unit that suits its size: `0`, `0.8ms`, `12ms`, `1.50s`, `2m05s`."""
    if milliseconds <= 0:
        return "0"
    if milliseconds < 10:
        return f"{milliseconds:.1f}ms"
    if milliseconds < 1_000:
        return f"{milliseconds:.0f}ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1_000:.2f}s"
    return seconds_text(milliseconds / 1_000)
