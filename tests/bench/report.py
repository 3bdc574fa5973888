"""What the benchmarks hand in, and the table that is made of it."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Measurement:
    """One line of the report.

    Attributes:
        what: what was measured.
        ours: the figure of tabletd, with its unit.
        reference: the figure that it is held against; empty where there is none.
        ratio: ours to the reference; empty where it says nothing.
        goal: what was wanted; empty for a figure that is only stated.
        is_met: whether the goal is met; None without a goal.
    """

    what: str
    ours: str
    reference: str = ""
    ratio: str = ""
    goal: str = ""
    is_met: bool | None = None


def write_report(measurements: Sequence[Measurement], directory: Path, console: Console) -> Path:
    """Print the table and write it to a file named after this moment."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.txt"
    with path.open("w") as file:
        for target in (console, Console(file=file, width=150)):
            target.print(_machine(), highlight=False)
            target.print(_table(measurements))
    return path


def _machine() -> str:
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, load before {os.getloadavg()[0]:.2f}"
    )


def _table(measurements: Sequence[Measurement]) -> Table:
    table = Table(title="tabletd: what it costs")
    for heading in ("what", "tabletd", "reference", "ratio", "goal", ""):
        table.add_column(heading, overflow="fold")
    for one in measurements:
        verdict = "" if one.is_met is None else ("met" if one.is_met else "MISSED")
        table.add_row(one.what, one.ours, one.reference, one.ratio, one.goal, verdict)
    return table
