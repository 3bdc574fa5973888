"""What the servers' own general logs say about who was at work, and when."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tabletd.executor.accounts import is_run_account

_HEAD: Final = re.compile(
    r"^(?:\S+(?: +\S+)?)?\t+ *(?P<thread>\d+) (?P<command>[A-Z][A-Za-z ]*)\t(?P<text>.*)"
)
_LOGIN: Final = re.compile(r"(?P<user>[^@\s]+)@")
_TABLE: Final = re.compile(r"\b_(?P<run>[0-9a-f]{8}(?:_[0-9a-f]{4}){3}_[0-9a-f]{12}_[0-9]{14})_")


@dataclass(frozen=True, slots=True)
class Span:
    """From the first to the last statement of a run, in lines of one log.

    Attributes:
        run: what the names of its tables have in common: the migration and when it was begun.
        first: the first line.
        last: the last line.
    """

    run: str
    first: int
    last: int


def spans(lines: Iterable[str]) -> list[Span]:
    """Return when each run's tool was at work, in the order of their beginning.

    Told by the tables that a run's account writes of, since the runs of a migration, one by one,
    share their account.
    """
    users: dict[str, str] = {}
    user = ""
    found: dict[str, Span] = {}
    for number, line in enumerate(lines, 1):
        if "started with:" in line:
            users.clear()
            continue
        head = _HEAD.match(line)
        if head is not None:
            if head["command"] == "Connect":
                login = _LOGIN.match(head["text"])
                users[head["thread"]] = login["user"] if login else ""
            user = users.get(head["thread"], "")
        # Statements of several lines have one head.
        table = _TABLE.search(line) if is_run_account(user) else None
        if table is not None:
            run = table["run"]
            found[run] = Span(run, found[run].first if run in found else number, number)
    return list(found.values())


def overlaps(found: Iterable[Span]) -> list[str]:
    """Name the pairs of runs that were at work at the same time."""
    ordered = sorted(found, key=lambda span: span.first)
    return [
        f"{earlier.run} (lines {earlier.first} to {earlier.last}) and "
        f"{later.run} (lines {later.first} to {later.last})"
        for index, earlier in enumerate(ordered)
        for later in ordered[index + 1 :]
        if later.first < earlier.last
    ]


def overlapping_runs(log: Path) -> list[str]:
    """Read a server's general log and name the runs that were at work at the same time."""
    with log.open(encoding="utf-8", errors="replace") as lines:
        return overlaps(spans(lines))
