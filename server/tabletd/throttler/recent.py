"""Who has asked of late."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tabletd.clock import Clock
from tabletd.throttler.check_result import ResponseCode

# The app of operators and of other tablets' throttlers: it looks, and copies nothing.
OPERATORS_APP: Final = "vitess"
_APPS_MAX: Final = 256
_APP_CHARS_MAX: Final = 256
_KEPT_SECONDS: Final = 3600.0


@dataclass(slots=True)
class RecentApp:
    """An app's last check.

    Attributes:
        checked_at_ns: nanoseconds since the Unix epoch.
        checked_monotonic: the same moment, seconds of the monotonic clock.
        code: what it was told.
        message: why it was refused; empty when it was not.
        slowed_monotonic: when it was refused last only to slow it down.
        slowed: and why.
    """

    checked_at_ns: int
    checked_monotonic: float
    code: ResponseCode
    message: str
    slowed_monotonic: float = float("-inf")
    slowed: str = ""


class RecentChecks:
    """Remembers the last check of the apps that asked within an hour, so many at most.

    Args:
        clock: for the time of a check.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # The one that asked last is at the end.
        self._apps: dict[str, RecentApp] = {}
        self._asked_monotonic = float("-inf")

    def note(self, app: str, code: ResponseCode, message: str, *, is_slowed: bool = False) -> None:
        """Take note of a check."""
        now = self._clock.monotonic_seconds()
        name = app[:_APP_CHARS_MAX]
        before = self._apps.pop(name, None)
        recent = RecentApp(self._clock.wall_ns(), now, code, message)
        if is_slowed:
            recent.slowed_monotonic, recent.slowed = now, message
        elif before is not None:
            recent.slowed_monotonic, recent.slowed = before.slowed_monotonic, before.slowed
        self._apps[name] = recent
        if len(self._apps) > _APPS_MAX:
            del self._apps[next(iter(self._apps))]
        if app != OPERATORS_APP:
            self._asked_monotonic = now

    def is_within(self, seconds: float) -> bool:
        """Return whether anybody but an operator asked within that time."""
        return self._clock.monotonic_seconds() - self._asked_monotonic <= seconds

    def apps(self) -> Mapping[str, RecentApp]:
        """Return the last checks, by app."""
        since = self._clock.monotonic_seconds() - _KEPT_SECONDS
        return {name: app for name, app in self._apps.items() if app.checked_monotonic >= since}
