"""What the executor and its engines say to each other.

An engine carries out one migration with one tool. All that the executor knows of a running tool it
learns through a `RunRecord` and the `Outcome`; all that an engine writes into the migration's row
it writes through its `RunRecord`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from tabletd.executor.migration import Migration, Strategy
from tabletd.executor.states import Status


class EtaState(StrEnum):
    """What an ETA is worth: unknown, being measured, a number of seconds, or nothing left."""

    NONE = "none"
    MEASURING = "measuring"
    READY = "ready"
    DUE = "due"


class CutOver(StrEnum):
    """Where a run stands before its last step: not there yet, held before it, or at it."""

    AHEAD = "ahead"
    HELD = "held"
    UNDER_WAY = "under way"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: the one form that rows, streams, the command line and pages show.

    Attributes:
        stage: what is being done, beginning with the tool's name ("gh-ost: copying rows").
        rows_copied: rows copied into the shadow table so far.
        rows_estimated: the tool's estimate of the rows to copy; moves while it runs.
        percent: 0 to 100.
        eta_seconds: -1 unless `eta_state` is READY or DUE.
        eta_state: what `eta_seconds` is worth.
        throttle_reason: why the tool waits, in its own words; empty when it does not.
        backlog: events read from the binary log that are not applied yet (gh-ost).
        cut_over: where the run stands before its last step.
    """

    stage: str
    rows_copied: int = 0
    rows_estimated: int = 0
    percent: float = 0.0
    eta_seconds: int = -1
    eta_state: EtaState = EtaState.NONE
    throttle_reason: str = ""
    backlog: int = 0
    cut_over: CutOver = CutOver.AHEAD


def notes(*texts: str) -> str:
    """Return what there is to say as one message; empty texts are left out."""
    return "; ".join(text for text in texts if text)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: COMPLETE, FAILED, CANCELLED, or QUEUED where nothing lasting happened and it is to
            be tried again.
        message: the cause of a failure, or what is worth knowing of a success.
        old_table: the name under which the former table is kept; empty where there is none.
    """

    status: Status
    message: str = ""
    old_table: str = ""


class Detached(Exception):
    """The run was let go: its tool goes on without this daemon, and all that is its stays.

    The row tells the next daemon where it is found.
    """


class RunRecord(Protocol):
    """The row of one migration as seen by the engine that runs it.

    Bound to one run by its nonce: every write is a compare-and-set. All methods raise
    `errors.LostRace` when the row no longer belongs to this run, and `errors.MySQLUnavailable` when
    the server cannot be reached.
    """

    async def begin(
        self,
        *,
        nonce: str,
        engine: str,
        directory: str,
        account: str,
        token_hash: str,
        log_path: str,
        log_file: str,
    ) -> None:
        """Write down what the run is going to make, before any of it exists.

        Args:
            nonce: random name of this run.
            engine: the strategy's name ("gh-ost").
            directory: absolute path of the run's private directory.
            account: `user@host` of the run's MySQL account; empty where it uses a configured one.
            token_hash: `hooks.token_hash` of the callback token.
            log_path: `host:directory` where the log is kept.
            log_file: absolute path of the log.
        """
        ...

    async def begin_anew(self) -> None:
        """Undo `begin`: nothing was made, and another engine begins a run of its own."""
        ...

    async def add_artifacts(self, *tables: str) -> None:
        """Write down names of tables before they exist; one that is there is not added again."""
        ...

    async def remove_artifacts(self, *tables: str) -> None:
        """Forget names that nothing was made under."""
        ...

    async def note(self, *, special_plan: str, ddl_action: str) -> None:
        """Write which way was taken, and what the migration turned out to do."""
        ...

    async def stage(self, stage: str, message: str = "") -> None:
        """Say what is being done now; an empty message leaves the row's message alone."""
        ...

    async def progress(self, progress: Progress) -> None:
        """Write progress and with it the row's sign of life."""
        ...

    async def ready_to_complete(self, is_ready: bool) -> None:
        """Say whether nothing but the last step is left to do; when first is remembered."""
        ...

    async def cutover_attempts(self, attempts: int) -> None:
        """Write how often the last step has been tried; never less than before."""
        ...

    async def end(self) -> None:
        """Say that only artifacts and log of the run are left: clears the run_* columns."""
        ...


class RunControls(Protocol):
    """What is wanted of a run while it runs, kept up to date by the executor. One reader."""

    @property
    def postpone_completion(self) -> bool:
        """Get ready to complete and wait there, for hours if need be, until this is False."""
        ...

    @property
    def completion_waits_for(self) -> str:
        """What else the completion waits for, in words ("the earlier migration ..."), or empty.

        A hold of the daemon's own: ready and waiting as well, but never shown as postponed.
        """
        ...

    @property
    def force_cutover(self) -> bool:
        """End what stands in the way of the last step. Does not override a postponement."""
        ...

    @property
    def cutover_threshold_seconds(self) -> int:
        """How long one attempt of the last step may hold up others; 0: the engine's default."""
        ...

    @property
    def is_let_go(self) -> bool:
        """The daemon ends and the tool is to go on without it: raise `Detached`.

        Where nothing can go on without the daemon, `stop` is set as well.
        """
        ...

    async def changed(self) -> None:
        """Wait until something has changed since the last call returned."""
        ...


# Follows a tool that is at work already to its end, given `stop` and the controls as `run` is.
Adopted = Callable[[asyncio.Event, RunControls], Awaitable[Outcome]]


def held_by(controls: RunControls) -> str:
    """Return what a run that is ready to complete waits for, in words; empty: nothing."""
    if controls.postpone_completion:
        return "completion is postponed"
    return f"waits for {controls.completion_waits_for}" if controls.completion_waits_for else ""


class Engine(Protocol):
    """Carries out migrations of one strategy."""

    @property
    def strategy(self) -> Strategy:
        """The strategy that this engine serves."""
        ...

    async def run(
        self,
        migration: Migration,
        record: RunRecord,
        stop: asyncio.Event,
        controls: RunControls,
    ) -> Outcome:
        """Validate, dry run, run, prove and clean up.

        Returns when nothing of the run is left but its artifacts.

        Args:
            migration: the row, already claimed (`running`).
            record: the way back into the row.
            stop: set by a cancel or by the daemon's end: the tool is ended and cleaned up, and the
                outcome is CANCELLED, unless the tables were swapped already.
            controls: what is wanted of the run; may change until it ends.

        Raises:
            TabletdError: the migration was refused before anything ran (PREFLIGHT_REFUSED,
                UNSUPPORTED_SERVER, TOOL_MISSING, TOOL_UNSUITABLE, MISSING_GRANT, ...), or the
                server was lost; what could not be cleaned up is still in the row for `recover`.
            Detached: the run was let go.
        """
        ...

    async def adopt(self, migration: Migration, record: RunRecord) -> Adopted | None:
        """Take over the tool that an earlier daemon of this tablet left at work.

        Args:
            migration: a running row of this tablet whose `run_nonce` is not empty.
            record: bound to that nonce.

        Returns:
            what goes on with the run, and ends as `run` does; None where there is nothing to go on
            with: `recover` settles it then.

        Raises:
            TabletdError: it cannot be told now, the server is away for one; to be tried again.
        """
        ...

    async def recover(self, migration: Migration, record: RunRecord) -> Outcome | None:
        """Settle a run that an earlier daemon left: end its tool, look how it ended, clean up.

        Args:
            migration: a row whose `run_nonce` is not empty.
            record: bound to that nonce.

        Returns:
            how it ended, or None where nothing lasting happened and the migration may run again.
        """
        ...
