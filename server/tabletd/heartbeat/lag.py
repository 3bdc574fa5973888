"""What replication lag is, as a value: the one place where it is named.

For a beat, lag is the time from its commit on the primary until it can be seen on the replica. At
any moment it is the age of the oldest commit that the replica does not have.
"""

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
    """There was a figure once; what has happened since then is not known."""
    UNKNOWN = "unknown"
    """There never was a figure."""
    STOPPED = "stopped"
    """A replication thread of the server does not run; the figure, if any, can only grow."""
    IDLE = "idle"
    """The primary's daemon writes no beats just now, and all that it wrote have arrived."""
    OFF = "off"
    """Nobody measures here: a primary has no lag, and tracking can be disabled."""


class LagMethod(StrEnum):
    """How a figure was found, and so what its bounds rest on."""

    NONE = "none"
    """There is no figure."""
    CLOCK = "clock"
    """Beats, in the writer's time as it was learnt from its daemon: no host's clock is trusted."""
    GTID = "gtid"
    """The primary's position at a moment, looked for on the replica: no clock of another host."""
    WALL = "wall"
    """Beats, by the difference of two hosts' wall clocks: as wrong as those are."""
    SERVER = "server"
    """What the replica says in SHOW REPLICA STATUS, in whole seconds."""


@dataclass(frozen=True, slots=True)
class Lag:
    """Replication lag as it was at one moment, `measured_monotonic`.

    The bounds hold for the age of the oldest missing commit. When every beat has arrived, the
    lower one is 0 and the upper one the age of the newest beat: what was committed after it might
    be missing.

    Attributes:
        state: how far the figure can be trusted.
        lag_ns: the figure in nanoseconds: the lag of the newest beat that has arrived, or the age
            of the oldest that is overdue. Never negative but with method WALL, when the
            reader's clock is behind the writer's. None: not known.
        measured_monotonic: when it was measured, on the monotonic clock; None: never.
        since_monotonic: since when the state is what it is, in states STALE, STOPPED and IDLE; None
            in others.
        error: why it is missing or not to be trusted; empty when it is. A tablet with an error here
            is not healthy.
        lower_ns: lag was at least this; None: no figure.
        upper_ns: lag was at most this; None: no figure, or nothing bounds it.
        method: how it was found.
        delay_ns: the delay that an operator gave this replica (MASTER_DELAY), part of the figure
            and of the bounds.
        cause: what a person should know of the figure besides (the writer is paused, the primary's
            daemon cannot be asked); empty: nothing.
    """

    state: LagState
    lag_ns: int | None = None
    measured_monotonic: float | None = None
    since_monotonic: float | None = None
    error: str = ""
    lower_ns: int | None = None
    upper_ns: int | None = None
    method: LagMethod = LagMethod.NONE
    delay_ns: int = 0
    cause: str = ""

    @property
    def lag_seconds(self) -> float | None:
        """The figure in seconds, never below zero; None: not known."""
        return _seconds(self.lag_ns)

    @property
    def lower_seconds(self) -> float | None:
        """The lower bound in seconds, never below zero; None: not known."""
        return _seconds(self.lower_ns)

    @property
    def upper_seconds(self) -> float | None:
        """The upper bound in seconds, never below zero; None: not known."""
        return _seconds(self.upper_ns)

    @property
    def whole_seconds(self) -> int:
        """The figure as unsigned whole seconds for the wire; 0 where it is not known."""
        return max(0, self.lag_ns or 0) // NANOSECONDS_PER_SECOND

    def age_ns(self, now_monotonic: float) -> int | None:
        """Return how long ago it was measured, in nanoseconds; None: never."""
        return _since_ns(self.measured_monotonic, now_monotonic)

    def held_ns(self, now_monotonic: float) -> int | None:
        """Return how long the state has held, in nanoseconds; None: the state has no such time."""
        return _since_ns(self.since_monotonic, now_monotonic)


NO_LAG: Final = Lag(LagState.OFF, lag_ns=0, lower_ns=0, upper_ns=0)


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else max(0, nanoseconds) / NANOSECONDS_PER_SECOND


def _since_ns(moment: float | None, now: float) -> int | None:
    return None if moment is None else max(0, round((now - moment) * NANOSECONDS_PER_SECOND))


def lag_between_ns(written_wall_ns: int, read_wall_ns: int) -> int:
    """Return the lag of a heartbeat from the wall clocks of its writer and its reader.

    The difference includes the offset of the two hosts' clocks, so it can be negative.

    Args:
        written_wall_ns: the heartbeat's `ts`, nanoseconds since the Unix epoch, writer's host.
        read_wall_ns: when it was read, on the reader's host.
    """
    return read_wall_ns - written_wall_ns
