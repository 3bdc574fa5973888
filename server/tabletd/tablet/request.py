"""What an operator asks of a tablet."""

from __future__ import annotations

import asyncio

from tabletd.errors import TabletdError
from tabletd.tablet.identity import TabletType


class Request:
    """Something to be done by the tablet's own task at its next step.

    Args:
        wanted_type: the new type; None: only look at the server.
        broadcast: tell the health afterwards, changed or not.
    """

    def __init__(self, wanted_type: TabletType | None, *, broadcast: bool) -> None:
        self.wanted_type = wanted_type
        self.broadcast = broadcast
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def finish(self, error: TabletdError | None) -> None:
        """Let the caller go on; nothing happens when it is gone."""
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)
