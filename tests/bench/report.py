"""What the benchmarks hand in, and the tables and pictures that are made of it."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

_HEADS: Final = ("what", "tabletd", "reference", "ratio", "goal", "")
_WIDTH: Final = 150


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

    @property
    def cells(self) -> tuple[str, ...]:
        """In the order of the table's columns."""
        verdict = "" if self.is_met is None else ("met" if self.is_met else "MISSED")
        return (self.what, self.ours, self.reference, self.ratio, self.goal, verdict)


@dataclass(frozen=True)
class Grid:
    """A table of its own, for what has more columns than a measurement."""

    title: str
    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class Picture:
    """A drawing.

    Attributes:
        name: of its file, without the ending.
        draw: draws on an empty matplotlib figure.
    """

    name: str
    draw: Callable[[Any], None]


Finding = Measurement | Grid | Picture


def write_report(findings: Sequence[Finding], directory: Path, console: Console) -> Path:
    """Print the tables, and write them with the pictures to a folder named after this moment."""
    folder = directory / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    folder.mkdir(parents=True)
    grids = [one for one in findings if isinstance(one, Grid)]
    if measured := [one.cells for one in findings if isinstance(one, Measurement)]:
        grids.insert(0, Grid("tabletd: what it costs", _HEADS, measured))
    with (folder / "report.txt").open("w") as file:
        for target in (console, Console(file=file, width=_WIDTH)):
            target.print(_machine(), highlight=False)
            for grid in grids:
                target.print(_table(grid))
    pictures = [one for one in findings if isinstance(one, Picture)]
    drawn = _draw(pictures, folder, console)
    parts = [_machine(), *map(_markdown, grids), *(f"![{name}]({name}.png)" for name in drawn)]
    (folder / "report.md").write_text("\n\n".join(parts) + "\n")
    return folder


def _machine() -> str:
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, load before {os.getloadavg()[0]:.2f}"
    )


def _table(grid: Grid) -> Table:
    table = Table(title=grid.title)
    for head in grid.heads:
        table.add_column(head, overflow="fold")
    for row in grid.rows:
        table.add_row(*row)
    return table


def _markdown(grid: Grid) -> str:
    rows = [grid.heads, ("---",) * len(grid.heads), *grid.rows]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"### {grid.title}", "", *lines])


def _draw(pictures: Sequence[Picture], folder: Path, console: Console) -> list[str]:
    if pictures and find_spec("matplotlib") is None:
        console.print("no pictures: scripts/setup.sh matplotlib installs what draws them")
        return []
    for picture in pictures:
        # Not imported by name: the checks run without it.
        figure: Any = import_module("matplotlib.figure").Figure(
            figsize=(10, 6), layout="constrained"
        )
        picture.draw(figure)
        figure.savefig(folder / f"{picture.name}.png", dpi=110)
    return [picture.name for picture in pictures]
