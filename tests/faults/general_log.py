"""What the servers' own general logs say about who was at work, and when."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tabletd.executor.accounts import is_run_account

_LINE: Final = re.compile(
    r"^(?:\S+(?: +\S+)?)?\t+ *(?P<thread>\d+) (?P<command>[A-Z][A-Za-z ]*)\t(?P<text>.*)"
)
_LOGIN: Final = re.compile(r"(?P<user>[^@\s]+)@")
_NO_WORK: Final = frozenset({"Quit"})


@dataclass(frozen=True, slots=True)
class Span:
    """From the first to the last thing that a run's account did, in lines of one log."""

    user: str
    first: int
    last: int


def spans(lines: Iterable[str]) -> list[Span]:
    """Return when each run's account was at work, in the order of their beginning."""
    users: dict[str, str] = {}
    found: dict[str, Span] = {}
    for number, line in enumerate(lines, 1):
        if "started with:" in line:
            users.clear()
            continue
        match = _LINE.match(line)
        if match is None or match["command"] in _NO_WORK:
            continue
        if match["command"] == "Connect":
            login = _LOGIN.match(match["text"])
            users[match["thread"]] = login["user"] if login else ""
        user = users.get(match["thread"], "")
        if is_run_account(user):
            earlier = found.get(user)
            found[user] = Span(user, earlier.first if earlier else number, number)
    return list(found.values())


def overlaps(found: Iterable[Span]) -> list[str]:
    """Name the pairs of runs that were at work at the same time."""
    ordered = sorted(found, key=lambda span: span.first)
    return [
        f"{earlier.user} (lines {earlier.first} to {earlier.last}) and "
        f"{later.user} (lines {later.first} to {later.last})"
        for index, earlier in enumerate(ordered)
        for later in ordered[index + 1 :]
        if later.first < earlier.last
    ]


def overlapping_runs(log: Path) -> list[str]:
    """Read a server's general log and name the runs that were at work at the same time."""
    with log.open(encoding="utf-8", errors="replace") as lines:
        return overlaps(spans(lines))
