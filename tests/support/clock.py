"""A clock that tests move by hand."""

from __future__ import annotations


class FakeClock:
    """Implements `tabletd.clock.Clock`; stands still until advanced."""

    def __init__(
        self, wall_ns: int = 1_700_000_000_000_000_000, monotonic_seconds: float = 1_000.0
    ) -> None:
        self._wall_ns = wall_ns
        self._monotonic_seconds = monotonic_seconds

    def wall_ns(self) -> int:
        return self._wall_ns

    def monotonic_seconds(self) -> float:
        return self._monotonic_seconds

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self._wall_ns += int(seconds * 1_000_000_000)
        self._monotonic_seconds += seconds

    def set_wall_ns(self, wall_ns: int) -> None:
        """Step the wall clock alone, as NTP or an operator would."""
        self._wall_ns = wall_ns
