"""How far the bounds of lag figures are apart, and after which looks: pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounded:
    """A figure with both bounds, in seconds.

    Attributes:
        moment: of the look, on this machine's monotonic clock.
        lower_seconds: the oldest missing commit was at least this old.
        upper_seconds: the newest heartbeat that the look saw was at most this old.
    """

    moment: float
    lower_seconds: float
    upper_seconds: float

    @property
    def width_seconds(self) -> float:
        return self.upper_seconds - self.lower_seconds


def just_after_beats(figures: Iterable[Bounded], beat_seconds: float) -> list[Bounded]:
    """Return the figures whose look saw a heartbeat that no look before it had seen.

    The upper bound is the age of the newest heartbeat that was seen, so that a figure tells which
    one that was: as heartbeats are an interval apart, two that differ by less than half of it are
    the same. Of the first figure nobody knows whether its heartbeat was new.

    Args:
        figures: in the order of their moments.
        beat_seconds: interval of the heartbeats.
    """
    found: list[Bounded] = []
    newest: float | None = None
    for one in figures:
        seen = one.moment - one.upper_seconds
        if newest is None:
            newest = seen
        elif seen > newest + beat_seconds / 2:
            found.append(one)
            newest = seen
    return found
