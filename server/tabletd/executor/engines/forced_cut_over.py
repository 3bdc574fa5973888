"""The swap of a table, forced: whoever stands in its way is ended, and named."""

from __future__ import annotations

import logging
import time
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.executor.engines.base import RunControls
from tabletd.executor.engines.blockers import Blocker, Ending, end_blockers
from tabletd.executor.engines.tool import RunPlan
from tabletd.mysql.pool import Pool

_NAMED_MAX: Final = 10

_logger = logging.getLogger(__name__)


class ForcedCutOver:
    """Ends what a run's swap waits for, once that is asked for or its time has come.

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
        self._ended: dict[int, Blocker] = {}
        self._spared: dict[int, Blocker] = {}
        self._unseen = ""

    @property
    def is_wanted(self) -> bool:
        """Whether blockers are to be ended by now."""
        return self._controls.force_cutover or (
            self._after_seconds > 0
            and self._ready_at_seconds is not None
            and time.monotonic() - self._ready_at_seconds >= self._after_seconds
        )

    @property
    def ended(self) -> str:
        """Who was ended, in words; empty where nobody was."""
        return f"the forced cut-over ended {_names(self._ended)}" if self._ended else ""

    @property
    def message(self) -> str:
        """Who was ended and who could not be, in words; empty where nobody stood in the way."""
        parts = [self.ended] if self._ended else []
        if self._spared:
            parts.append(
                f"it may not end {_names(self._spared)}: tabletd's account needs CONNECTION ADMIN "
                "(before MySQL 8.0 and MariaDB 10.5: SUPER)"
            )
        if self._unseen:
            parts.append(self._unseen)
        return "; ".join(parts)

    async def attempt(self) -> bool:
        """End who stands in the way of a swap that is under way; returns whether that is news."""
        if self._ready_at_seconds is None:
            self._ready_at_seconds = time.monotonic()
        if not self.is_wanted:
            return False
        before = self.message
        try:
            async with self._pool.session(writable=True) as session:
                ending = await end_blockers(
                    session, self._plan.schema, self._plan.table, self._plan.account.user
                )
        except TabletdError as error:
            _logger.warning("the cut-over cannot be forced: %s", error)
            if error.reason is Reason.MISSING_GRANT:
                self._unseen = f"the cut-over cannot be forced: {error.message}"
        else:
            self._remember(ending)
        return self.message != before

    def _remember(self, ending: Ending) -> None:
        for blocker in ending.ended:
            self._ended.setdefault(blocker.id, blocker)
        for blocker in ending.spared:
            self._spared.setdefault(blocker.id, blocker)
        self._unseen = self._unseen or ending.unseen


def _names(blockers: dict[int, Blocker]) -> str:
    named = [str(blocker) for blocker in list(blockers.values())[:_NAMED_MAX]]
    more = len(blockers) - len(named)
    noun = "connection" if len(blockers) == 1 else "connections"
    return f"{noun} {', '.join(named)}" + (f" and {more} more" if more else "")
