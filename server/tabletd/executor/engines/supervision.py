"""One start of a tool, followed to its end."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from tabletd.errors import LostRace, TabletdError
from tabletd.executor.engines.base import CutOver, Detached, Progress, RunControls, RunRecord
from tabletd.executor.engines.completion import Completion
from tabletd.executor.engines.settings import EngineSettings
from tabletd.executor.engines.swap_lock import SwapLock
from tabletd.executor.engines.tool import RunPlan, Standstill, Start, Tool
from tabletd.executor.engines.workspace import Phase, read_log
from tabletd.processes.runner import Run

_FAST_PROGRESS_SECONDS: Final = 120.0
_SLOW_FACTOR: Final = 5

_logger = logging.getLogger(__name__)


def hang_words(tool: str) -> str:
    """Return what begins with for which a tool was ended that hung, in its row and in its log."""
    return f"{tool} hung"


class Supervision:
    """Follows a tool: writes its progress, passes on what is wanted, ends it when it must.

    Args:
        tool: what runs.
        plan: of the run.
        settings: of the engines.
        record: the way into the row.
        stop: set when the tool is to end.
        controls: tell when the tool is to go on without this daemon.
        completion: looks after the last step.
        lock: tells whether the tool waits for the server.

    Attributes:
        hang: what stood still for too long, for which the tool was ended; None: nothing did.
    """

    def __init__(
        self,
        tool: Tool,
        plan: RunPlan,
        settings: EngineSettings,
        record: RunRecord,
        stop: asyncio.Event,
        controls: RunControls,
        completion: Completion,
        lock: SwapLock,
    ) -> None:
        self._tool = tool
        self._plan = plan
        self._settings = settings
        self._record = record
        self._stop = stop
        self._controls = controls
        self._completion = completion
        self._lock = lock
        self._pause_seconds = settings.progress_interval_seconds
        self._is_pointed_here = True
        self._stands_still: Standstill | None = None
        self._stands_still_since = 0.0
        self.hang: Standstill | None = None

    @property
    def is_to_end(self) -> bool:
        """Whether the tool is to end, or not to be started at all."""
        return self._stop.is_set()

    async def begin(self, phase: Phase) -> Start:
        """Return what the tool is to be started with.

        Raises:
            Detached: nothing is to be started any more.
        """
        if self._controls.is_let_go:
            raise Detached
        return await self._completion.begin() if phase is Phase.RUN else Start()

    def take_over(self, phase: Phase) -> None:
        """Go on with a tool that an earlier daemon started."""
        if phase is Phase.RUN:
            self._is_pointed_here = False
            is_ready = self._plan.facts.migration.ready_to_complete
            self._completion.take_over(is_ready=is_ready)

    async def follow(self, run: Run, phase: Phase) -> bool:
        """Follow the tool to its end; returns whether we ended it.

        Raises:
            Detached: the tool goes on without this daemon.
        """
        began = time.monotonic()
        must_end = False
        async with asyncio.TaskGroup() as tasks:
            ended = tasks.create_task(run.wait(), name=f"{self._tool.strategy}: end")
            stopped = tasks.create_task(self._stop.wait(), name=f"{self._tool.strategy}: stop")
            changed = tasks.create_task(self._completion.changed())
            proved = tasks.create_task(self._prove(phase), name=f"{self._tool.strategy}: proof")
            while not must_end:
                await asyncio.wait(
                    {ended, stopped, changed, *([] if proved.done() else [proved])},
                    timeout=self._pause_seconds,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if ended.done() or stopped.done() or self._controls.is_let_go:
                    break
                if changed.done():
                    changed = tasks.create_task(self._completion.changed())
                must_end = not await self._look(run, phase, time.monotonic() - began)
            has_ended = ended.done()
            for task in (ended, stopped, changed, proved):
                task.cancel()
        if has_ended:
            return False
        if self._controls.is_let_go and not (must_end or self.is_to_end):
            raise Detached
        await self._settings.confirm_lease()
        await run.terminate(grace_seconds=self._settings.stop_grace_seconds)
        return True

    async def _prove(self, phase: Phase) -> None:
        if phase is Phase.RUN:
            await self._completion.prove()

    async def _look(self, run: Run, phase: Phase, elapsed_seconds: float) -> bool:
        """Look after the tool once; returns whether it may go on.

        It may not when the row is no longer this run's, nor when rows are lost, nor when it hangs.

        A server that is away does not end the tool.
        """
        if self._completion.difference:
            return False
        progress = Progress(stage=f"{self._tool.strategy}: {phase.words}")
        try:
            if phase is Phase.RUN:
                progress = await self._real_progress(run, progress)
                if self.hang:
                    return False
            await self._record.progress(progress)
        except LostRace:
            return False
        except (TabletdError, OSError) as error:
            # What is wanted of the tool may have met a full disk: it is passed on with the next.
            _logger.warning("progress is not written: %s", error)
        # In a long run gh-ost would log each question: ask less often then.
        is_fast = elapsed_seconds < _FAST_PROGRESS_SECONDS or progress.cut_over is CutOver.UNDER_WAY
        factor = 1 if is_fast else _SLOW_FACTOR
        self._pause_seconds = self._settings.progress_interval_seconds * factor
        return True

    async def _look_for_hang(self, log_text: str, answer: str) -> None:
        still = self._tool.standstill(log_text, answer)
        now = time.monotonic()
        if still is None or still != self._stands_still:
            self._stands_still, self._stands_still_since = still, now
        elif now - self._stands_still_since <= self._settings.hang_seconds:
            return
        elif not await self._lock.has_statement_under_way():
            self.hang = still
            words = f"{hang_words(self._tool.strategy)} {still.words}"
            _logger.warning("migration %s: %s", self._plan.callback.migration_uuid, words)

    async def _real_progress(self, run: Run, initial: Progress) -> Progress:
        if not self._is_pointed_here:
            self._is_pointed_here = await self._tool.point_at(
                self._plan.workspace, self._plan.callback
            )
        await self._completion.obey()
        log_text = await asyncio.to_thread(read_log, run.log_file, run.log_offset)
        await self._completion.count(log_text)
        answer = await self._tool.ask(self._plan.workspace)
        await self._look_for_hang(log_text, answer)
        rows = self._plan.facts.table.rows if self._plan.facts.table else 0
        progress = await asyncio.to_thread(
            self._tool.progress, self._plan.workspace, log_text, answer, rows
        )
        return await self._completion.tell(progress or initial)
