"""Lets few requests at a time into the application, so that nothing else waits for all of them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

# At half a millisecond each, others have their turn again after four.
PER_TURN: Final = 8


class Turnstile:
    """Stands before an application, in the order in which requests come.

    Most requests are answered from memory, without a wait in between: a hundred of them that come
    at once, as from a client that floods, would be a tenth of a second in which the event loop
    does nothing else, and the heartbeat needs several turns of it for each beat.

    Args:
        application: what answers.
        per_turn: how many requests begin in one turn of the event loop.
    """

    def __init__(self, application: ASGIApp, per_turn: int = PER_TURN) -> None:
        self._application = application
        self._per_turn = per_turn
        self._left = per_turn
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        if self._left == self._per_turn:
            loop.call_soon(self._next_turn)
        if self._left:
            self._left -= 1
        else:
            turn = loop.create_future()
            self._waiting.append(turn)
            await turn
        await self._application(scope, receive, send)

    def _next_turn(self) -> None:
        let_in = 0
        while self._waiting and let_in < self._per_turn:
            turn = self._waiting.popleft()
            if not turn.done():  # the client has gone
                turn.set_result(None)
                let_in += 1
        self._left = self._per_turn - let_in
        if let_in:
            asyncio.get_running_loop().call_soon(self._next_turn)
