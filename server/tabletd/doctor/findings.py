"""What a look at something gives: fit, doubtful or unfit, and the command that mends it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
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
_Result = TypeVar("_Result")
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


def aside(look: Callable[[_Subject], _Result]) -> Callable[[_Subject], Awaitable[_Result]]:
    """Let a look that may block run in a thread of its own, so that it can be given up.

    The loop's own threads would be waited for at its end, for ever where a file system hangs.
    """

    def start(subject: _Subject) -> Awaitable[_Result]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_Result] = loop.create_future()

        def run() -> None:
            found: Future[_Result] = Future()
            try:
                found.set_result(look(subject))
            except Exception as error:
                found.set_exception(error)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_hand_on, found, answer)

        threading.Thread(target=run, name="look", daemon=True).start()
        return answer

    return start


def _hand_on(found: Future[_Result], answer: asyncio.Future[_Result]) -> None:
    if answer.cancelled():
        return
    error = found.exception()
    if error is None:
        answer.set_result(found.result())
    else:
        answer.set_exception(error)


@dataclass(frozen=True, slots=True)
class Line:
    """A finding, and which check it came from."""

    check: str
    finding: Finding
