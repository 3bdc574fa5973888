"""The last step of a tool's run: held, let go, and told of in the row."""

from __future__ import annotations

import logging
from dataclasses import replace

from tabletd.errors import LostRace, TabletdError
from tabletd.executor.engines.base import (
    CutOver,
    EtaState,
    Progress,
    RunControls,
    RunRecord,
    held_by,
)
from tabletd.executor.engines.proof import Proof, ProofState
from tabletd.executor.engines.swap_lock import SwapLock
from tabletd.executor.engines.tool import Start, Tool
from tabletd.executor.engines.workspace import Workspace

_logger = logging.getLogger(__name__)


class Completion:
    """Looks after the last step of one run.

    Args:
        tool: what runs.
        workspace: of the run.
        record: the way into the row.
        controls: what is wanted.
        lock: who keeps the run from its table's lock.
        proof: what has to be proven before the last step.
    """

    def __init__(
        self,
        tool: Tool,
        workspace: Workspace,
        record: RunRecord,
        controls: RunControls,
        lock: SwapLock,
        proof: Proof,
    ) -> None:
        self._tool = tool
        self._workspace = workspace
        self._record = record
        self._controls = controls
        self._lock = lock
        self._proof = proof
        self._lock_wait_seconds = 0
        self._is_ready = False
        self._attempts = 0

    async def begin(self) -> Start:
        """Prepare the directory for a tool that is about to start; returns what to start it with.

        A table of a few rows is copied before anybody could say afterwards that it is to wait.
        """
        self._lock_wait_seconds = self._controls.cutover_threshold_seconds
        await self._tool.set_lock_wait(self._workspace, self._lock_wait_seconds)
        is_held = self._is_to_wait
        if is_held:
            self._workspace.hold()
        return Start(is_held=is_held, lock_wait_seconds=self._lock_wait_seconds)

    def take_over(self, *, is_ready: bool) -> None:
        """Go on with a tool that runs already; what is wanted of it is passed on as ever.

        Args:
            is_ready: what the row says.
        """
        self._is_ready = is_ready

    @property
    def difference(self) -> str:
        """What differs, in words: the run must end before its last step; empty for nothing."""
        return self._proof.verdict if self._proof.state is ProofState.DIFFERENT else ""

    @property
    def unproven(self) -> str:
        """What could not be proven, in words; empty for nothing."""
        return self._proof.verdict if self._proof.state is ProofState.EQUAL else ""

    async def prove(self) -> None:
        """Prove what has to be proven, once the tool is held before its last step."""
        await self._proof.run()

    async def count(self, output: str) -> None:
        """Write how often the tool has tried its last step; tried again where that fails."""
        attempts = self._tool.cut_over_attempts(output)
        if attempts <= self._attempts:
            return
        try:
            await self._record.cutover_attempts(attempts)
            self._attempts = attempts
        except TabletdError as error:
            _logger.warning("how often the cut-over was tried is not written: %s", error)

    async def changed(self) -> None:
        """Wait until something else is wanted."""
        await self._controls.changed()

    async def obey(self) -> None:
        """Pass on to the running tool what is wanted now."""
        seconds = self._controls.cutover_threshold_seconds
        if seconds != self._lock_wait_seconds:
            await self._tool.set_lock_wait(self._workspace, seconds)
            self._lock_wait_seconds = seconds
        is_wanted = self._is_to_wait
        if is_wanted and not self._workspace.is_held:
            await self._tool.hold(self._workspace)
        elif self._workspace.is_held and not is_wanted:
            await self._tool.release(self._workspace)

    async def tell(self, progress: Progress) -> Progress:
        """Write whether the run is ready; returns the progress with the reason of its waiting.

        Raises:
            LostRace: the row no longer belongs to this run.
        """
        if progress.cut_over is CutOver.HELD:
            self._proof.begin()
        is_ready = progress.cut_over is not CutOver.AHEAD and not self._proof.is_due
        if is_ready != self._is_ready:
            try:
                await self._record.ready_to_complete(is_ready)
                self._is_ready = is_ready
            except LostRace:
                raise
            except TabletdError as error:
                _logger.warning("whether the run is ready is not written: %s", error)
        # Triggers need the table's lock before the first row is copied, the swap after the last.
        may_wait = progress.cut_over is CutOver.UNDER_WAY or progress.rows_copied == 0
        if (may_wait or self._lock.is_waited_for) and await self._lock.look(progress.cut_over):
            await self._record.stage(progress.stage, self._lock.message)
        if progress.cut_over is not CutOver.HELD:
            return progress
        return replace(
            progress,
            stage=f"{self._tool.strategy}: {self._waiting()}",
            percent=100.0,
            eta_seconds=0,
            eta_state=EtaState.DUE,
        )

    @property
    def _is_to_wait(self) -> bool:
        return self._proof.is_due or bool(held_by(self._controls))

    def _waiting(self) -> str:
        if self._proof.is_due:
            return self._proof.words
        why = held_by(self._controls)
        return f"ready to complete, {why}" if why else "about to complete"
