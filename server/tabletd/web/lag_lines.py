"""The lag of a shard's tablets as lines of the status page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tabletd.vtctld.shard_lag import LagMoment, TabletLag

_MINUTES: Final = 5
_WIDTH: Final = 300
_HEIGHT: Final = 24
# A drawing of microseconds must not look like trouble.
_TOP_MS_MIN: Final = 100.0


@dataclass(frozen=True, slots=True)
class LagLine:
    """One tablet, in words and as a drawing.

    Attributes:
        lag: the tablet's.
        figure: the lag, with its unit.
        bounds: between what it is.
        why: what else is to be said.
        paths: a line for each stretch of time that figures are known of, as an SVG path.
        top: what the upper edge of the drawing stands for.
    """

    lag: TabletLag
    figure: str
    bounds: str
    why: str
    paths: Sequence[str]
    top: str


def lag_line(lag: TabletLag) -> LagLine:
    """Return the line of a tablet."""
    top_ms = max([_TOP_MS_MIN, *(point.lag_ms or 0.0 for point in lag.history)])
    held = "" if lag.held_ms is None else f"{lag.state} for {span(lag.held_ms)}"
    delay = f"delayed by {span(lag.delay_ms)} on purpose" if lag.delay_ms else ""
    no_bounds = lag.lower_ms is None and lag.upper_ms is None
    return LagLine(
        lag=lag,
        figure=span(lag.lag_ms),
        bounds="" if no_bounds else f"{span(lag.lower_ms)} to {span(lag.upper_ms)}",
        why="; ".join(part for part in (held, lag.error, lag.cause, delay) if part),
        paths=[_path(stretch, top_ms) for stretch in _stretches(lag.history)],
        top=span(top_ms),
    )


def span(milliseconds: float | None) -> str:
    """Return a lag in a unit that suits its size."""
    if milliseconds is None:
        return "?"
    if milliseconds < 1_000:
        return f"{milliseconds:.1f} ms"
    return f"{milliseconds / 1_000:.1f} s"


def _stretches(history: Sequence[LagMoment]) -> list[list[tuple[float, float]]]:
    """Return age and lag of the moments that follow each other without a gap."""
    found: list[list[tuple[float, float]]] = [[]]
    for point in history:
        if point.state == "measured" and point.lag_ms is not None:
            found[-1].append((point.age_ms, point.lag_ms))
        elif found[-1]:
            found.append([])
    return [stretch for stretch in found if stretch]


def _path(stretch: Sequence[tuple[float, float]], top_ms: float) -> str:
    points = [
        f"{_WIDTH * (1 - age_ms / (_MINUTES * 60_000)):.1f} {_HEIGHT * (1 - lag_ms / top_ms):.1f}"
        for age_ms, lag_ms in stretch
    ]
    return "M" + "L".join(points)
