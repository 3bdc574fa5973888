"""How a run ended: by what the tool left, and by what the server says of the swap."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tabletd.executor.engines.base import Outcome
from tabletd.executor.engines.tool import Swap, Tool
from tabletd.executor.engines.workspace import Phase
from tabletd.executor.states import Status

# Errors 1290, 1792 and 1836 of MySQL and MariaDB.
_READ_ONLY: Final = re.compile(r"--(?:super-)?read[-_]only|in read[- ]only (?:mode|transaction)")


@dataclass(frozen=True, slots=True)
class PhaseEnd:
    """How one start of the tool ended.

    Attributes:
        exit_code: as `Run.exit_status`.
        output: the end of what the tool wrote.
        stopped: it was ended from outside: by us, by a signal, by a change of roles.
    """

    exit_code: int | None
    output: str
    stopped: bool


class RunEnds:
    """Judges the ends of one tool's runs.

    Args:
        tool: reads what it wrote.
    """

    def __init__(self, tool: Tool) -> None:
        self._tool = tool

    def failure(self, phase: Phase, end: PhaseEnd) -> str:
        """Say in words why a start of the tool failed."""
        who = f"{self._tool.strategy} {phase.words}"
        if end.exit_code is None:
            return f"{who} ended without a trace: its wrapper was killed"
        if end.exit_code < 0:
            return f"{who} was ended from outside by signal {-end.exit_code}"
        return f"{who} ended with {end.exit_code}: {self._tool.failure_cause(end.output)}"

    def met_read_only(self, end: PhaseEnd) -> bool:
        """Say whether the tool ended because the server takes no writes any more.

        That is a change of roles and no failure of the migration.
        """
        if not end.exit_code:
            return False
        return _READ_ONLY.search(self._tool.failure_cause(end.output)) is not None

    def outcome(self, end: PhaseEnd, swap: Swap, difference: str = "") -> Outcome:
        """Say how a run ended; the exit status alone does not prove the swap.

        Args:
            end: of the real run.
            swap: what the server says.
            difference: how the altered copy differs from the table; empty where it is not known to.
        """
        tool = self._tool.strategy
        losses = difference or self._tool.losses(end.output)
        if swap.done and losses:
            return Outcome(
                Status.FAILED,
                f"{tool} swapped the tables although rows may have lost values: {losses}; "
                f"the former table is kept as {swap.old_table}",
                swap.old_table,
            )
        if swap.done:
            message = ""
            if end.stopped:
                message = "the tables were swapped before the stop took effect"
            elif end.exit_code != 0:
                message = f"the tables were swapped; after that: {self.failure(Phase.RUN, end)}"
            return Outcome(Status.COMPLETE, message, swap.old_table)
        if difference:
            return Outcome(Status.FAILED, f"{tool} was ended before the swap: {difference}")
        if end.stopped:
            return Outcome(Status.CANCELLED, f"{tool} was stopped before the swap")
        if end.exit_code == 0:
            return Outcome(
                Status.FAILED,
                f"{tool} ended with 0, but the table was not swapped: {swap.seen}",
            )
        return Outcome(Status.FAILED, self.failure(Phase.RUN, end))
