"""Those who are told of a tablet's health."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tabletd.errors import Reason, TabletdError
from tabletd.streams import Stream
from tabletd.tablet.health import Health


class Subscription(Stream[Health]):
    """The health of a tablet as a stream: the present state first, then every broadcast.

    Iteration ends with a TabletdError: SHUTTING_DOWN, or SLOW_READER when the reader fell behind by
    more than the buffer.
    """

    def __init__(self, first: Health, buffer_max: int) -> None:
        super().__init__(buffer_max, _too_slow)
        self.put(first)


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


def _too_slow() -> TabletdError:
    return TabletdError(
        Reason.SLOW_READER,
        "stream health buffer overflowed. client should reconnect for up-to-date status",
    )


def _shut_down() -> TabletdError:
    return TabletdError(Reason.SHUTTING_DOWN, "tabletserver is shutdown")
