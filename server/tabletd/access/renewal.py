"""Files that change while we run: certificates, keys, users."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from tabletd.errors import TabletdError

logger = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 1.0
_LOOKS_PER_REMINDER: Final = 3600


class Renewable(Protocol):
    """What was read from files."""

    @property
    def paths(self) -> Sequence[Path]:
        """The files."""
        ...

    def reload(self) -> None:
        """Read them again.

        Raises:
            TabletdError: INVALID_CONFIG; nothing is changed.
        """
        ...


class Renewal:
    """Has files read again as soon as they change, or on demand.

    Args:
        parts: what was read from them.
        remind: called after that, and every hour.
    """

    def __init__(self, parts: Sequence[Renewable], remind: Callable[[], None]) -> None:
        self._parts = parts
        self._remind = remind
        self._seen = self._stamps()

    async def run(self) -> None:
        """Look at the files; never returns."""
        looks = 0
        while True:
            if looks % _LOOKS_PER_REMINDER == 0:
                self._remind()
            looks += 1
            await asyncio.sleep(_LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Read what has changed since it was read last."""
        if self._stamps() != self._seen:
            self.reload()

    def reload(self) -> None:
        """Read all of it again; what is wrong is said, and leaves that part as it was."""
        self._seen = self._stamps()
        for part in self._parts:
            try:
                part.reload()
            except TabletdError as error:
                logger.error("unchanged: %s", error)
        self._remind()

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(path) for part in self._parts for path in part.paths]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Return what tells whether a file was changed or replaced."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
