"""`make bench`, or a part of it: `make bench ONLY=vexec,rest`."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Final

from rich.console import Console

from tests.bench.report import Finding, Measurement, write_report

_PARTS: Final = {
    "vexec": "VExec SELECT against a bare handler",
    "listing": "GetSchemaMigrations of 1,000 rows against a bare handler",
    "tick": "scheduler tick, long history against short",
    "watch": "a change of state until 100 watchers have it",
    "small": "small changes on two shards until complete",
    "rest": "daemons at rest (REST_SECONDS=60)",
    "load": "1,000 queued, 50 finished a minute, 200 clients (LOAD_SECONDS=180, each of 2)",
    "flood": "heartbeats while a caller floods (FLOOD_SECONDS=30, for each of 5)",
    "resume": "a paused tool after its daemon has come back",
    "overhead": "whole migrations against the bare tools (ROWS=1000000)",
    "verify": "every row compared, against copying them (ROWS=1000000)",
    "lag-error": "lag against the truth, and others' against it (LAG_SECONDS=60, for each of 8)",
    "heartbeat-cost": "heartbeats, always and on demand (COST_SECONDS=60, for each of 4)",
    "throttled-copy": "migrations beside a replica that takes half of their copy (THROTTLED_ROWS)",
    "throttle-check": "checks of the throttler against an echo (CHECK_SECONDS=30, for each of 3)",
}


def main() -> int:
    """Run the parts named by ONLY, or all; 1 when a goal is missed."""
    console = Console(width=None if sys.stdout.isatty() else 150)
    chosen = [part for part in os.environ.get("ONLY", "").split(",") if part] or list(_PARTS)
    unknown = sorted(set(chosen) - set(_PARTS))
    if unknown:
        console.print(f"no part {', '.join(unknown)}; there are: {', '.join(_PARTS)}")
        return 2
    findings: list[Finding] = []
    for part in chosen:
        console.print(f"{part}: {_PARTS[part]} ...", highlight=False)
        start = time.monotonic()
        module = import_module(f"tests.bench.{part.replace('-', '_')}")
        findings += asyncio.run(module.measure())
        console.print(f"{part}: {time.monotonic() - start:.0f} s", highlight=False)
    path = write_report(findings, Path(__file__).parent / "results", console)
    console.print(f"written to {path}", highlight=False, soft_wrap=True)
    return int(any(isinstance(one, Measurement) and one.is_met is False for one in findings))


if __name__ == "__main__":
    sys.exit(main())
