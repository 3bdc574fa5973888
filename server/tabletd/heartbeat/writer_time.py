"""The clock of another host, known within bounds that are never wrong.

Both hosts have a clock that runs steadily and never goes back; what one shows less what the other
shows is the offset. One exchange confines it: the answer was given after the question was asked
and before it was heard. Between exchanges the bounds grow by what the two clocks may drift apart.
Nothing is averaged, so a slow, lost or reordered answer can only confine less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DRIFT_PPM_MAX: Final = 500
"""How fast two clocks may drift apart: what a system slews one by; crystals stay far below."""

_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class TimeSample:
    """One exchange with the writer's daemon, in nanoseconds.

    Attributes:
        asked_ns: just before the question left, on our clock.
        received_ns: when the writer had it, on the writer's clock.
        sent_ns: when the writer answered, on the writer's clock.
        heard_ns: just after the answer came, on our clock.
    """

    asked_ns: int
    received_ns: int
    sent_ns: int
    heard_ns: int

    @property
    def is_possible(self) -> bool:
        """Whether neither clock went back."""
        return self.asked_ns <= self.heard_ns and self.received_ns <= self.sent_ns


@dataclass(frozen=True, slots=True)
class Bracket:
    """A moment on our clock: not before `low_ns`, not after `high_ns`."""

    low_ns: int
    high_ns: int

    @property
    def middle_ns(self) -> int:
        """The best guess."""
        return (self.low_ns + self.high_ns) // 2


class WriterTime:
    """The writer's clock as far as exchanges have confined it.

    Args:
        drift_ppm_max: how fast the two clocks may drift apart.
    """

    def __init__(self, drift_ppm_max: int = DRIFT_PPM_MAX) -> None:
        self._drift_ppm_max = drift_ppm_max
        # Of the offset (the writer's clock less ours) at the moment `_at_ns` of our clock.
        self._low_ns = 0
        self._high_ns = 0
        self._at_ns: int | None = None

    @property
    def is_known(self) -> bool:
        """Whether there was an exchange."""
        return self._at_ns is not None

    def note(self, sample: TimeSample) -> bool:
        """Take an exchange.

        Returns:
            Whether it agrees with those before. When it does not, a clock was set or a machine
            stood still, what was known before is worth nothing, and this exchange begins anew.
        """
        if not sample.is_possible:
            return True
        drift_ns = self._drift_ns(sample.heard_ns - sample.asked_ns)
        low_ns = sample.sent_ns - sample.heard_ns - drift_ns
        high_ns = sample.received_ns - sample.asked_ns + drift_ns
        if low_ns > high_ns:
            return True
        agrees = True
        if self._at_ns is not None:
            grown_ns = self._drift_ns(sample.heard_ns - self._at_ns)
            both = max(low_ns, self._low_ns - grown_ns), min(high_ns, self._high_ns + grown_ns)
            agrees = both[0] <= both[1]
            if agrees:
                low_ns, high_ns = both
        self._low_ns, self._high_ns, self._at_ns = low_ns, high_ns, sample.heard_ns
        return agrees

    def here(self, writer_ns: int) -> Bracket:
        """Return when something happened, on our clock.

        Args:
            writer_ns: when it did, on the writer's.

        Raises:
            ValueError: there was no exchange.
        """
        if self._at_ns is None:
            raise ValueError("the writer's time is not known without an exchange")
        low_ns, high_ns = writer_ns - self._high_ns, writer_ns - self._low_ns
        # The clocks drift until the event itself, whose moment is only being found.
        away_ns = max(abs(low_ns - self._at_ns), abs(high_ns - self._at_ns))
        drift_ns = self._drift_ns(away_ns + self._drift_ns(away_ns)) + 1
        return Bracket(low_ns - drift_ns, high_ns + drift_ns)

    def error_ns(self, now_ns: int) -> int | None:
        """Return how wrong the middle of the bounds may be now; None: there was no exchange."""
        if self._at_ns is None:
            return None
        return (self._high_ns - self._low_ns) // 2 + self._drift_ns(now_ns - self._at_ns)

    def _drift_ns(self, passed_ns: int) -> int:
        return -(-abs(passed_ns) * self._drift_ppm_max // _MILLION)
