"""The health of one tablet, heard over StreamHealth and kept in memory."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any, Final

import grpc

from tabletd.access.peers import PLAIN, Peers
from tabletd.clock import Clock
from tabletd.loops import pause
from tabletd_pb import query_pb2, queryservice_pb2_grpc

SILENT_INTERVALS: Final = 2
_RECONNECT_SECONDS_MIN: Final = 0.25
_RECONNECT_SECONDS_MAX: Final = 5.0
# A dead peer is noticed within seconds.
CHANNEL_OPTIONS: Final[tuple[tuple[str, Any], ...]] = (
    ("grpc.keepalive_time_ms", 15_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Another tablet behind the same address must be a new connection.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)

_logger = logging.getLogger(__name__)


class HealthStream:
    """One tablet: a stream that is opened again and again.

    Args:
        address: `host:port` of its gRPC port.
        name: what it is called in the log (`replica 10.0.0.7:16100`).
        silent_after_seconds: longest time between two messages of a healthy tablet.
        clock: tells the age of what was heard.
        peers: opens the connection.
        on_change: told of each message and of each loss.
    """

    def __init__(
        self,
        address: str,
        *,
        name: str,
        silent_after_seconds: float,
        clock: Clock,
        peers: Peers = PLAIN,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.address = address
        self.last: query_pb2.StreamHealthResponse | None = None
        self._name = name
        self._silent_after_seconds = silent_after_seconds
        self._clock = clock
        self._peers = peers
        self._on_change = on_change
        self._heard_monotonic: float | None = None
        self._lost = "not connected yet"
        self._failures = 0
        self._wanted = asyncio.Event()

    @property
    def age_seconds(self) -> float | None:
        """Time since its last message; None: there was none."""
        if self._heard_monotonic is None:
            return None
        return self._clock.monotonic_seconds() - self._heard_monotonic

    @property
    def silence(self) -> str:
        """Why what it said last cannot be relied on; empty while it is heard."""
        age_seconds = self.age_seconds
        if self._lost or age_seconds is None:
            return f"is silent: {self._lost}"
        if age_seconds > self._silent_after_seconds:
            return f"is silent: it said nothing for {age_seconds:.0f} s"
        return ""

    def try_now(self) -> None:
        """Somebody needs what this tablet says: connect at once instead of after the pause."""
        if self._lost:
            self._failures = 0
            self._wanted.set()

    async def run(self) -> None:
        """Listen; never returns."""
        while True:
            try:
                await self._listen()
            except grpc.aio.AioRpcError as error:
                self._lose(f"{error.code().name}: {error.details()}")
            except TimeoutError:
                self._lose(f"it said nothing for {self._silent_after_seconds:g} s")
            else:
                self._lose("it ended the stream")
            await self._pause()

    async def _listen(self) -> None:
        async with self._peers.open(self.address, CHANNEL_OPTIONS) as channel:
            stub = queryservice_pb2_grpc.QueryStub(channel)
            call = stub.StreamHealth(
                query_pb2.StreamHealthRequest(), metadata=self._peers.metadata()
            )
            while True:
                async with asyncio.timeout(self._silent_after_seconds):
                    message = await call.read()
                if not isinstance(message, query_pb2.StreamHealthResponse):
                    return
                self._hear(message)

    def _hear(self, message: query_pb2.StreamHealthResponse) -> None:
        if self._lost:
            _logger.info("%s is heard", self._name)
        self.last = message
        self._heard_monotonic = self._clock.monotonic_seconds()
        self._lost = ""
        self._failures = 0
        self._on_change()

    def _lose(self, why: str) -> None:
        if not self._failures:
            _logger.warning("%s is silent: %s", self._name, why)
        self._lost = why
        self._failures += 1
        self._on_change()

    async def _pause(self) -> None:
        self._wanted.clear()
        await pause(self._pause_seconds(), self._wanted)

    def _pause_seconds(self) -> float:
        grown = _RECONNECT_SECONDS_MIN * 2.0 ** min(self._failures - 1, 10)
        return min(_RECONNECT_SECONDS_MAX, grown) * random.uniform(0.8, 1.2)
