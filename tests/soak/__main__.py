"""`make soak`: small migrations for SOAK_MINUTES (60); 1 when the daemon holds more afterwards."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Final

from rich.console import Console

from tests.bench.stage import stage, wait_for_sidecar
from tests.soak.footprint import Footprint, read_footprint
from tests.soak.work import one_round

_CLIENTS: Final = 20
_ROUNDS_BEFORE: Final = 10
_REPORT_SECONDS: Final = 60.0
_REST_SECONDS: Final = 60.0
# Threads of the pool that blocking calls go to come one by one; memory is what Python keeps.
_ALLOWED: Final = Footprint(
    files=4, threads=4, tasks=2, children=0, connections=4, resident_mb=15.0
)


async def _soak(minutes: float) -> int:
    console = Console()
    async with stage("soak", replicas=0, settings={"table_gc_lifecycle": "drop"}) as sandbox:
        await wait_for_sidecar(sandbox)
        daemon, server = sandbox.primary.daemon, sandbox.primary.server
        count = 0
        for number in range(_ROUNDS_BEFORE):
            count += await one_round(daemon, "commerce", f"t{number}", clients=_CLIENTS)
        await asyncio.sleep(_REST_SECONDS)
        before = await asyncio.to_thread(read_footprint, daemon, server)
        console.print(f"after {count} migrations: {before}", highlight=False, soft_wrap=True)
        end = time.monotonic() + minutes * 60
        report_at = time.monotonic() + _REPORT_SECONDS
        while time.monotonic() < end:
            count += await one_round(daemon, "commerce", f"t{count}", clients=_CLIENTS)
            if time.monotonic() > report_at:
                now = await asyncio.to_thread(read_footprint, daemon, server)
                console.print(f"after {count} migrations: {now}", highlight=False, soft_wrap=True)
                report_at += _REPORT_SECONDS
        await asyncio.sleep(_REST_SECONDS)
        after = await asyncio.to_thread(read_footprint, daemon, server)
    growth = after.growth_since(before, _ALLOWED)
    console.print(f"at the end, after {count} migrations: {after}", highlight=False, soft_wrap=True)
    console.print("\n".join(growth) or "nothing has grown")
    return int(bool(growth))


if __name__ == "__main__":
    sys.exit(asyncio.run(_soak(float(os.environ.get("SOAK_MINUTES", "60")))))
