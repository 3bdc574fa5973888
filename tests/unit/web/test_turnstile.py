"""A flood of requests leaves the event loop its turns."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from starlette.types import Receive, Scope, Send

from tabletd.web.turnstile import Turnstile

PER_TURN = 3


class Turns:
    """Counts the turns of the event loop, and in which of them a request began."""

    def __init__(self) -> None:
        self.now = 0
        self.order: list[int] = []
        self.begun: Counter[int] = Counter()
        self._tick()

    def _tick(self) -> None:
        self.now += 1
        asyncio.get_running_loop().call_soon(self._tick)

    async def application(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.order.append(scope["number"])
        self.begun[self.now] += 1


def request(turnstile: Turnstile, number: int) -> asyncio.Task[None]:
    async def call() -> None:
        nothing: Any = None
        await turnstile({"type": "http", "number": number}, nothing, nothing)

    return asyncio.ensure_future(call())


async def test_of_many_requests_at_once_few_begin_in_a_turn_each_in_its_order() -> None:
    turns = Turns()
    turnstile = Turnstile(turns.application, PER_TURN)
    await asyncio.gather(*(request(turnstile, number) for number in range(100)))
    assert turns.order == list(range(100))
    assert max(turns.begun.values()) <= PER_TURN
    assert len(turns.begun) >= 100 // PER_TURN


async def test_who_comes_alone_does_not_wait() -> None:
    turns = Turns()
    turnstile = Turnstile(turns.application, PER_TURN)
    for number in range(10):
        before = turns.now
        await request(turnstile, number)
        assert turns.order[-1] == number
        assert turns.now - before <= 2


async def test_who_has_gone_while_he_waited_takes_nobodys_place() -> None:
    turns = Turns()
    turnstile = Turnstile(turns.application, PER_TURN)
    calls = [request(turnstile, number) for number in range(20)]
    await asyncio.sleep(0)
    for call in calls[PER_TURN:10]:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert turns.order == [*range(PER_TURN), *range(10, 20)]
    await request(turnstile, 20)
    assert turns.order[-1] == 20
