"""Those who are told of a tablet's health."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tabletd.errors import Reason, TabletdError
from tabletd.tablet.health import Health


class Subscription:
    """The health of a tablet as a stream: the present state first, then every broadcast.

    Iteration ends with a TabletdError: SHUTTING_DOWN, or SLOW_READER when the reader fell behind by
    more than the buffer. What was broadcast before that is still given.
    """

    def __init__(self, first: Health, buffer_max: int) -> None:
        self._waiting = deque([first])
        self._buffer_max = buffer_max
        self._end: TabletdError | None = None
        self._changed = asyncio.Event()

    @property
    def is_ended(self) -> bool:
        """Whether nothing more will be put."""
        return self._end is not None

    def put(self, health: Health) -> None:
        """Add a broadcast, or end the stream when its reader is too slow."""
        if len(self._waiting) >= self._buffer_max:
            self.end(
                TabletdError(
                    Reason.SLOW_READER,
                    "stream health buffer overflowed. "
                    "client should reconnect for up-to-date status",
                )
            )
            return
        self._waiting.append(health)
        self._changed.set()

    def end(self, error: TabletdError) -> None:
        """Let the stream end with an error."""
        self._end = error
        self._changed.set()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Health:
        while not self._waiting:
            if self._end is not None:
                raise self._end
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft()


class HealthStreams:
    """All subscriptions of one tablet.

    Args:
        buffer_max: broadcasts that one subscriber may lag behind.
    """

    def __init__(self, buffer_max: int) -> None:
        self._buffer_max = buffer_max
        self._subscriptions: set[Subscription] = set()
        self._is_closed = False

    @asynccontextmanager
    async def subscribe(self, present: Health) -> AsyncGenerator[Subscription]:
        """Receive broadcasts while the context lasts.

        Raises:
            TabletdError: SHUTTING_DOWN after `close`.
        """
        if self._is_closed:
            raise _shut_down()
        subscription = Subscription(present, self._buffer_max)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def publish(self, health: Health) -> None:
        """Tell everybody; who does not keep up is let go."""
        for subscription in self._subscriptions:
            subscription.put(health)
        self._subscriptions = {one for one in self._subscriptions if not one.is_ended}

    def close(self) -> None:
        """End every stream and accept no new one."""
        self._is_closed = True
        for subscription in self._subscriptions:
            subscription.end(_shut_down())
        self._subscriptions.clear()


def _shut_down() -> TabletdError:
    return TabletdError(Reason.SHUTTING_DOWN, "tabletserver is shutdown")
