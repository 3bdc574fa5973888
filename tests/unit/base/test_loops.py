from __future__ import annotations

import asyncio
import logging

import pytest

from tabletd.errors import MySQLUnavailable, Reason, TabletdError
from tabletd.loops import ThrottledLogger, every
from tests.support.clock import FakeClock

logger = logging.getLogger("test")


async def test_a_loop_outlives_tolerated_errors_and_reports_each() -> None:
    attempts = 0
    failures: list[Reason] = []
    third_attempt = asyncio.Event()

    async def step() -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise MySQLUnavailable("away")
        third_attempt.set()

    loop = asyncio.create_task(
        every(0.001, step, name="t", logger=logger, on_failure=lambda e: failures.append(e.reason))
    )
    await third_attempt.wait()
    loop.cancel()
    assert failures == [Reason.MYSQL_UNAVAILABLE] * 2


async def test_an_error_that_nobody_tolerates_ends_the_loop() -> None:
    async def step() -> None:
        raise TabletdError(Reason.INTERNAL, "a bug")

    with pytest.raises(TabletdError, match="a bug"):
        await every(0.001, step, name="t", logger=logger)


async def test_a_wake_up_during_a_step_starts_the_next_step_at_once() -> None:
    wake = asyncio.Event()
    second = asyncio.Event()
    steps = 0

    async def step() -> None:
        nonlocal steps
        steps += 1
        if steps == 1:
            wake.set()
        else:
            second.set()

    loop = asyncio.create_task(every(3600, step, name="t", logger=logger, wake=wake))
    async with asyncio.timeout(60):
        await second.wait()
    loop.cancel()


def test_errors_are_logged_once_a_period_with_the_count_of_the_skipped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = FakeClock()
    throttled = ThrottledLogger("Writer", logger=logger, clock=clock)
    throttled.error("first")
    for _ in range(4):
        throttled.error("again")
    clock.advance(61)
    throttled.error("later")
    assert caplog.messages == ["Writer: first", "Writer: skipped 4 log messages", "Writer: later"]
