"""What heartbeats cost: rows, bytes of binary log, processor time; always and on demand."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import psutil

from tabletd.sandbox.sandbox import Sandbox
from tabletd.sandbox.servers import ProcessIdentity, Server
from tests.bench.report import Finding, Grid, Measurement
from tests.bench.stage import debug_vars, stage, wait_for_sidecar

_SETTLE_SECONDS: Final = 5.0
_HOUR_SECONDS: Final = 3600.0
_LEASE_SECONDS: Final = 2
_INTERVALS: Final = ("100 ms", "1 s")
_ON_DEMAND: Final = {"heartbeat_writes": "on_demand", "heartbeat_lease": f"{_LEASE_SECONDS}s"}
# By what a reader of the tables sees: the settings of every daemon.
_CASES: Final[Mapping[str, Mapping[str, str]]] = {
    "always, 100 ms": {"heartbeat_interval": "100ms"},
    "always, 1 s": {"heartbeat_interval": "1s"},
    "on demand, 100 ms, nobody asks": {"heartbeat_interval": "100ms", **_ON_DEMAND},
    "on demand, 1 s, nobody asks": {"heartbeat_interval": "1s", **_ON_DEMAND},
}


@dataclass(frozen=True)
class _State:
    writes: int
    binlog_bytes: int
    cpu_seconds: tuple[float, ...]


async def measure() -> list[Finding]:
    """Let a pair rest for COST_SECONDS (default 60) with each setting."""
    seconds = float(os.environ.get("COST_SECONDS", "60"))
    rows: list[tuple[str, ...]] = []
    spent: dict[str, _State] = {}
    for title, settings in _CASES.items():
        async with stage("cost", settings=settings) as sandbox:
            await wait_for_sidecar(sandbox)
            await asyncio.sleep(_SETTLE_SECONDS + _LEASE_SECONDS)
            before = await _look(sandbox)
            await asyncio.sleep(seconds)
            spent[title] = _difference(before, await _look(sandbox))
            rows.append((title, *_cells(spent[title], seconds)))
    heads = (
        "heartbeats",
        "rows an hour",
        "binary log an hour",
        "writer's daemon",
        "reader's daemon",
        "primary",
        "replica",
    )
    return [
        *(line for interval in _INTERVALS for line in _lines(spent, interval, seconds)),
        Grid("what heartbeats cost (shares are of a core)", heads, rows),
    ]


def _lines(spent: Mapping[str, _State], interval: str, seconds: float) -> list[Measurement]:
    idle, always = spent[f"on demand, {interval}, nobody asks"], spent[f"always, {interval}"]
    return [
        Measurement(
            f"heartbeats on demand, {interval}, that nobody asks for, written in {seconds:.0f} s",
            str(idle.writes),
            f"{always.writes} (always)",
            goal="none",
            is_met=idle.writes == 0,
        ),
        Measurement(
            f"binary log of an idle server, on demand, {interval}, in {seconds:.0f} s",
            f"{idle.binlog_bytes} bytes",
            f"{always.binlog_bytes} bytes (always)",
            goal="none",
            is_met=idle.binlog_bytes == 0,
        ),
    ]


async def _look(sandbox: Sandbox) -> _State:
    primary, replica = sandbox.primary, sandbox.replicas[0]
    found = await debug_vars(primary.daemon.http)
    processes = (primary.daemon, replica.daemon, primary.server, replica.server)
    return _State(
        found["HeartbeatWrites"],
        await asyncio.to_thread(_binlog_bytes, primary.server),
        tuple(_cpu_seconds(one.identity) for one in processes),
    )


def _difference(before: _State, after: _State) -> _State:
    pairs = zip(before.cpu_seconds, after.cpu_seconds, strict=True)
    return _State(
        after.writes - before.writes,
        after.binlog_bytes - before.binlog_bytes,
        tuple(late - early for early, late in pairs),
    )


def _cells(spent: _State, seconds: float) -> tuple[str, ...]:
    hours = seconds / _HOUR_SECONDS
    return (
        f"{spent.writes / hours:,.0f}",
        f"{spent.binlog_bytes / hours / 1e6:.1f} MB",
        *(f"{100 * cpu / seconds:.2f} %" for cpu in spent.cpu_seconds),
    )


def _binlog_bytes(server: Server) -> int:
    rows = server.sql("SHOW BINARY LOGS").splitlines()
    return sum(int(row.split("\t")[1]) for row in rows)


def _cpu_seconds(identity: ProcessIdentity) -> float:
    times = psutil.Process(identity.pid).cpu_times()
    return float(times.user + times.system)
