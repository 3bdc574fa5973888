"""From what is known of the beats to what is said of the lag: pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from tabletd.heartbeat.beats import Beats
from tabletd.heartbeat.exchange import Writing
from tabletd.heartbeat.lag import NANOSECONDS_PER_SECOND, Lag, LagMethod, LagState

# A beat that is late by less may be on its way, and so may the answer of its writer's daemon.
_OVERDUE_NS_MIN: Final = NANOSECONDS_PER_SECOND
_OVERDUE_INTERVALS: Final = 2


@dataclass(frozen=True, slots=True)
class WriterNews:
    """What is known of the writer's daemon.

    Attributes:
        asked_ns: when it was asked the last question that it answered; None: it answered none.
        writing: when it writes heartbeats, as it said then.
        error: why it does not answer; empty when it does.
        interval_ns: of its heartbeats, as it said then; 0: not known.
    """

    asked_ns: int | None = None
    writing: Writing = Writing.NONE
    error: str = ""
    interval_ns: int = 0


def clock_lag(beats: Beats, news: WriterNews, interval_ns: int) -> Lag | None:
    """Return the lag by the writer's time; None: that is not known.

    A beat that does not come is a lag only when it was written. When its writer says that it was
    not, nothing can be measured, and that is no lag; when nobody says anything, the lag is open.

    Args:
        beats: what was seen and told.
        news: of their writer.
        interval_ns: of the heartbeats.
    """
    reading, seen = beats.reading(), beats.seen_commit()
    if reading is None or seen is None:
        return None
    lag = Lag(
        LagState.MEASURED,
        reading.lag_ns,
        reading.at_ns / NANOSECONDS_PER_SECOND,
        lower_ns=reading.lower_ns,
        upper_ns=reading.upper_ns,
        method=LagMethod.CLOCK,
    )
    due_ns = seen.low_ns + interval_ns
    overdue_ns = reading.at_ns - due_ns
    late_ns = max(_OVERDUE_NS_MIN, _OVERDUE_INTERVALS * interval_ns)
    if beats.next_commit() is not None or overdue_ns <= late_ns:
        return lag
    since = due_ns / NANOSECONDS_PER_SECOND
    if news.asked_ns is not None and news.asked_ns > due_ns + interval_ns:
        cause = _IDLE_CAUSES[news.writing]
        return replace(lag, state=LagState.IDLE, since_monotonic=since, cause=cause)
    return replace(
        lag,
        state=LagState.STALE,
        lag_ns=max(reading.lag_ns, overdue_ns),
        since_monotonic=since,
        cause="heartbeats do not arrive, and the primary's daemon cannot be asked whether any "
        f"were written: {news.error or 'it has not answered yet'}",
    )


_IDLE_CAUSES: Final = {
    Writing.NONE: "the primary's daemon writes no heartbeats: nothing to measure by",
    Writing.REGULARLY: "the primary's daemon is late with its heartbeats: nothing to measure by",
    Writing.IDLE: "heartbeats are written on demand, and nobody has asked for them",
}


def wall_lag(lag_ns: int, measured_monotonic: float, interval_ns: int, error: str) -> Lag:
    """Return the lag by two hosts' wall clocks.

    The bounds hold if the clocks agree and the writer keeps to its interval.

    Args:
        lag_ns: the difference; negative when the reader's clock is behind.
        measured_monotonic: when.
        interval_ns: of the heartbeats.
        error: why the writer's daemon was not asked; empty: there is none.
    """
    cause = "by the wall clocks of two hosts"
    return Lag(
        LagState.MEASURED,
        lag_ns,
        measured_monotonic,
        lower_ns=max(0, lag_ns - interval_ns),
        upper_ns=max(0, lag_ns),
        method=LagMethod.WALL,
        cause=f"{cause}: {error}" if error else cause,
    )
