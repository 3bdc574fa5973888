"""What a look at something gives: fit, doubtful or unfit, and the command that mends it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from tabletd.errors import TabletdError


class Verdict(StrEnum):
    """How something is; the text is how a line begins."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        verdict: how it is.
        text: what was found.
        remedy: what to do, a command where there is one; empty for what is fit.
    """

    verdict: Verdict
    text: str
    remedy: str = ""


def ok(text: str) -> Finding:
    """Say that something is fit."""
    return Finding(Verdict.OK, text)


def warn(text: str, remedy: str) -> Finding:
    """Say that something works, and not as well as it could or not for long."""
    return Finding(Verdict.WARN, text, remedy)


def fail(text: str, remedy: str) -> Finding:
    """Say that something does not work."""
    return Finding(Verdict.FAIL, text, remedy)


def refused(error: TabletdError, verdict: Verdict = Verdict.FAIL) -> Finding:
    """Return what an error says."""
    return Finding(verdict, error.message, error.hint or "")


_Looking = Awaitable[Sequence[Finding]]
_Subject = TypeVar("_Subject")
_Subject_contra = TypeVar("_Subject_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Check(Generic[_Subject_contra]):
    """A named look at something.

    Attributes:
        name: what is looked at.
        look: says what it found; a TabletdError or OSError counts as unfit.
    """

    name: str
    look: Callable[[_Subject_contra], _Looking]


def aside(look: Callable[[_Subject], Sequence[Finding]]) -> Callable[[_Subject], _Looking]:
    """Let a look that may block run in a thread, so that it can be given up."""

    def start(subject: _Subject) -> _Looking:
        return asyncio.to_thread(look, subject)

    return start


@dataclass(frozen=True, slots=True)
class Line:
    """A finding, and which check it came from."""

    check: str
    finding: Finding
