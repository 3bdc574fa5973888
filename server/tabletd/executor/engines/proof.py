"""What a run has to prove before it may swap the tables: that no row is lost.

All rows of the table and of its altered copy are compared, chunk by chunk, each chunk in one
snapshot of both. The triggers of pt-online-schema-change work inside the writers' transactions, so
that a difference is a loss. gh-ost runs behind the writers: a row that differs is looked at again
once gh-ost has caught up with the moment of the last look, and is lost if it still differs, and
stands still on both sides, after several looks that lie further and further apart. A row that is
never still is looked at a dozen times, and then told as not proven.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from tabletd.errors import LeaseNotHeld, MySQLUnavailable, NotWritable, Reason, TabletdError
from tabletd.executor.engines.settings import EngineSettings
from tabletd.executor.engines.tool import RunPlan, Settling, Tool
from tabletd.executor.verify import (
    Comparison,
    Difference,
    RowKey,
    VerifyOptions,
    open_comparison,
)
from tabletd.mysql.pool import Pool

_FILE: Final = "proof.json"
NULL_TO_DEFAULT: Final = "--null-to-not-null"
_NAMED_MAX: Final = 10
SUSPECTS_MAX: Final = 2000
_CHUNK_ATTEMPTS_MAX: Final = 5
_PAUSE_SECONDS: Final = 1.0
_PAUSE_SECONDS_MAX: Final = 30.0
_FIRST_PAUSE_SECONDS: Final = 0.25
_LAST_PAUSE_SECONDS: Final = 2.0
_UNPROVEN_MAX: Final = 10_000
_LOOKS_MAX: Final = 12
_STILL_LOOKS: Final = 6
# Where nothing at all was written between two looks.
_STILL_LOOKS_IN_SILENCE: Final = 2
_AWAY: Final = (LeaseNotHeld, MySQLUnavailable, NotWritable)
_PASSING: Final = frozenset(
    {Reason.TIMEOUT, Reason.LOCK_WAIT, Reason.DEADLOCK, Reason.TOO_MANY_CONNECTIONS}
)

_logger = logging.getLogger(__name__)


class ProofState(StrEnum):
    """Where the comparison stands."""

    OFF = "off"
    WAITING = "waiting"
    COMPARING = "comparing"
    EQUAL = "equal"
    DIFFERENT = "different"


# Begins a comparison of a run's two tables; raises TabletdError where they cannot be compared.
Opening = Callable[[], AbstractAsyncContextManager[Comparison]]


@dataclass(slots=True)
class _Suspect:
    """A row that differed: how it looked last, and how often it looked just like that before."""

    difference: Difference
    still_looks: int = 0

    def look(self, now: Difference) -> None:
        before = self.difference
        is_still = (before.old, before.new) == (now.old, now.new)
        self.still_looks = self.still_looks + 1 if is_still else 0
        self.difference = now


@dataclass(slots=True)
class _Memory:
    """What is known already, kept in the run's directory for the next daemon.

    Attributes:
        after: key of the last row that needs no further look.
        rows: compared so far.
        unproven: rows that never stood still, as messages name them.
        more_unproven: how many there are beside these.
        verdict: see `Proof.verdict`; None while it is not known.
    """

    after: RowKey | None = None
    rows: int = 0
    unproven: list[str] = field(default_factory=list[str])
    more_unproven: int = 0
    verdict: str | None = None

    def leave_unproven(self, row: str) -> None:
        """Remember a row that never stood still."""
        if row in self.unproven:
            return
        if len(self.unproven) < _UNPROVEN_MAX:
            self.unproven.append(row)
        else:
            self.more_unproven += 1


class Proof:
    """Compares a run's tables while the run is held before its swap.

    Args:
        opening: begins the comparison; None: nothing is compared.
        settling: for a tool that runs behind the writers; None: a difference is a loss.
        file: where it is kept how far it got.

    Attributes:
        state: where it stands.
        verdict: what differs, or why they can never be compared; of what is equal, what could not
            be proven, or empty.
    """

    def __init__(self, opening: Opening | None, settling: Settling | None, file: Path) -> None:
        self._opening = opening
        self._settling = settling
        self._file = file
        self._may_begin = asyncio.Event()
        self._memory = _read(file)
        self._suspects: dict[RowKey, _Suspect] = {}
        self._is_through = False
        self._trouble = ""
        self._rows_estimated = 0
        self.verdict = self._memory.verdict or ""
        self.state = ProofState.WAITING
        if opening is None:
            self.state = ProofState.OFF
        elif self._memory.verdict is not None:
            self.state = ProofState.EQUAL

    @property
    def is_due(self) -> bool:
        """Whether the run is to be held until more is known."""
        return self.state in (ProofState.WAITING, ProofState.COMPARING)

    @property
    def words(self) -> str:
        """How far it is, for the run's stage."""
        trouble = f" ({self._trouble})" if self._trouble else ""
        again = f", {len(self._suspects)} to be looked at again" if self._suspects else ""
        about = f" of about {self._rows_estimated}" if self._rows_estimated else ""
        return f"comparing rows, {self._memory.rows}{about} done{again}{trouble}"

    def begin(self) -> None:
        """Let the comparison begin: the copy is through, and the run is held."""
        self._may_begin.set()

    async def run(self) -> None:
        """Compare, once that may begin, until it is known whether the tables are equal.

        What keeps it from comparing (a full disk, a privilege that was taken away) holds the run:
        nobody has asked for a swap that is not proven.
        """
        if not self.is_due:
            return
        await self._may_begin.wait()
        self.state = ProofState.COMPARING
        pause_seconds = _PAUSE_SECONDS
        while self.is_due:
            try:
                await self._compare()
            except TabletdError as error:
                _logger.warning("rows are not compared: %s", error)
                if error.reason is Reason.PREFLIGHT_REFUSED:
                    self._refuse(str(error))
                    return
                self._trouble = f"held, since they cannot be compared: {error}"
                is_passing = isinstance(error, _AWAY) or error.reason in _PASSING
                await asyncio.sleep(_PAUSE_SECONDS if is_passing else pause_seconds)
                if not is_passing:
                    pause_seconds = min(2 * pause_seconds, _PAUSE_SECONDS_MAX)

    async def _compare(self) -> None:
        assert self._opening is not None
        async with self._opening() as comparison:
            self._rows_estimated = comparison.rows_estimated
            attempt = 1
            while not self._is_through:
                attempt = await self._go_on(comparison, attempt)
            if self.is_due:
                await self._examine(comparison)
            if self.is_due:
                self._end(self._unproven())

    async def _go_on(self, comparison: Comparison, attempt: int) -> int:
        """Compare from where it stopped; returns how often the next chunk was begun, with that."""
        async with aclosing(comparison.chunks(self._memory.after)) as chunks:
            async for chunk in chunks:
                self._trouble = ""
                self._suspects |= {found.key: _Suspect(found) for found in chunk.differences}
                if chunk.too_many or len(self._suspects) >= SUSPECTS_MAX:
                    await self._examine(comparison)
                if not self.is_due:
                    break
                if chunk.too_many and attempt < _CHUNK_ATTEMPTS_MAX:
                    return attempt + 1
                if chunk.too_many:
                    end = f" up to {chunk.last.words}" if chunk.last else ""
                    self._memory.leave_unproven(f"more rows{end}")
                attempt = 1
                self._memory.after = chunk.last
                self._memory.rows += chunk.rows
                if not self._suspects:
                    _write(self._file, self._memory)
        self._is_through = True
        return attempt

    def _unproven(self) -> str:
        memory = self._memory
        if not memory.unproven:
            return ""
        rows = _listed(memory.unproven, memory.more_unproven)
        return f"not proven, since they never stood still: {rows}"

    async def _examine(self, comparison: Comparison) -> None:
        """Look at the rows that differ until they are equal, lost, or looked at often enough."""
        if not self._suspects:
            return
        if self._settling is None:
            self._lose([suspect.difference for suspect in self._suspects.values()])
            return
        pause_seconds = _FIRST_PAUSE_SECONDS
        applied = -1
        for _ in range(_LOOKS_MAX):
            before, applied = applied, await self._settling.settle()
            found = {one.key: one for one in await comparison.look(list(self._suspects))}
            for key in self._suspects.keys() - found.keys():
                del self._suspects[key]
            for key, difference in found.items():
                self._suspects[key].look(difference)
            enough = _STILL_LOOKS_IN_SILENCE if applied == before else _STILL_LOOKS
            lost = [one for one in self._suspects.values() if one.still_looks >= enough]
            if lost:
                self._lose([suspect.difference for suspect in lost])
                return
            if not self._suspects:
                return
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LAST_PAUSE_SECONDS)
        for suspect in self._suspects.values():
            self._memory.leave_unproven(str(suspect.difference))
        self._suspects.clear()

    def _lose(self, differences: list[Difference]) -> None:
        rows = _listed(list(map(str, differences)))
        self._refuse(f"the altered copy is not equal to the table: {rows}")

    def _refuse(self, verdict: str) -> None:
        self.verdict = verdict
        self.state = ProofState.DIFFERENT

    def _end(self, verdict: str) -> None:
        self._memory.verdict = verdict
        _write(self._file, self._memory)
        self.verdict = verdict
        self.state = ProofState.EQUAL


def proof_of(tool: Tool, pool: Pool, plan: RunPlan, settings: EngineSettings) -> Proof:
    """Return what a run has to prove: nothing, where the settings say so."""
    file = plan.workspace.directory / _FILE
    if not (settings.verify and plan.facts.migration.flags.verify):
        return Proof(None, None, file)
    options = VerifyOptions(
        load=settings.verify_load,
        differences_max=SUSPECTS_MAX,
        null_to_default=NULL_TO_DEFAULT in plan.facts.options,
    )
    facts = plan.facts

    def opening() -> AbstractAsyncContextManager[Comparison]:
        return open_comparison(
            pool, facts.migration, facts.statement, plan.table, plan.tables[0], options
        )

    return Proof(opening, tool.settling(pool, plan.workspace), file)


def _listed(rows: list[str], unnamed: int = 0) -> str:
    more = max(0, len(rows) - _NAMED_MAX) + unnamed
    return ", ".join(rows[:_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


def _read(file: Path) -> _Memory:
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        after = RowKey.from_json(kept["after"]) if kept["after"] else None
        return _Memory(
            after,
            int(kept["rows"]),
            list(kept["unproven"]),
            int(kept.get("more_unproven", 0)),
            kept["verdict"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return _Memory()


def _write(file: Path, memory: _Memory) -> None:
    named = memory.unproven[:_NAMED_MAX]
    kept = {
        "after": memory.after.to_json() if memory.after else None,
        "rows": memory.rows,
        "unproven": named,
        "more_unproven": len(memory.unproven) - len(named) + memory.more_unproven,
        "verdict": memory.verdict,
    }
    scratch = file.with_suffix(".tmp")
    try:
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as writer:
            json.dump(kept, writer)
        scratch.replace(file)
    except OSError as error:
        _logger.warning("how far the comparison got is not kept: %s", error)
