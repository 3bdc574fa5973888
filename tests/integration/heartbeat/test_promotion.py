"""Lag after real servers have changed their roles: who wrote reads, and who read writes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from tabletd.heartbeat import LagMethod, LagState
from tests.conftest import StartServer
from tests.support.failover import hand_over
from tests.support.lag_chain import RunningTracker, SkewedClock, WriterLine, running_tracker
from tests.support.tablets import heartbeat_settings
from tests.support.waiting import eventually

SECOND_NS = 1_000_000_000
SETTINGS = heartbeat_settings(interval_seconds=0.1)


def lags(tablet: RunningTracker) -> bool:
    return (tablet.lag.lower_ns or 0) > SECOND_NS


@pytest.mark.parametrize("name", ["mariadb", "mysql-5.7"])
async def test_each_measures_by_the_heartbeats_of_the_other_whoever_is_the_primary(
    start_server: StartServer, name: str
) -> None:
    first = await asyncio.to_thread(start_server, name)
    second = await asyncio.to_thread(start_server, name, primary=first)
    to_first, to_second = WriterLine(), WriterLine()
    of_second = replace(SETTINGS, tablet_uid=SETTINGS.tablet_uid + 1)
    async with (
        running_tracker(first, SETTINGS, daemon=to_second) as one,
        running_tracker(second, of_second, clock=SkewedClock(-900, 150), daemon=to_first) as two,
    ):
        to_first.tracker, to_first.clock = one.tracker, one.clock
        to_second.tracker, to_second.clock = two.tracker, two.clock
        await one.tracker.make_primary()
        await two.tracker.make_non_primary()
        servers, tablets = [first, second], [one, two]
        for _ in range(3):
            replica, reader = servers[1], tablets[1]
            lag = await reader.reaches(state=LagState.MEASURED, method=LagMethod.CLOCK)
            assert lag.upper_ns is not None
            assert lag.upper_ns < 300 * SECOND_NS
            replica.script("STOP SLAVE SQL_THREAD")
            await eventually(partial(lags, reader))
            replica.script("START SLAVE SQL_THREAD")
            await reader.reaches(lower_ns=0, state=LagState.MEASURED)

            await tablets[0].tracker.make_non_primary()
            await asyncio.to_thread(hand_over, *servers)
            servers, tablets = servers[::-1], tablets[::-1]
            await tablets[0].tracker.make_primary()
