"""When gh-ost has caught up with the table: by the position it has read, and by its backlog."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.executor.engines import gh_ost_status
from tabletd.executor.engines.gh_ost_status import Status
from tabletd.mysql.flavor import server_info, show_primary_status_sql
from tabletd.mysql.pool import Pool
from tabletd.mysql.variables import as_text

_POSITION: Final = re.compile(r"\S*?\.(?P<file>\d+):(?P<offset>\d+)")
_PAUSE_SECONDS: Final = 0.2
_MARGIN_SECONDS: Final = 0.1
# Read already, and not in the backlog yet.
_ENTERING_MAX: Final = 3

Position = tuple[int, int]


class GhOstSettling:
    """Implements `tool.Settling` for a gh-ost that answers on its socket.

    Args:
        pool: the daemon's own account, on the server that gh-ost reads from.
        socket_file: gh-ost's.
    """

    def __init__(self, pool: Pool, socket_file: Path) -> None:
        self._pool = pool
        self._socket_file = socket_file

    async def settle(self) -> int:
        catching_up = CatchingUp(await self._end_of_the_log())
        began = time.monotonic()
        while not catching_up.is_through:
            await asyncio.sleep(_PAUSE_SECONDS)
            asked_seconds = time.monotonic() - began
            answer = await gh_ost_status.ask(self._socket_file, "sup")
            catching_up.hear(answer, asked_seconds)
        return catching_up.applied

    async def _end_of_the_log(self) -> Position:
        async with self._pool.session() as session:
            sql = show_primary_status_sql(await server_info(session))
            rows = (await session.execute(sql)).rows
        if not rows:
            raise TabletdError(Reason.PREFLIGHT_REFUSED, "the server has no binary log")
        return int(as_text(rows[0][0]).rpartition(".")[2]), int(as_text(rows[0][1]))


class CatchingUp:
    """Whether gh-ost has carried over all up to a position of the binary log.

    It reads what was written into a queue, its backlog, and empties that by batches: under load
    without a pause, and else once a second, since it sleeps when there is nothing to do. So the
    backlog is hardly ever seen empty. What counts is what has left the queue since gh-ost had read
    past the position: as much as was in it then, and after that something of a later batch, for
    which the earlier ones had to be applied first.

    Args:
        position: number of the log's file, and offset in it.

    Attributes:
        applied: changes that gh-ost had applied when it was last heard of.
        is_through: it has carried over all up to the position.
    """

    def __init__(self, position: Position) -> None:
        self.applied = 0
        self.is_through = False
        self._position = position
        self._backlog: int | None = None
        self._ahead = 0
        self._taken = 0
        self._first_applied = 0
        self._is_taken = False

    def hear(self, answer: str, elapsed_seconds: float) -> None:
        """Take notice of a further answer of gh-ost to `sup`.

        Args:
            answer: what it said; empty where there is none.
            elapsed_seconds: since the position was taken until gh-ost was asked.
        """
        status = gh_ost_status.last_status(answer)
        if status is None or not self._has_read(status, elapsed_seconds):
            return
        before, self._backlog = self._backlog, status.backlog
        applied_before, self.applied = self.applied, status.applied
        if before is None:
            self._ahead = status.backlog + _ENTERING_MAX
            self._first_applied = self.applied
            return
        left = before - status.backlog
        has_moved = left > 0 or self.applied > applied_before or not status.backlog
        if self._is_taken and has_moved:
            self.is_through = True
        self._taken += max(0, left)
        is_empty = not status.backlog
        self._is_taken = (
            self._is_taken
            or is_empty
            or (max(self._taken, self.applied - self._first_applied) >= self._ahead)
        )

    def _has_read(self, status: Status, elapsed_seconds: float) -> bool:
        """With --gtid it names no position: there, a heartbeat written since has to be read."""
        if read := _POSITION.fullmatch(status.streamer):
            return (int(read["file"]), int(read["offset"])) >= self._position
        return status.lag_seconds + _MARGIN_SECONDS < elapsed_seconds
