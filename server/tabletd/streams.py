"""What is told to one reader, who may be slow, until it ends."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, Self, TypeVar

from tabletd.errors import TabletdError

ItemT = TypeVar("ItemT")


class Stream(Generic[ItemT]):
    """Items in the order in which they are put; iteration waits for the next one.

    Iteration ends with a TabletdError: that of `end`, or of `too_slow`. What was put before that is
    still given.

    Args:
        waiting_max: items that may wait to be read.
        too_slow: makes the error for a reader who is more than that behind.
    """

    def __init__(self, waiting_max: int, too_slow: Callable[[], TabletdError]) -> None:
        self._waiting: deque[ItemT] = deque()
        self._waiting_max = waiting_max
        self._too_slow = too_slow
        self._end: TabletdError | None = None
        self._changed = asyncio.Event()

    @property
    def is_ended(self) -> bool:
        """Whether nothing more will be put."""
        return self._end is not None

    def put(self, item: ItemT) -> None:
        """Add an item, or end the stream when its reader is too slow."""
        if len(self._waiting) >= self._waiting_max:
            self.end(self._too_slow())
            return
        self._waiting.append(item)
        self._changed.set()

    def end(self, error: TabletdError) -> None:
        """Let the stream end with an error."""
        self._end = error
        self._changed.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ItemT:
        while not self._waiting:
            if self._end is not None:
                raise self._end
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft()
