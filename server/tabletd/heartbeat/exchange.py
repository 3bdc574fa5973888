"""What daemons tell each other of heartbeats."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from tabletd.clock import Clock
from tabletd.heartbeat.beats import Beat
from tabletd.heartbeat.lag import NANOSECONDS_PER_SECOND

# What two readings of two clocks may differ by on a busy machine; a suspension takes longer.
_SUSPENDED_NS_MIN: Final = 50_000_000


class Writing(StrEnum):
    """When a daemon writes heartbeats."""

    NONE = "none"
    """It is no primary's, or is set to write none."""
    REGULARLY = "regularly"
    """At each interval."""
    IDLE = "idle"
    """Only when somebody asks for them, and just now nobody has."""


@dataclass(frozen=True, slots=True)
class WriterQuestion:
    """What a reader asks the writer's daemon.

    Attributes:
        after_series: the series of the last beat that is known; 0: none is.
        after_sequence: the number of that beat; only later ones are told.
        want_heartbeats: somebody needs the lag: write heartbeats, where that is done on demand.
        want_position: tell the primary's position.
    """

    after_series: int
    after_sequence: int
    want_heartbeats: bool
    want_position: bool = False


@dataclass(frozen=True, slots=True)
class WriterAnswer:
    """What the writer's daemon tells, times on its own clock.

    Attributes:
        received_ns: when it had the question.
        sent_ns: when it answered.
        series: the run of the daemon that the times and the beats are of.
        writing: when it writes heartbeats.
        interval_ns: of the heartbeats.
        beats: the newest that were committed, in their order.
        position: what the primary had committed at a moment between the two times; empty: it was
            not asked for, or is not known.
    """

    received_ns: int
    sent_ns: int
    series: int
    writing: Writing
    interval_ns: int
    beats: tuple[Beat, ...]
    position: str = ""


class WriterDaemon(Protocol):
    """The daemon that writes the heartbeats of our shard."""

    async def ask(self, question: WriterQuestion, *, timeout_seconds: float) -> WriterAnswer:
        """Ask it.

        Raises:
            TabletdError: it is not known which one that is, or it does not answer.
        """
        ...


def steady_ns(clock: Clock) -> int:
    """Return the monotonic clock in nanoseconds."""
    return round(clock.monotonic_seconds() * NANOSECONDS_PER_SECOND)


def new_series() -> int:
    """Return a name for the beats of one run: another one than any other run's."""
    return secrets.randbits(62) + 1


def slept_ns() -> int:
    """Return how long this machine has been suspended in its life.

    The monotonic clock stands still meanwhile, so it cannot be compared across a suspension with
    that of a machine which went on.
    """
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()


class Suspensions:
    """Notices that the machine was suspended.

    Args:
        read_slept_ns: how long it has been, in its life.
    """

    def __init__(self, read_slept_ns: Callable[[], int] = slept_ns) -> None:
        self._read_slept_ns = read_slept_ns
        self._slept_ns = read_slept_ns()

    def noticed(self) -> bool:
        """Return whether the machine was suspended since this was asked last."""
        before, self._slept_ns = self._slept_ns, self._read_slept_ns()
        return abs(self._slept_ns - before) > _SUSPENDED_NS_MIN
