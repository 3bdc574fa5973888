"""Asks the writer's daemon for its time and for what it has written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from tabletd.clock import Clock
from tabletd.errors import TabletdError
from tabletd.heartbeat.beats import Beats
from tabletd.heartbeat.exchange import (
    WriterDaemon,
    WriterQuestion,
    Writing,
    steady_ns,
)
from tabletd.heartbeat.judging import WriterNews
from tabletd.heartbeat.lag import Lag
from tabletd.heartbeat.positions import Positions
from tabletd.heartbeat.writer_time import Bracket, TimeSample
from tabletd.loops import pause
from tabletd.telemetry.vars import Registry

# The first questions confine the writer's time; each later one follows its drift.
_FIRST_QUESTIONS: Final = 5
_FIRST_PAUSE_SECONDS: Final = 0.05
_PAUSE_SECONDS: Final = 1.0
_IDLE_PAUSE_SECONDS: Final = 5.0
_ANSWER_SECONDS_MAX: Final = 1.0
# Shares of the interval in which nobody is asked out of turn: after an answer with heartbeats that
# were not known, and then twice as long after each without, up to an interval.
_REST_SHARE_MIN: Final = 0.05
_REST_SHARE_MAX: Final = 1.0


class WriterLink:
    """Keeps what the writer's daemon told, while it is open.

    Args:
        daemon: who writes the heartbeats; None: it cannot be asked.
        beats: told of each exchange.
        read_applied: asks our server for the GTIDs that it has applied.
        interval_seconds: of the heartbeats; who has nothing new to tell is not asked more often.
        clock: times the exchanges.
        registry: gets `LagExchanges`, `LagExchangeErrors` and `LagClockErrorNs`.
    """

    def __init__(
        self,
        daemon: WriterDaemon | None,
        beats: Beats,
        *,
        read_applied: Callable[[], Awaitable[str]],
        interval_seconds: float,
        clock: Clock,
        registry: Registry,
    ) -> None:
        self.news = WriterNews()
        self._daemon = daemon
        self._beats = beats
        self._read_applied = read_applied
        self._positions = Positions()
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._exchanges = registry.counter("LagExchanges", "answers of the writer's daemon")
        self._errors = registry.counter("LagExchangeErrors", "questions that it did not answer")
        registry.gauge(
            "LagClockErrorNs",
            "how wrong the writer's time may be here, nanoseconds; -1: it is not known",
            self._clock_error_ns,
        )
        self._is_open = False
        self._is_wanted = False
        self._answers = 0
        self._asked_monotonic = float("-inf")
        self._rest_share = _REST_SHARE_MAX
        self._asking = asyncio.Event()

    def open(self) -> None:
        """Ask from now on."""
        self._is_open = True
        self._asked_monotonic = float("-inf")
        self._asking.set()

    def close(self) -> None:
        """Ask no more, and forget what was told."""
        self._is_open = False
        self.forget()

    def forget(self) -> None:
        """Start anew: what was told does not hold any more."""
        self.news = WriterNews()
        self._answers = 0
        self._beats.forget()
        self._positions.forget()

    def position_lag(self) -> Lag | None:
        """Return the lag by the primary's positions; None: heartbeats tell it, or nobody does."""
        if not self._are_none_written:
            return None
        return self._positions.lag(steady_ns(self._clock), self.news.error)

    def ask_soon(self) -> None:
        """Something is to be known: ask now, unless that was done a moment ago."""
        if self._daemon is not None and self._rest_seconds() == 0.0:
            self._asking.set()

    def want_heartbeats(self) -> None:
        """Somebody needs the lag: the next question says so; within the interval if none come."""
        self._is_wanted = True
        if self.news.writing is not Writing.REGULARLY:
            self._asking.set()

    async def run(self) -> None:
        """Ask while it is open; never returns."""
        while True:
            await pause(self._pause_seconds(), self._asking)
            if self._asking.is_set():
                await asyncio.sleep(self._rest_seconds())
            self._asking.clear()
            if self._is_open and self._daemon is not None:
                await self._ask(self._daemon)

    def _rest_seconds(self) -> float:
        """Return how long the daemon is not to be asked out of its turn."""
        passed = self._clock.monotonic_seconds() - self._asked_monotonic
        return max(0.0, self._interval_seconds * self._rest_share - passed)

    @property
    def _are_none_written(self) -> bool:
        return self.news.asked_ns is not None and self.news.writing is Writing.NONE

    def _pause_seconds(self) -> float | None:
        if not self._is_open or self._daemon is None:
            return None
        if self.news.writing is Writing.IDLE:
            return _IDLE_PAUSE_SECONDS
        return _FIRST_PAUSE_SECONDS if 0 < self._answers < _FIRST_QUESTIONS else _PAUSE_SECONDS

    async def _ask(self, daemon: WriterDaemon) -> None:
        self._asked_monotonic = self._clock.monotonic_seconds()
        is_wanted, self._is_wanted = self._is_wanted, False
        question = WriterQuestion(
            self._beats.series,
            self._beats.newest_sequence,
            is_wanted,
            want_position=self._are_none_written,
        )
        asked_ns = steady_ns(self._clock)
        try:
            answer = await daemon.ask(question, timeout_seconds=_ANSWER_SECONDS_MAX)
        except TabletdError as error:
            self._is_wanted = self._is_wanted or is_wanted
            self._fail(error)
            return
        heard_ns = steady_ns(self._clock)
        if not self._is_open:
            return
        self._exchanges.add()
        self._answers += 1
        self.news = WriterNews(asked_ns, answer.writing, interval_ns=answer.interval_ns)
        longer = min(2 * self._rest_share, _REST_SHARE_MAX)
        self._rest_share = _REST_SHARE_MIN if answer.beats else longer
        if answer.writing is not Writing.NONE:
            self._positions.forget()
            sample = TimeSample(asked_ns, answer.received_ns, answer.sent_ns, heard_ns)
            self._beats.note_exchange(answer.series, sample, answer.beats)
        elif answer.position:
            await self._hold_against(answer.position, Bracket(asked_ns, heard_ns))

    async def _hold_against(self, position: str, told: Bracket) -> None:
        """Look whether our server has applied what the primary had committed."""
        self._positions.note_position(position, told)
        looked_ns = steady_ns(self._clock)
        try:
            gtids = await self._read_applied()
        except TabletdError as error:
            self._fail(error)
            return
        if self._is_open:
            self._positions.note_applied(gtids, Bracket(looked_ns, steady_ns(self._clock)))

    def _fail(self, error: TabletdError) -> None:
        self._errors.add()
        self._rest_share = _REST_SHARE_MAX
        self.news = replace(self.news, error=str(error))

    def _clock_error_ns(self) -> int:
        error_ns = self._beats.clock_error_ns(steady_ns(self._clock))
        return -1 if error_ns is None else error_ns
