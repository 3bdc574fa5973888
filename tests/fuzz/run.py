"""Many inputs at one target, and what came of them."""

from __future__ import annotations

import asyncio
import random
import re
import time
from dataclasses import dataclass, field
from typing import Any, Final

from tests.fuzz.field import Field
from tests.fuzz.targets import Target

# So often everything is looked after.
_BATCH: Final = 500
_AT_ONCE: Final = 16
_SHOWN_MAX: Final = 20
# What Python and its libraries take at first and never again comes before this share of the inputs.
_WARM_SHARE: Final = 0.1
GROWTH_BYTES_MAX: Final = 30_000_000
_NUMBERS: Final = re.compile(r"[0-9a-f]{6,}|\d+|'[^']*'|\"[^\"]*\"")


@dataclass
class Report:
    """What came of a target.

    Attributes:
        target: its name.
        inputs: how many were sent.
        finds: what was wrong, once each, with an input that shows it.
        begin_bytes: memory when a tenth of the inputs had been sent; 0: all were sent at once.
        end_bytes: memory at the end.
        seconds: for all.
    """

    target: str
    inputs: int = 0
    finds: dict[str, str] = field(default_factory=dict[str, str])
    begin_bytes: int = 0
    end_bytes: int = 0
    seconds: float = 0.0

    def add(self, problem: str, shown: str) -> None:
        """Keep a find, unless one like it is known."""
        kind = _NUMBERS.sub("?", problem)[:160]
        if len(self.finds) < _SHOWN_MAX:
            self.finds.setdefault(kind, f"{problem[:400]}\n    by {shown[:1500]}")


async def fuzz(
    target: Target, under: Field, *, inputs: int, seed: str, batch: int = _BATCH
) -> Report:
    """Send inputs to a target.

    Args:
        target: which.
        under: where it is.
        inputs: how many.
        seed: of what is drawn.
        batch: how many are sent between two looks.
    """
    # What is drawn decides nothing but what is tried.
    chance = random.Random(f"{seed}/{target.name}")
    report = Report(target.name)
    began = time.monotonic()
    while report.inputs < inputs:
        if not report.begin_bytes and report.inputs >= inputs * _WARM_SHARE:
            report.begin_bytes = under.resident_bytes()
        drawn = [target.draw(chance) for _ in range(min(batch, inputs - report.inputs))]
        await under.renew()
        await _send_all(target, under, drawn, report)
        report.inputs += len(drawn)
        for problem in await under.look():
            report.add(
                problem, f"one of inputs {report.inputs - len(drawn) + 1} to {report.inputs}"
            )
    report.seconds = time.monotonic() - began
    report.end_bytes = under.resident_bytes()
    target.end()
    if report.begin_bytes and report.end_bytes > report.begin_bytes + GROWTH_BYTES_MAX:
        grown = (report.end_bytes - report.begin_bytes) / 1e6
        report.add(f"memory grew by {grown:.0f} MB", "all inputs together")
    return report


async def _send_all(target: Target, under: Field, drawn: list[Any], report: Report) -> None:
    waiting = iter(drawn)

    async def work() -> None:
        for one in waiting:
            try:
                problem = await target.send(under, one)
            except OSError as error:
                problem = f"there is nobody: {error}"
            if problem:
                report.add(problem, repr(one))

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(work())
