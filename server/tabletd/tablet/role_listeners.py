"""The parts that work differently on a primary, and the order in which they are told."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from tabletd.errors import Reason, TabletdError
from tabletd.loops import ThrottledLogger

_logger = logging.getLogger(__name__)


class RoleListener(Protocol):
    """A part that works differently on a primary.

    Each method may be called again when another part failed, and returns soon: it sets things going
    or asks them to stop, it does not wait for a migration's end.
    """

    async def make_primary(self) -> None:
        """Begin what only a primary does."""
        ...

    async def make_non_primary(self) -> None:
        """End what only a primary does."""
        ...

    async def close(self) -> None:
        """End everything."""
        ...


class RoleListeners:
    """Tells the parts their role and remembers whether all of them have taken it.

    Args:
        listeners: told in this order when the tablet becomes primary, in the reverse order when it
            stops being one or closes.
    """

    def __init__(self, listeners: Sequence[RoleListener]) -> None:
        self._listeners = tuple(listeners)
        self._told_primary: bool | None = None
        self._log = ThrottledLogger("change of role", logger=_logger)
        self.error = ""

    @property
    def failure(self) -> TabletdError | None:
        """The last failure as an error for whoever asked for the change; None: there is none."""
        if not self.error:
            return None
        return TabletdError(
            Reason.NOT_SERVING,
            f"the change of role is not done: {self.error}",
            hint="it is tried again every second",
        )

    async def tell(self, *, is_primary: bool) -> None:
        """Tell the role, unless all parts have taken it already; what fails is kept in `error`.

        Nobody takes up a primary's work after a part that could not; everybody lays it down.
        """
        if self._told_primary is is_primary:
            return
        failures: list[str] = []
        for listener in self._listeners if is_primary else reversed(self._listeners):
            try:
                await (listener.make_primary() if is_primary else listener.make_non_primary())
            except TabletdError as error:
                failures.append(f"{type(listener).__name__}: {error}")
                self._log.error(failures[-1])
                if is_primary:
                    break
        self.error = "; ".join(failures)
        self._told_primary = None if failures else is_primary

    async def close(self) -> None:
        """Close all parts, whatever fails."""
        for listener in reversed(self._listeners):
            try:
                await listener.close()
            except TabletdError as error:
                _logger.warning("closing %s: %s", type(listener).__name__, error)
