"""What is shown under a test that failed."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Logging(Protocol):
    """A fixture's value that keeps logs."""

    def logs(self) -> dict[str, str]:
        """Return the end of each log, by what it is of."""
        ...
