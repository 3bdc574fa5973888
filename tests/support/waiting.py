"""Wait for a condition instead of sleeping for a time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, overload

# Nobody waits so long but where something is wrong: a machine may be as slow as it likes.
PATIENCE_SECONDS: Final = 120.0
_PAUSE_SECONDS: Final = 0.02

T = TypeVar("T")


@overload
async def eventually(
    condition: Callable[[], Awaitable[T]], within_seconds: float = PATIENCE_SECONDS, what: str = ""
) -> T: ...
@overload
async def eventually(
    condition: Callable[[], T], within_seconds: float = PATIENCE_SECONDS, what: str = ""
) -> T: ...
async def eventually(
    condition: Callable[[], Any], within_seconds: float = PATIENCE_SECONDS, what: str = ""
) -> Any:
    """Poll a condition, plain or async, until it is true; return its value.

    Raises:
        AssertionError: it was not true within the time; the text holds its last value.
    """
    deadline = time.monotonic() + within_seconds
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(
                f"not within {within_seconds} s: {what or condition}; last seen: {value!r}"
            )
        await asyncio.sleep(_PAUSE_SECONDS)


def eventually_blocking(
    condition: Callable[[], T],
    within_seconds: float = PATIENCE_SECONDS,
    what: str = "",
    pause_seconds: float = _PAUSE_SECONDS,
) -> T:
    """Do the same where there is no event loop; pauses longer where it is dear to look."""
    deadline = time.monotonic() + within_seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(
                f"not within {within_seconds} s: {what or condition}; last seen: {value!r}"
            )
        time.sleep(pause_seconds)
    return value
