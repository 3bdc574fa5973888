"""How much lag is measured where there is none: an idle pair on one clock."""

from __future__ import annotations

import asyncio
import os
import statistics
import time

from tests.bench.report import Measurement
from tests.bench.stage import debug_vars, stage

_SAMPLE_SECONDS = 0.1
_SETTLE_SECONDS = 3.0


async def measure() -> list[Measurement]:
    """Watch each reading of the replica's daemon for LAG_SECONDS (default 600)."""
    seconds = float(os.environ.get("LAG_SECONDS", "600"))
    async with stage("lag", settings={"heartbeat_interval": "250ms"}) as sandbox:
        address = sandbox.replicas[0].daemon.http
        await asyncio.sleep(_SETTLE_SECONDS)
        lags_ms: list[float] = []
        errors_before = (await debug_vars(address))["HeartbeatReadErrors"]
        reads = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = await debug_vars(address)
            if found["HeartbeatReads"] != reads:
                reads = found["HeartbeatReads"]
                lags_ms.append(found["HeartbeatCurrentLagNs"] / 1e6)
            await asyncio.sleep(_SAMPLE_SECONDS)
        errors = (await debug_vars(address))["HeartbeatReadErrors"] - errors_before
    title = f"idle pair, 250 ms interval, {seconds:.0f} s, {len(lags_ms)} readings: lag"
    return [
        Measurement(f"{title}, median", f"{statistics.median(lags_ms):.2f} ms"),
        Measurement(f"{title}, maximum", f"{max(lags_ms):.2f} ms"),
        Measurement(f"{title}, failed readings", str(errors)),
    ]
