"""What replication lag is, as a value: the one place where it is computed and named."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

NANOSECONDS_PER_SECOND: Final = 1_000_000_000


class LagState(StrEnum):
    """How much a lag figure may be trusted."""

    MEASURED = "measured"
    """The figure is as fresh as the interval promises."""
    STALE = "stale"
    """There was a figure once; the last successful read is too old."""
    UNKNOWN = "unknown"
    """Nothing was ever read."""
    STOPPED = "stopped"
    """A replication thread of the server does not run; the figure, if any, can only grow."""
    OFF = "off"
    """Nobody measures here: a primary has no lag, and tracking can be disabled."""


@dataclass(frozen=True, slots=True)
class Lag:
    """Replication lag as known at one moment.

    Attributes:
        state: how far the figure can be trusted.
        lag_ns: nanoseconds, negative when the reader's clock is behind the writer's; None: not
            known.
        measured_monotonic: when the figure was read, on the monotonic clock; None: never.
        since_monotonic: since when the state is STALE or STOPPED; None in other states.
        error: why the figure is missing or not to be trusted; empty when it is.
    """

    state: LagState
    lag_ns: int | None = None
    measured_monotonic: float | None = None
    since_monotonic: float | None = None
    error: str = ""

    @property
    def lag_seconds(self) -> float | None:
        """The figure in seconds, never below zero; None: not known."""
        return None if self.lag_ns is None else max(0, self.lag_ns) / NANOSECONDS_PER_SECOND

    @property
    def whole_seconds(self) -> int:
        """The figure as unsigned whole seconds for the wire; 0 where it is not known."""
        return max(0, self.lag_ns or 0) // NANOSECONDS_PER_SECOND


NO_LAG: Final = Lag(LagState.OFF, lag_ns=0)


def lag_between_ns(written_wall_ns: int, read_wall_ns: int) -> int:
    """Return the lag of a heartbeat from the wall clocks of its writer and its reader.

    The difference includes the offset of the two hosts' clocks, so it can be negative.

    Args:
        written_wall_ns: the heartbeat's `ts`, nanoseconds since the Unix epoch, writer's host.
        read_wall_ns: when it was read, on the reader's host.
    """
    return read_wall_ns - written_wall_ns
