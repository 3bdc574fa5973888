"""The lock that a run waits for: who holds it is named, and ended once that is wanted."""

from __future__ import annotations

import logging
import time
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.executor.engines.base import CutOver, RunControls, notes
from tabletd.executor.engines.blockers import (
    Blockage,
    Blocker,
    Endings,
    find_blockage,
    names_of,
)
from tabletd.executor.engines.tool import RunPlan
from tabletd.mysql.pool import Pool

_UNDER_WAY: Final = (
    "SELECT id FROM information_schema.processlist WHERE user = %s AND time > 0"
    " AND command NOT IN ('Sleep', 'Binlog Dump', 'Binlog Dump GTID')"
)

_logger = logging.getLogger(__name__)


class SwapLock:
    """Looks who keeps a run from its table's lock.

    Args:
        pool: the daemon's own account.
        plan: of the run.
        controls: what is wanted.
    """

    def __init__(self, pool: Pool, plan: RunPlan, controls: RunControls) -> None:
        self._pool = pool
        self._plan = plan
        self._controls = controls
        self._after_seconds = plan.facts.migration.flags.force_cut_over_after_seconds
        self._ready_at_seconds: float | None = None
        self._holders: tuple[Blocker, ...] = ()
        self._past = ""
        self._way_out = ""
        self._endings = Endings()
        self._unseen = ""

    @property
    def ended(self) -> str:
        """Who was ended, in words; empty where nobody was."""
        ended = self._endings.ended.values()
        return f"the forced cut-over ended {names_of(ended)}" if ended else ""

    @property
    def is_waited_for(self) -> bool:
        """Whether the run waited for somebody when it was last looked at."""
        return bool(self._holders or self._unseen)

    @property
    def message(self) -> str:
        """What is worth knowing now, in words; empty for nothing."""
        return self.trouble or self._past

    @property
    def trouble(self) -> str:
        """Who is waited for, was ended and could not be, in words; empty where nobody is."""
        waiting = ""
        if self._holders and not self._endings.spared:
            waiting = (
                f"it waits for the table's lock, held by {names_of(self._holders)}; it goes on "
                f"when that has ended{self._way_out}"
            )
        return notes(self.ended, self._endings.delay, self._endings.lack, waiting, self._unseen)

    async def look(self, cut_over: CutOver) -> bool:
        """Look who is waited for, and end them where that is wanted.

        Args:
            cut_over: only a cut-over that is under way is forced.

        Returns:
            whether `message` has something new to say.
        """
        if cut_over is CutOver.UNDER_WAY and self._ready_at_seconds is None:
            self._ready_at_seconds = time.monotonic()
        before = self._known()
        try:
            async with self._pool.session() as session:
                blockage = await find_blockage(
                    session, self._plan.schema, self._plan.table, self._plan.account.user
                )
            if blockage is not None:
                await self._face(blockage, cut_over)
            elif cut_over is CutOver.AHEAD and self.is_waited_for:
                held = f", held by {names_of(self._holders)}" if self._holders else ""
                self._past = f"it waited for the table's lock{held}"
                self._holders, self._unseen = (), ""
        except TabletdError as error:
            _logger.info("who holds the table's lock is not known: %s", error)
            if error.reason is Reason.MISSING_GRANT and self._is_forced(cut_over):
                self._unseen = f"who holds the table's lock cannot be seen: {error.message}"
        return bool(self.message) and self._known() != before

    async def has_statement_under_way(self) -> bool:
        """Say whether the server is at work for the tool: who waits for it does not hang.

        Raises:
            MySQLError: the server does not say.
        """
        found = await self._pool.execute(_UNDER_WAY, (self._plan.account.user,))
        return bool(found.rows)

    async def _face(self, blockage: Blockage, cut_over: CutOver) -> None:
        self._unseen = blockage.unseen
        if not self._is_forced(cut_over):
            self._holders = blockage.blockers
            uuid = self._plan.facts.migration.migration_uuid
            forcing = f", or by ALTER VITESS_MIGRATION '{uuid}' FORCE_CUTOVER"
            self._way_out = forcing if cut_over is CutOver.UNDER_WAY else ""
            return
        self._holders = ()
        async with self._pool.session(writable=True) as session:
            await self._endings.end(session, blockage.blockers)

    def _is_forced(self, cut_over: CutOver) -> bool:
        if cut_over is not CutOver.UNDER_WAY or self._ready_at_seconds is None:
            return False
        waited_seconds = time.monotonic() - self._ready_at_seconds
        return self._controls.force_cutover or 0 < self._after_seconds <= waited_seconds

    def _known(self) -> tuple[object, ...]:
        """What the message says, but for the ages, which only grow."""
        numbers = [[one.id for one in group] for group in (self._holders, self._endings.lingering)]
        return *numbers, list(self._endings.ended), list(self._endings.spared), self._unseen
