"""What the executor wants to know of the throttler."""

from __future__ import annotations

from typing import Protocol


class Throttling(Protocol):
    """Tells what holds migrations back."""

    def user_throttle_ratio(self, migration_uuid: str, /) -> float:
        """Return how much of a migration people hold back: 0 not at all, 1 wholly."""
        ...

    def last_refusal(self, app: str, /) -> str:
        """Return why the last check of an app was refused; empty when it was not."""
        ...

    def slowed_down(self, app: str, /) -> str:
        """Return why some of an app's checks were refused of late; empty when none was."""
        ...
