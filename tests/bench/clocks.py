"""Replicas whose host has another clock: its server, its daemon, and what else reads there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

import grpc.aio

from tabletd.sandbox.daemons import restart_daemon
from tabletd.sandbox.sandbox import Tablet
from tabletd.sandbox.servers import restart_server
from tabletd_pb import lag_pb2
from tabletd_pb.lag_pb2_grpc import LagStub
from tests.faults.faketime import Clock

# The fastest of so many answers tells their clock.
_QUESTIONS: Final = 20


@dataclass(frozen=True, slots=True)
class HostClock:
    """The clock of the replica's host.

    Attributes:
        text: as libfaketime writes it; it moves the wall clock.
        drift_ppm: how much faster the steady clock of the daemon runs than the true one.
    """

    text: str
    drift_ppm: float = 0.0


# By what a reader of the tables sees.
CLOCKS: Final = {
    "clocks agree": HostClock("+0"),
    "reader 10 s ahead": HostClock("+10"),
    "reader 10 s behind": HostClock("-10"),
    "reader drifts 200 ppm": HostClock("+0 x1.0002", drift_ppm=200.0),
}


def launcher(directory: Path, clock: HostClock) -> tuple[str, ...]:
    """Return the words before a command that is to run under a clock, its steady one left alone.

    Whoever runs under a clock of that directory already is put under this one.
    """
    file = directory / "clock"
    environment = Clock(file).environment
    file.write_text(f"{clock.text}\n")
    return ("env", *(f"{name}={value}" for name, value in environment.items()))


def with_steady_clock(words: Sequence[str]) -> tuple[str, ...]:
    """Return the words of `launcher` for a command whose steady clock is to drift too.

    Not for who notes moments that others compare, nor for a server: a thread that waits with a
    time limit may then never wake.
    """
    return tuple(word for word in words if not word.startswith("DONT_FAKE_MONOTONIC="))


def put_under_clock(tablet: Tablet, words: tuple[str, ...], clock: HostClock) -> Tablet:
    """Start a tablet's server and daemon again, behind the words of `launcher` for a clock."""
    tablet.daemon.terminate()
    tablet.server.shut_down()
    server = restart_server(tablet.server, launcher=words)
    daemon_words = with_steady_clock(words) if clock.drift_ppm else words
    daemon = restart_daemon(replace(tablet.daemon, launcher=daemon_words))
    return replace(tablet, server=server, daemon=daemon)


@dataclass(frozen=True, slots=True)
class ClockPair:
    """What a daemon's steady clock showed at a moment of ours, both in seconds."""

    ours: float
    theirs: float


async def steady_clock(address: str) -> ClockPair:
    """Ask a daemon what its steady clock shows; of some answers the fastest is kept."""
    found: list[tuple[float, ClockPair]] = []
    async with grpc.aio.insecure_channel(address) as channel:
        stub = cast(Any, LagStub)(channel)
        for _ in range(_QUESTIONS):
            asked = time.monotonic()
            told = await stub.Exchange(lag_pb2.ExchangeRequest(), timeout=5)
            heard = time.monotonic()
            theirs = (told.received_ns + told.sent_ns) / 2e9
            found.append((heard - asked, ClockPair((asked + heard) / 2, theirs)))
    return min(found, key=lambda one: one[0])[1]


def drift_ppm(before: ClockPair, after: ClockPair) -> float:
    """Return how much faster their clock ran than ours, in parts per million."""
    return ((after.theirs - before.theirs) / (after.ours - before.ours) - 1) * 1e6
