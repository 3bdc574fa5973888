"""Subscriptions to a tablet's health."""

from __future__ import annotations

import asyncio

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.tablet import Health, TabletType
from tabletd.tablet.health import UNINITIALIZED
from tabletd.tablet.streams import HealthStreams


def health(lag_seconds: int) -> Health:
    return Health(TabletType.REPLICA, True, lag_seconds)


async def test_the_first_message_is_the_present_state_at_once() -> None:
    async with HealthStreams(20).subscribe(UNINITIALIZED) as updates:
        assert (await anext(updates)).health_error == "tabletserver uninitialized"


async def test_every_broadcast_reaches_every_subscriber_in_order() -> None:
    streams = HealthStreams(20)
    async with streams.subscribe(health(0)) as one, streams.subscribe(health(0)) as other:
        for lag_seconds in (1, 2):
            streams.publish(health(lag_seconds))
        for updates in (one, other):
            assert [(await anext(updates)).lag_seconds for _ in range(3)] == [0, 1, 2]


async def test_a_waiting_subscriber_is_woken() -> None:
    streams = HealthStreams(20)
    async with streams.subscribe(health(0)) as updates:
        await anext(updates)
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(anext(updates))
            await asyncio.sleep(0)
            streams.publish(health(7))
        assert waiting.result().lag_seconds == 7


async def test_a_slow_subscriber_is_cut_and_told_to_reconnect_and_others_go_on() -> None:
    streams = HealthStreams(20)
    async with streams.subscribe(health(0)) as slow, streams.subscribe(health(0)) as quick:
        for lag_seconds in range(1, 25):
            await anext(quick)
            streams.publish(health(lag_seconds))
        received = [(await anext(slow)).lag_seconds for _ in range(20)]
        assert received == list(range(20))
        with pytest.raises(TabletdError, match="stream health buffer overflowed") as cut:
            await anext(slow)
        assert cut.value.reason is Reason.SLOW_READER
        assert (await anext(quick)).lag_seconds == 24


async def test_closing_ends_streams_after_what_was_still_told() -> None:
    streams = HealthStreams(20)
    async with streams.subscribe(health(0)) as updates:
        streams.publish(Health(TabletType.REPLICA, False))
        streams.close()
        assert (await anext(updates)).serving
        assert not (await anext(updates)).serving
        with pytest.raises(TabletdError, match="tabletserver is shutdown") as ended:
            await anext(updates)
        assert ended.value.reason is Reason.SHUTTING_DOWN


async def test_a_closed_tablet_takes_no_subscriber() -> None:
    streams = HealthStreams(20)
    streams.close()
    with pytest.raises(TabletdError, match="tabletserver is shutdown"):
        async with streams.subscribe(health(0)):
            pass


async def test_who_has_left_costs_nothing_any_more() -> None:
    streams = HealthStreams(1)
    async with streams.subscribe(health(0)) as updates:
        pass
    streams.publish(health(1))
    assert not updates.is_ended
