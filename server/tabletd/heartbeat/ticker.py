"""A step repeated on a fixed schedule while it is wanted."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from tabletd.clock import Clock


def next_tick(first: float, interval_seconds: float, now: float) -> float:
    """Return the first moment of the schedule that lies after `now`.

    The schedule is counted from its first tick, so a slow step delays no later one, and ticks
    missed altogether (a suspended machine) are left out instead of being made up for.

    Args:
        first: the moment of the first tick.
        interval_seconds: the distance of two ticks.
        now: the present moment, on the same clock.
    """
    if now < first:
        return first
    passed = math.floor((now - first) / interval_seconds)
    due = first + (passed + 1) * interval_seconds
    # Rounding may put the product on `now` itself, which would make one tick twice.
    return due if due > now else first + (passed + 2) * interval_seconds


class Ticker:
    """Runs a step at each tick of a schedule, from `start` to `stop`, any number of times.

    Args:
        interval_seconds: the distance of two ticks.
        step: the work; it bounds its own waits and handles its own expected errors.
        clock: what the schedule is counted on.
    """

    def __init__(
        self, interval_seconds: float, step: Callable[[], Awaitable[None]], clock: Clock
    ) -> None:
        self._interval_seconds = interval_seconds
        self._step = step
        self._clock = clock
        self._first: float | None = None
        self._schedule = 0
        self._changed = asyncio.Event()
        self._stepping = asyncio.Lock()

    @property
    def is_started(self) -> bool:
        """Whether steps are being made."""
        return self._first is not None

    def start(self, *, at_once: bool) -> None:
        """Begin a schedule now; nothing happens when one is going on.

        Args:
            at_once: the first step is due now, else one interval from now.
        """
        if self._first is not None:
            return
        now = self._clock.monotonic_seconds()
        self._first = now if at_once else now + self._interval_seconds
        self._schedule += 1
        self._changed.set()

    async def stop(self) -> None:
        """End the schedule; on return no step is running and none will be."""
        self._first = None
        self._changed.set()
        async with self._stepping:
            return

    async def run(self) -> None:
        """Make the steps; never returns. One task of the owner's group for the component's life."""
        while True:
            if self._first is None:
                await self._until_changed(None)
            else:
                await self._run_schedule(self._first, self._schedule)

    async def _run_schedule(self, first: float, schedule: int) -> None:
        due = first
        while True:
            while self._is_on(schedule) and (wait := due - self._clock.monotonic_seconds()) > 0:
                await self._until_changed(wait)
            async with self._stepping:
                if not self._is_on(schedule):
                    return
                await self._step()
            due = next_tick(first, self._interval_seconds, self._clock.monotonic_seconds())

    def _is_on(self, schedule: int) -> bool:
        return self._first is not None and self._schedule == schedule

    async def _until_changed(self, limit_seconds: float | None) -> None:
        try:
            async with asyncio.timeout(limit_seconds):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()
