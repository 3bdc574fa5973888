"""Steps on a schedule."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from tabletd.clock import SystemClock
from tabletd.heartbeat.ticker import Ticker, last_tick
from tests.support.clock import FakeClock
from tests.support.waiting import eventually


@asynccontextmanager
async def running(
    step: Callable[[], Awaitable[None]], interval_seconds: float
) -> AsyncGenerator[Ticker]:
    ticker = Ticker(interval_seconds, step, SystemClock())
    task = asyncio.get_running_loop().create_task(ticker.run())
    try:
        yield ticker
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Steps:
    def __init__(self) -> None:
        self.count = 0
        self.in_step = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()

    def made(self, count: int) -> bool:
        return self.count == count

    async def __call__(self) -> None:
        self.count += 1
        self.in_step.set()
        await self.may_end.wait()


async def test_the_first_step_comes_at_once_when_asked_for() -> None:
    steps = Steps()
    async with running(steps, interval_seconds=3600) as ticker:
        ticker.start(at_once=True)
        await eventually(lambda: steps.count == 1)


async def test_a_step_between_two_ticks_is_made_at_once_and_only_while_there_is_a_schedule() -> (
    None
):
    steps = Steps()
    async with running(steps, interval_seconds=3600) as ticker:
        ticker.step_now()
        ticker.start(at_once=True)
        await eventually(lambda: steps.count == 1)
        ticker.step_now()
        await eventually(lambda: steps.count == 2)
        await ticker.stop()
        ticker.step_now()
        ticker.start(at_once=False)
        await asyncio.sleep(0)
        assert steps.count == 2


async def test_otherwise_the_first_step_waits_for_the_common_tick() -> None:
    moments: list[float] = []

    async def step() -> None:
        moments.append(time.time())

    async with running(step, interval_seconds=0.2) as ticker:
        # From the middle between two ticks: what went by its start would never be near one.
        await eventually(lambda: 0.08 < time.time() % 0.2 < 0.12)
        ticker.start(at_once=False)
        await eventually(lambda: any(moment % 0.2 < 0.06 for moment in moments))


@given(
    wall_ns=st.integers(0, 2**62),
    interval_seconds=st.sampled_from([0.05, 0.1, 0.25, 1.0]),
    phase_seconds=st.sampled_from([0.0, 0.005, 0.025]),
)
def test_schedules_of_agreeing_wall_clocks_tick_one_phase_apart(
    wall_ns: int, interval_seconds: float, phase_seconds: float
) -> None:
    clock = FakeClock(wall_ns=wall_ns)
    writer = last_tick(clock, interval_seconds, 0.0)
    reader = last_tick(clock, interval_seconds, phase_seconds)
    apart = (reader - writer) % interval_seconds
    assert min(abs(apart - phase_seconds), interval_seconds - abs(apart - phase_seconds)) < 1e-6
    assert writer <= clock.monotonic_seconds() < writer + interval_seconds + 1e-6


async def test_stop_waits_for_the_running_step_and_no_other_comes() -> None:
    steps = Steps()
    steps.may_end.clear()
    async with running(steps, interval_seconds=0.001) as ticker:
        ticker.start(at_once=True)
        await steps.in_step.wait()
        stopping = asyncio.get_running_loop().create_task(ticker.stop())
        await asyncio.sleep(0)
        assert not stopping.done()
        steps.may_end.set()
        await stopping
        count = steps.count
        for _ in range(100):
            await asyncio.sleep(0)
        assert steps.count == count
        assert not ticker.is_started


async def test_a_stopped_ticker_starts_again_with_a_schedule_of_its_own() -> None:
    steps = Steps()
    async with running(steps, interval_seconds=3600) as ticker:
        for expected in (1, 2, 3):
            ticker.start(at_once=True)
            ticker.start(at_once=True)
            await eventually(partial(steps.made, expected))
            await ticker.stop()
