"""Wait for a condition instead of sleeping for a time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, overload

# Nobody waits so long but where something is wrong: a machine may be as slow as it likes.
PATIENCE_SECONDS: Final = 120.0
# What is there at once is seen at once; what takes its time is not kept from it by looking.
_PAUSE_SECONDS: Final = 0.02
SHORTLY_SECONDS: Final = _PAUSE_SECONDS
_PAUSE_SECONDS_MAX: Final = 0.1
_PAUSE_SHARE: Final = 0.1

T = TypeVar("T")


@overload
async def eventually(
    condition: Callable[[], Awaitable[T]],
    within_seconds: float = PATIENCE_SECONDS,
    what: str = "",
    *,
    pause_seconds_max: float = _PAUSE_SECONDS_MAX,
) -> T: ...
@overload
async def eventually(
    condition: Callable[[], T],
    within_seconds: float = PATIENCE_SECONDS,
    what: str = "",
    *,
    pause_seconds_max: float = _PAUSE_SECONDS_MAX,
) -> T: ...
async def eventually(
    condition: Callable[[], Any],
    within_seconds: float = PATIENCE_SECONDS,
    what: str = "",
    *,
    pause_seconds_max: float = _PAUSE_SECONDS_MAX,
) -> Any:
    """Poll a condition, plain or async, until it is true; return its value.

    Args:
        condition: what is waited for.
        within_seconds: how long.
        what: the condition in words.
        pause_seconds_max: between two looks; `SHORTLY_SECONDS` for what is soon over again.

    Raises:
        AssertionError: it was not true within the time; the text holds its last value.
    """
    began = time.monotonic()
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        waited_seconds = time.monotonic() - began
        if waited_seconds > within_seconds:
            raise AssertionError(
                f"not within {within_seconds} s: {what or condition}; last seen: {value!r}"
            )
        await asyncio.sleep(min(_pause_seconds(waited_seconds), pause_seconds_max))


def eventually_blocking(
    condition: Callable[[], T],
    within_seconds: float = PATIENCE_SECONDS,
    what: str = "",
) -> T:
    """Do the same where there is no event loop."""
    began = time.monotonic()
    while not (value := condition()):
        waited_seconds = time.monotonic() - began
        if waited_seconds > within_seconds:
            raise AssertionError(
                f"not within {within_seconds} s: {what or condition}; last seen: {value!r}"
            )
        time.sleep(_pause_seconds(waited_seconds))
    return value


def _pause_seconds(waited_seconds: float) -> float:
    return min(max(_PAUSE_SECONDS, _PAUSE_SHARE * waited_seconds), _PAUSE_SECONDS_MAX)
