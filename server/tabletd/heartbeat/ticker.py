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


def last_tick(clock: Clock, interval_seconds: float, phase_seconds: float) -> float:
    """Return when a schedule that is counted on the wall clock last ticked, in monotonic seconds.

    Args:
        clock: both clocks of this machine.
        interval_seconds: the distance of two ticks; one of them is at the Unix epoch.
        phase_seconds: how much later than that schedule this one is.
    """
    interval_ns = max(1, round(interval_seconds * 1_000_000_000))
    since_ns = (clock.wall_ns() - round(phase_seconds * 1_000_000_000)) % interval_ns
    return clock.monotonic_seconds() - since_ns / 1_000_000_000


class Ticker:
    """Runs a step at each tick of a schedule, from `start` to `stop`, any number of times.

    Schedules of one interval tick together on machines whose wall clocks agree, so that a reader
    can look shortly after each beat instead of at a moment left to chance.

    Args:
        interval_seconds: the distance of two ticks.
        step: the work; it bounds its own waits and handles its own expected errors.
        clock: what the schedule is counted on: laid by the wall clock when it starts, kept by the
            monotonic one.
        phase_seconds: how long after the common ticks this schedule's are.
        due_after: asked after each step when the next one is due, given the present moment; the
            schedule's next tick where it says None.
    """

    def __init__(
        self,
        interval_seconds: float,
        step: Callable[[], Awaitable[None]],
        clock: Clock,
        *,
        phase_seconds: float = 0.0,
        due_after: Callable[[float], float | None] = lambda _now: None,
    ) -> None:
        self._interval_seconds = interval_seconds
        self._due_after = due_after
        self._step = step
        self._clock = clock
        self._phase_seconds = phase_seconds
        self._is_due_now = False
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
            at_once: one more step is due now, before the schedule's first.
        """
        if self._first is not None:
            return
        self._first = last_tick(self._clock, self._interval_seconds, self._phase_seconds)
        self._is_due_now = at_once
        self._schedule += 1
        self._changed.set()

    def step_now(self) -> None:
        """Make one more step at once, while a schedule is going on; its next one stays."""
        if self._first is not None:
            self._is_due_now = True
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
        while True:
            due = self._next_due(first, self._clock.monotonic_seconds())
            while self._is_on(schedule) and not self._is_due_now:
                if (wait := due - self._clock.monotonic_seconds()) <= 0:
                    break
                await self._until_changed(wait)
            async with self._stepping:
                if not self._is_on(schedule):
                    return
                self._is_due_now = False
                await self._step()

    def _next_due(self, first: float, now: float) -> float:
        due = self._due_after(now)
        return next_tick(first, self._interval_seconds, now) if due is None else due

    def _is_on(self, schedule: int) -> bool:
        return self._first is not None and self._schedule == schedule

    async def _until_changed(self, limit_seconds: float | None) -> None:
        try:
            async with asyncio.timeout(limit_seconds):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()
