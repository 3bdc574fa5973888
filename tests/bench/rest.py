"""What a daemon takes when there is nothing to do but its heartbeat."""

from __future__ import annotations

import asyncio
import os

import psutil

from tests.bench.report import Measurement
from tests.bench.stage import stage

_SETTLE_SECONDS = 5.0
_CORE_PERCENT_MAX = 1.0
_RESIDENT_MB_MAX = 120.0


async def measure() -> list[Measurement]:
    """Let a pair rest for REST_SECONDS (default 60) and read what its daemons used."""
    seconds = float(os.environ.get("REST_SECONDS", "60"))
    measurements: list[Measurement] = []
    async with stage("rest", settings={"heartbeat_interval": "250ms"}) as sandbox:
        await asyncio.sleep(_SETTLE_SECONDS)
        processes = {
            tablet.type: psutil.Process(tablet.daemon.identity.pid) for tablet in sandbox.tablets
        }
        before = {role: _cpu_seconds(process) for role, process in processes.items()}
        await asyncio.sleep(seconds)
        for role, process in processes.items():
            percent = 100 * (_cpu_seconds(process) - before[role]) / seconds
            resident_mb = process.memory_info().rss / 1e6
            measurements += [
                Measurement(
                    f"daemon at rest ({role}), share of a core",
                    f"{percent:.2f} %",
                    goal=f"at most {_CORE_PERCENT_MAX:.0f} %",
                    is_met=percent <= _CORE_PERCENT_MAX,
                ),
                Measurement(
                    f"daemon at rest ({role}), resident memory",
                    f"{resident_mb:.0f} MB",
                    goal=f"at most {_RESIDENT_MB_MAX:.0f} MB",
                    is_met=resident_mb <= _RESIDENT_MB_MAX,
                ),
            ]
    return measurements


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
