"""Counts what the logs of many runs say, by kind of fault."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.kinds import KINDS

_COLUMNS: Final = (
    "seed", "tool", "server", "faults", "phases", "status", "hit", "seconds", "verdict",
    "message",
)  # fmt: skip
TWO_AT_ONCE: Final = "two at once"
_DIRECTORIES: Final = re.compile(r"/(?:[^\s/\"',:]+/)+")


@dataclass(frozen=True)
class Line:
    """One run of a log."""

    tool: str
    faults: tuple[str, ...]
    status: str
    is_hit: bool
    is_good: bool

    @property
    def row(self) -> str:
        """The row of the table that it counts in."""
        return self.faults[0] if len(self.faults) == 1 else TWO_AT_ONCE


def without_directories(text: str) -> str:
    """Leave of each absolute path its last part: a log is read on other machines."""
    return _DIRECTORIES.sub("", text)


def read_logs(paths: Iterable[Path]) -> list[Line]:
    """Read the logs of `python -m tests.faults`."""
    lines: list[Line] = []
    for path in paths:
        for text in path.read_text(encoding="utf-8").splitlines():
            # Older logs have no messages.
            found = dict(zip(_COLUMNS, text.split("\t"), strict=False))
            lines.append(
                Line(
                    tool=found["tool"],
                    faults=tuple(found["faults"].split("+")),
                    status=found["status"],
                    is_hit=found["hit"] == "hit",
                    is_good=found["verdict"] == "ok",
                )
            )
    return lines


def table(lines: Sequence[Line]) -> str:
    """Return the counts as a table in Markdown, one row for each kind."""
    rows = [
        "| kind | target | runs gh-ost | runs pt-osc | ended | found nothing to hurt | wrong |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    targets: Mapping[str, str] = {kind.name: kind.target for kind in KINDS}
    for name in (*targets, TWO_AT_ONCE):
        chosen = [line for line in lines if line.row == name]
        rows.append(_row(f"`{name}`" if name in targets else name, targets.get(name, ""), chosen))
    rows.append(_row("all", "", lines))
    return "\n".join(rows)


def _row(name: str, target: str, lines: Sequence[Line]) -> str:
    tools = Counter(line.tool for line in lines)
    ends = Counter(line.status for line in lines)
    cells = (
        *(name, target, str(tools["gh-ost"]), str(tools["pt-osc"])),
        ", ".join(f"{count} {status}" for status, count in ends.most_common()),
        str(sum(not line.is_hit for line in lines) or ""),
        str(sum(not line.is_good for line in lines) or ""),
    )
    return f"| {' | '.join(cells)} |"
