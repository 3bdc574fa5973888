"""How background work repeats: one loop for all components, and a log that does not flood."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from tabletd.clock import Clock, SystemClock
from tabletd.errors import MySQLUnavailable, NotWritable, TabletdError

LOG_PERIOD_SECONDS = 60.0
BACKOFF_SECONDS_MAX = 10.0


class ThrottledLogger:
    """Logs at most one error per period, and says how many it left out.

    Args:
        name: put before each message (`HeartbeatWriter`).
        period_seconds: the time in which only one message is written.
        clock: for tests.
        logger: where to write.
    """

    def __init__(
        self,
        name: str,
        *,
        logger: logging.Logger,
        period_seconds: float = LOG_PERIOD_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        self._name = name
        self._logger = logger
        self._period_seconds = period_seconds
        self._clock = clock or SystemClock()
        self._emitted_at: float | None = None
        self._skipped = 0

    def error(self, message: str) -> None:
        """Write the message, or count it when one was written within the period."""
        now = self._clock.monotonic_seconds()
        if self._emitted_at is not None and now - self._emitted_at <= self._period_seconds:
            self._skipped += 1
            return
        if self._skipped:
            self._logger.error("%s: skipped %d log messages", self._name, self._skipped)
            self._skipped = 0
        self._emitted_at = now
        self._logger.error("%s: %s", self._name, message)


async def every(
    interval_seconds: float,
    step: Callable[[], Awaitable[None]],
    *,
    name: str,
    logger: logging.Logger,
    wake: asyncio.Event | None = None,
    tolerate: tuple[type[TabletdError], ...] = (MySQLUnavailable, NotWritable),
    on_failure: Callable[[TabletdError], None] | None = None,
) -> None:
    """Run `step` now, then at each interval or as soon as `wake` is set; never returns.

    A tolerated error is logged (once a minute), waited out with a growing, jittered pause and tried
    again; any other exception is a bug and leaves the loop.

    Args:
        interval_seconds: pause between the end of one step and the start of the next.
        step: the work; it must bound its own waits.
        name: for the log.
        logger: where tolerated errors are written.
        wake: when set, the next step starts at once; cleared before the step, so that an event
            during it counts.
        tolerate: errors that end the step but not the loop.
        on_failure: told of each tolerated error.
    """
    throttled = ThrottledLogger(name, logger=logger)
    failures = 0
    while True:
        if wake is not None:
            wake.clear()
        try:
            await step()
            failures = 0
        except tolerate as error:
            failures += 1
            throttled.error(str(error))
            if on_failure is not None:
                on_failure(error)
        seconds = _pause_seconds(interval_seconds, failures)
        if wake is None:
            await asyncio.sleep(seconds)
        else:
            await pause(seconds, wake)


def _pause_seconds(interval_seconds: float, failures: int) -> float:
    if failures == 0:
        return interval_seconds
    grown = min(BACKOFF_SECONDS_MAX, 0.1 * float(2 ** min(failures, 10)))
    return float(min(max(interval_seconds, 0.1), grown) * random.uniform(0.8, 1.2))


async def pause(seconds: float | None, wake: asyncio.Event) -> None:
    """Wait until `wake` is set; it stays so: who pauses clears it.

    Args:
        seconds: the longest that is waited; None: for ever.
        wake: ends the pause.
    """
    try:
        async with asyncio.timeout(seconds):
            await wake.wait()
    except TimeoutError:
        return
