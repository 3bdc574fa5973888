"""Lag by positions: which of the primary's GTIDs a replica had applied, and when. Pure.

The primary tells its position between the question and the answer, both on our clock: whatever it
had committed then is in that position. So no clock but our own is needed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from tabletd.heartbeat.lag import NANOSECONDS_PER_SECOND, Lag, LagMethod, LagState
from tabletd.heartbeat.writer_time import Bracket
from tabletd.mysql.position import is_position_covered

# Ten minutes of one a second; of more, the oldest say how late a replica is.
_MARKS_KEPT_MAX: Final = 600
# Positions are told each second; the next ones may take their time.
_FRESH_NS_MAX: Final = 5 * NANOSECONDS_PER_SECOND
_CAUSE: Final = "no daemon writes heartbeats on the primary: by its GTID position"


@dataclass(frozen=True, slots=True)
class _Mark:
    position: str
    told: Bracket


class Positions:
    """The primary's positions, and what the replica had of them at the last look."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start anew."""
        self._missing: deque[_Mark] = deque()
        self._applied: _Mark | None = None
        self._lag: Lag | None = None
        self._measured_ns = 0

    def note_position(self, position: str, told: Bracket) -> None:
        """Take a position of the primary.

        Args:
            position: flavour and GTIDs, as `replication.primary_status` writes it.
            told: when it was asked for, and when it was heard.
        """
        if len(self._missing) >= _MARKS_KEPT_MAX:
            self._missing.pop()
        self._missing.append(_Mark(position, told))

    def note_applied(self, gtids: str, looked: Bracket) -> None:
        """Take what the replica has applied.

        Args:
            gtids: without the flavour.
            looked: when it was asked for, and when it was heard.
        """
        while self._missing and is_position_covered(gtids, self._missing[0].position):
            self._applied = self._missing.popleft()
        if self._applied is None:
            return
        upper_ns = max(0, looked.high_ns - self._applied.told.low_ns)
        lower_ns = 0
        if self._missing:
            lower_ns = min(upper_ns, max(0, looked.low_ns - self._missing[0].told.high_ns))
        self._measured_ns = looked.high_ns
        self._lag = Lag(
            LagState.MEASURED,
            (lower_ns + upper_ns) // 2,
            looked.high_ns / NANOSECONDS_PER_SECOND,
            lower_ns=lower_ns,
            upper_ns=upper_ns,
            method=LagMethod.GTID,
            cause=_CAUSE,
        )

    def lag(self, now_ns: int, error: str) -> Lag | None:
        """Return the lag by positions; None: there never was one that the replica had.

        Args:
            now_ns: the present moment, on our clock.
            error: why the primary's daemon does not answer; empty when it does.
        """
        lag = self._lag
        age_ns = now_ns - self._measured_ns
        if lag is None or age_ns <= _FRESH_NS_MAX:
            return lag
        return replace(
            lag,
            state=LagState.STALE,
            lag_ns=(lag.lag_ns or 0) + age_ns,
            since_monotonic=lag.measured_monotonic,
            cause=f"the primary's position is not known any more: {error or 'no answer'}",
        )
