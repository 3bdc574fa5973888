"""What is wanted of a run while it runs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wanted:
    """The controls of one run at one time; see `engines.base.RunControls`."""

    postpone_completion: bool = False
    completion_waits_for: str = ""
    force_cutover: bool = False
    cutover_threshold_seconds: int = 0


class LiveControls:
    """Implements `engines.base.RunControls` in memory.

    Args:
        wanted: what is wanted when the run begins.
    """

    def __init__(self, wanted: Wanted | None = None) -> None:
        self._wanted = wanted or Wanted()
        self._is_let_go = False
        self._changed = asyncio.Event()

    @property
    def postpone_completion(self) -> bool:
        return self._wanted.postpone_completion

    @property
    def completion_waits_for(self) -> str:
        return self._wanted.completion_waits_for

    @property
    def force_cutover(self) -> bool:
        return self._wanted.force_cutover

    @property
    def cutover_threshold_seconds(self) -> int:
        return self._wanted.cutover_threshold_seconds

    @property
    def is_let_go(self) -> bool:
        return self._is_let_go

    @property
    def wanted(self) -> Wanted:
        """All of it."""
        return self._wanted

    def want(self, wanted: Wanted) -> None:
        """Change what is wanted; the engine is told if it is anything new."""
        if wanted != self._wanted:
            self._wanted = wanted
            self._changed.set()

    def let_go(self) -> None:
        """Say that the daemon ends and the tool is to go on without it."""
        self._is_let_go = True
        self._changed.set()

    async def changed(self) -> None:
        await self._changed.wait()
        self._changed.clear()
