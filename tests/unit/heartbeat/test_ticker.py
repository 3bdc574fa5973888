"""Steps on a schedule."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from tabletd.clock import SystemClock
from tabletd.heartbeat.ticker import Ticker
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


async def test_the_first_step_waits_an_interval_otherwise() -> None:
    steps = Steps()
    async with running(steps, interval_seconds=0.05) as ticker:
        started = asyncio.get_running_loop().time()
        ticker.start(at_once=False)
        await eventually(lambda: steps.count >= 1)
        assert asyncio.get_running_loop().time() - started >= 0.05


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
