"""The two clocks a component may ask: handed in, so that tests can move them."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Time as a component sees it."""

    def wall_ns(self) -> int:
        """Return the wall clock as nanoseconds since the Unix epoch."""
        ...

    def monotonic_seconds(self) -> float:
        """Return seconds of a clock that never goes back; only differences mean something."""
        ...


class SystemClock:
    """The clocks of this machine."""

    def wall_ns(self) -> int:
        return time.time_ns()

    def monotonic_seconds(self) -> float:
        return time.monotonic()
