"""Questions to the writer's daemon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from tabletd.heartbeat import Writing, writer_link
from tabletd.heartbeat.beats import Beat, Beats
from tabletd.heartbeat.exchange import Suspensions
from tabletd.heartbeat.writer_link import WriterLink
from tabletd.telemetry.vars import Registry
from tests.support.clock import FakeClock
from tests.support.fakes_lag import FakeWriterDaemon
from tests.support.waiting import eventually


@dataclass
class OneLink:
    link: WriterLink
    daemon: FakeWriterDaemon
    beats: Beats
    clock: FakeClock
    registry: Registry

    async def is_asked(self, times: int) -> None:
        await eventually(lambda: len(self.daemon.questions) >= times)


@asynccontextmanager
async def one_link() -> AsyncGenerator[OneLink]:
    clock, beats, registry = FakeClock(), Beats(), Registry()
    daemon = FakeWriterDaemon(FakeClock(monotonic_seconds=77.0))
    link = WriterLink(
        daemon,
        beats,
        read_applied=daemon.applied,
        interval_seconds=1.0,
        clock=clock,
        registry=registry,
    )
    task = asyncio.get_running_loop().create_task(link.run())
    try:
        yield OneLink(link, daemon, beats, clock, registry)
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_several_questions_are_asked_at_once_when_it_opens() -> None:
    async with one_link() as one:
        assert one.registry.export()["LagClockErrorNs"] == -1
        one.link.open()
        await one.is_asked(5)
        assert one.beats.series == 7
        assert one.registry.export()["LagClockErrorNs"] == 0


async def test_only_beats_that_are_not_known_are_asked_for() -> None:
    async with one_link() as one:
        one.daemon.beats = [Beat(3, 1, 2)]
        one.link.open()
        await one.is_asked(2)
        first, second = one.daemon.questions[:2]
        assert (first.after_series, first.after_sequence) == (0, 0)
        assert (second.after_series, second.after_sequence) == (7, 3)


async def test_a_daemon_that_does_not_answer_is_told_of_and_asked_again() -> None:
    async with one_link() as one:
        one.daemon.answers = False
        one.link.open()
        await eventually(lambda: "no answer within 1 s" in one.link.news.error)
        assert one.registry.export()["LagExchangeErrors"] != 0
        one.daemon.answers = True
        await eventually(lambda: one.link.news.writing is Writing.REGULARLY)
        assert one.link.news.error == ""


async def test_the_time_of_a_daemon_that_writes_no_heartbeats_is_not_taken() -> None:
    async with one_link() as one:
        one.daemon.writing = Writing.NONE
        one.link.open()
        await one.is_asked(1)
        await eventually(lambda: one.link.news.asked_ns is not None)
        assert one.beats.series == 0


async def test_who_wants_heartbeats_has_that_said_once() -> None:
    async with one_link() as one:
        one.link.want_heartbeats()
        one.link.open()
        await one.is_asked(3)
        assert [question.want_heartbeats for question in one.daemon.questions[:3]] == [
            True,
            False,
            False,
        ]


async def test_a_wish_that_was_not_heard_is_said_again() -> None:
    async with one_link() as one:
        one.daemon.answers = False
        one.link.want_heartbeats()
        one.link.open()
        await one.is_asked(2)
        assert all(question.want_heartbeats for question in one.daemon.questions[:2])


async def test_who_wants_heartbeats_just_after_a_question_does_not_wait_for_the_next_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer_link, "_IDLE_PAUSE_SECONDS", 3600.0)
    async with one_link() as one:
        one.daemon.writing = Writing.IDLE
        one.link.open()
        await eventually(lambda: one.link.news.writing is Writing.IDLE)
        one.link.want_heartbeats()
        await one.is_asked(2)
        assert [question.want_heartbeats for question in one.daemon.questions] == [False, True]


async def test_a_daemon_is_asked_out_of_turn_the_rarer_the_longer_it_has_nothing_new_to_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer_link, "_FIRST_QUESTIONS", 1)
    monkeypatch.setattr(writer_link, "_PAUSE_SECONDS", 3600.0)
    async with one_link() as one:

        async def asked_again_after() -> int:
            """Milliseconds until it may be asked out of turn."""
            heard = one.registry.export()["LagExchanges"]
            for milliseconds in range(0, 2000, 10):
                one.link.ask_soon()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                if one.registry.export()["LagExchanges"] != heard:
                    return milliseconds
                one.clock.advance(0.01)
            raise AssertionError("it is asked no more")

        one.daemon.beats = [Beat(3, 1, 2)]
        one.link.open()
        await eventually(lambda: one.registry.export()["LagExchanges"] == 1)
        one.daemon.beats = []
        rests = [await asked_again_after() for _ in range(6)]
        assert rests == pytest.approx([50, 100, 200, 400, 800, 1000], abs=10)
        one.daemon.beats = [Beat(4, 3, 4)]
        rests = [await asked_again_after() for _ in range(2)]
        assert rests == pytest.approx([1000, 50], abs=10)


async def test_nobody_is_asked_before_it_opens_or_after_it_closes() -> None:
    async with one_link() as one:
        one.link.ask_soon()
        one.link.open()
        await one.is_asked(1)
        one.link.close()
        await asyncio.sleep(0)
        asked = len(one.daemon.questions)
        one.clock.advance(10)
        one.link.ask_soon()
        await asyncio.sleep(0)
        assert len(one.daemon.questions) == asked
        assert one.beats.series == 0


def test_a_suspension_is_noticed_once() -> None:
    slept_ns = [0, 1_000, 60_000_000_000, 60_000_000_000]
    suspensions = Suspensions(lambda: slept_ns.pop(0))
    assert [suspensions.noticed() for _ in range(3)] == [False, True, False]


def test_this_machine_was_not_suspended_between_two_statements() -> None:
    assert not Suspensions().noticed()


async def test_the_position_of_a_primary_without_heartbeats_is_held_against_our_server() -> None:
    async with one_link() as one:
        one.daemon.writing, one.daemon.position = Writing.NONE, "MariaDB/0-1-5"
        one.daemon.applied_gtids = "0-1-5"
        one.link.open()
        lag = await eventually(one.link.position_lag)
        assert lag is not None
        assert lag.lower_ns == 0
        one.daemon.writing = Writing.REGULARLY
        await eventually(lambda: one.link.position_lag() is None)
        asked = len(one.daemon.questions)
        await one.is_asked(asked + 2)
        assert not one.daemon.questions[-1].want_position
