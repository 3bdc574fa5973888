"""What a caller who floods a daemon does to its heartbeat, and to the Ping of a supervisor."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from dataclasses import dataclass
from typing import Final

from tabletd.mysql.pool import Pool
from tabletd.sandbox.sandbox import Sandbox
from tabletd.sandbox.vexec_client import VExecClient, vexec_client
from tabletd_pb import tabletmanagerdata_pb2 as tm
from tests.bench.beats import heartbeat_gaps, keep_heartbeats
from tests.bench.flooders import FLOODS, flooding
from tests.bench.report import Measurement
from tests.bench.stage import debug_vars, pool_to, stage, wait_for_sidecar

_INTERVAL_SECONDS: Final = 1.0
_DEVIATION_MAX: Final = 0.1
_SETTLE_SECONDS: Final = 3.0
_ASKS_SECONDS: Final = 0.2
_REFUSED: Final = ("RpcCallsRefused", "RpcChangesRefused")


@dataclass(frozen=True)
class _Look:
    """Some seconds of a daemon: heartbeats, how long each Ping took, how much was refused."""

    gaps: tuple[float, ...]
    seconds: tuple[float, ...]
    refused: int

    @property
    def worst(self) -> float:
        """How far the worst heartbeat was off, as a share of the interval."""
        return max(abs(gap / _INTERVAL_SECONDS - 1) for gap in self.gaps)

    @property
    def p99_ms(self) -> float:
        return statistics.quantiles(self.seconds, n=100)[98] * 1e3

    @property
    def words(self) -> str:
        return (
            f"{statistics.median(self.gaps):.3f} s, {min(self.gaps):.3f} to {max(self.gaps):.3f} s"
        )


async def measure() -> list[Measurement]:
    """Look at the heartbeat for FLOOD_SECONDS (30) without a flood, and with each kind of one."""
    seconds = float(os.environ.get("FLOOD_SECONDS", "30"))
    settings = {"heartbeat_interval": f"{_INTERVAL_SECONDS:g}s"}
    async with (
        stage("flood", replicas=0, settings=settings) as sandbox,
        pool_to(sandbox.primary.server) as pool,
        vexec_client(sandbox.primary.daemon.grpc, sandbox.keyspace) as client,
    ):
        await wait_for_sidecar(sandbox)
        await keep_heartbeats(pool, sandbox.keyspace)
        quiet = await _look(sandbox, pool, client, "", seconds)
        lines: list[Measurement] = []
        for kind, what in FLOODS.items():
            lines += _lines(what, await _look(sandbox, pool, client, kind, seconds), quiet)
        return lines


async def _look(
    sandbox: Sandbox, pool: Pool, client: VExecClient, kind: str, seconds: float
) -> _Look:
    daemon = sandbox.primary.daemon
    async with flooding(kind, daemon.grpc, daemon.http_port):
        await asyncio.sleep(_SETTLE_SECONDS)
        before = await _refused(daemon.http)
        answers: list[float] = []
        asking = asyncio.create_task(_ask(client, answers))
        gaps = await heartbeat_gaps(pool, sandbox.keyspace, seconds)
        asking.cancel()
        refused = await _refused(daemon.http) - before
    return _Look(gaps, tuple(answers), refused)


async def _ask(client: VExecClient, answers: list[float]) -> None:
    """Be a supervisor; he calls from the address that floods, and is not refused for it."""
    while True:
        began = time.monotonic()
        await client.tablet_manager.Ping(tm.PingRequest(payload="alive"), timeout=60)
        answers.append(time.monotonic() - began)
        await asyncio.sleep(_ASKS_SECONDS)


async def _refused(address: str) -> int:
    found = await debug_vars(address)
    return sum(found[name] for name in _REFUSED)


def _lines(what: str, flooded: _Look, quiet: _Look) -> list[Measurement]:
    return [
        Measurement(
            f"time between heartbeats, due each {_INTERVAL_SECONDS:g} s, under {what}",
            flooded.words,
            quiet.words,
            goal=f"each within {_DEVIATION_MAX:.0%}",
            is_met=flooded.worst <= _DEVIATION_MAX,
        ),
        Measurement(
            f"Ping meanwhile: median, p99; {flooded.refused:,} calls of the flood refused",
            f"{statistics.median(flooded.seconds) * 1e3:.0f} ms, {flooded.p99_ms:.0f} ms",
            f"{statistics.median(quiet.seconds) * 1e3:.0f} ms, {quiet.p99_ms:.0f} ms",
        ),
    ]
