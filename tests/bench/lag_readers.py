"""Those who say how far a replica is behind, each sampled on this machine's monotonic clock."""

from __future__ import annotations

import asyncio
import math
import re
import shlex
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import grpc.aio

from tabletd.sandbox.sandbox import Tablet
from tabletd.sandbox.servers import Server
from tabletd_pb import lag_pb2
from tabletd_pb.lag_pb2_grpc import LagStub

PT_SCHEMA: Final = "percona"
_PT_LINE: Final = re.compile(r"\s*(\d+\.\d+)s \[")
_LOOK_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Figure:
    """What tabletd measured at one moment.

    Attributes:
        moment: monotonic seconds.
        state: the name of its state.
        lag_seconds: None: not known.
        lower_seconds: None: not known.
        upper_seconds: None: not known.
    """

    moment: float
    state: str
    lag_seconds: float | None
    lower_seconds: float | None
    upper_seconds: float | None

    @property
    def told(self) -> tuple[object, ...]:
        """What one look is known by."""
        return self.state, self.lag_seconds, self.lower_seconds, self.upper_seconds


@dataclass
class Readings:
    """What was read in one run: pairs of monotonic seconds and seconds of lag, by method."""

    plain: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    status: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    pt_heartbeat: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    ours: list[Figure] = field(default_factory=list[Figure])

    @property
    def by_method(self) -> dict[str, list[tuple[float, float]]]:
        """All of them, ours without its bounds."""
        figures = [
            (one.moment, one.lag_seconds) for one in self.ours if one.lag_seconds is not None
        ]
        return {
            "tabletd": figures,
            "now minus timestamp": self.plain,
            "SHOW REPLICA STATUS": self.status,
            "pt-heartbeat": self.pt_heartbeat,
        }


@asynccontextmanager
async def reading(
    replica: Tablet, primary: Server, interval_seconds: float, launcher: Sequence[str]
) -> AsyncGenerator[Readings]:
    """Read by every method for the length of a block.

    Args:
        replica: where.
        primary: whose beats.
        interval_seconds: how often the others look.
        launcher: words before the commands of the others.
    """
    found = Readings()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_read_ours(replica.daemon.grpc, found)),
            group.create_task(_read_plain(replica.server, interval_seconds, launcher, found)),
            group.create_task(
                _read_pt_heartbeat(replica.server, primary, interval_seconds, launcher, found)
            ),
        ]
        yield found
        for task in tasks:
            task.cancel()


@asynccontextmanager
async def pt_heartbeat_writer(primary: Server, interval_seconds: float) -> AsyncGenerator[None]:
    """Have pt-heartbeat write its own beats for the length of a block."""
    primary.sql(f"CREATE DATABASE IF NOT EXISTS {PT_SCHEMA}")
    words = ("--update", "--create-table", f"--interval={interval_seconds}")
    async with _program(("pt-heartbeat", *words, *_pt_flags(primary, primary))):
        yield


async def _read_ours(address: str, found: Readings) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = cast(Any, LagStub)(channel)
        took_seconds = math.inf
        while True:
            sent = time.monotonic()
            told: lag_pb2.LagFigure = (await stub.GetLag(lag_pb2.GetLagRequest(), timeout=5)).lag
            took_seconds, before = time.monotonic() - sent, took_seconds
            if told.HasField("age_ns"):
                figure = _figure(told, sent + took_seconds / 2)
                if not found.ours or figure.told != found.ours[-1].told:
                    found.ours.append(figure)
                elif took_seconds < before:  # the same look again, and its moment better known
                    found.ours[-1] = figure
                else:
                    took_seconds = before
            await asyncio.sleep(_LOOK_SECONDS)


def _figure(told: lag_pb2.LagFigure, now: float) -> Figure:
    lag, lower, upper = (
        getattr(told, name) / 1e9 if told.HasField(name) else None
        for name in ("lag_ns", "lower_ns", "upper_ns")
    )
    state = lag_pb2.LagFigure.State.Name(told.state).removeprefix("STATE_").lower()
    return Figure(now - told.age_ns / 1e9, state, lag, lower, upper)


async def _read_plain(
    replica: Server, interval_seconds: float, launcher: Sequence[str], found: Readings
) -> None:
    command = (sys.executable, "-m", "tests.bench.plain_lag", str(replica.socket))
    async with _program((*launcher, *command, str(interval_seconds))) as lines:
        async for line in lines:
            moment, lag, behind = map(float, line.split())
            found.plain.append((moment, lag))
            if not math.isnan(behind):
                found.status.append((moment, behind))


async def _read_pt_heartbeat(
    replica: Server,
    primary: Server,
    interval_seconds: float,
    launcher: Sequence[str],
    found: Readings,
) -> None:
    # The default of --skew is half a second, longer than the interval: it would see nothing below.
    words = ("--monitor", f"--interval={interval_seconds}", f"--skew={interval_seconds / 2}")
    command = (*launcher, "pt-heartbeat", *words, *_pt_flags(replica, primary))
    # Without a terminal it keeps what it found until it has some kilobytes of it.
    terminal = ("script", "--quiet", "--flush", "--command", shlex.join(command), "/dev/null")
    async with _program(terminal) as lines:
        async for line in lines:
            if told := _PT_LINE.match(line):
                found.pt_heartbeat.append((time.monotonic(), float(told[1])))


def _pt_flags(server: Server, primary: Server) -> tuple[str, ...]:
    return (
        f"--socket={server.socket}",
        "--user=root",
        f"--database={PT_SCHEMA}",
        f"--master-server-id={primary.port}",
        "--utc",
    )


@asynccontextmanager
async def _program(command: Sequence[str]) -> AsyncGenerator[AsyncIterator[str]]:
    """Run a program for the length of a block; yields its lines."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None

    async def lines() -> AsyncIterator[str]:
        assert process.stdout is not None
        async for line in process.stdout:
            yield line.decode()

    try:
        yield lines()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
