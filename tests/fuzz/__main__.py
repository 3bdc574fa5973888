"""`make fuzz INPUTS=n TARGET=name SEED=s`, or `python -m tests.fuzz --help`."""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tabletd.sandbox.releases import ReleaseName, find_release
from tests.fuzz.field import OwnProcess, allow_many_files
from tests.fuzz.run import Report, fuzz
from tests.fuzz.stage import staged
from tests.fuzz.targets import TARGETS, Target, target_named
from tests.support.servers import RealServer


def main() -> int:
    """Send what is asked for and show what came of it; 1 when anything was found."""
    options = _parser().parse_args()
    seed = options.seed or str(random.SystemRandom().randrange(10**6))
    targets = [target_named(name) for name in options.target] or list(TARGETS)
    allow_many_files()
    console = Console(width=max(100, Console().width))
    console.print(f"seed {seed}")
    reports: list[Report] = []
    for target in targets:
        report = asyncio.run(_under_fire(target, options.inputs, seed))
        console.print(f"{target.name}: {report.inputs} inputs, {len(report.finds)} finds")
        for find in report.finds.values():
            console.print(f"  {find}", markup=False, highlight=False, soft_wrap=True)
        reports.append(report)
    console.print(_table(reports))
    return int(any(report.finds for report in reports))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    names = [target.name for target in TARGETS]
    parser.add_argument("--inputs", type=int, default=100_000, help="for each target")
    parser.add_argument("--target", action="append", default=[], choices=names)
    parser.add_argument("--seed", help="default: a random one, shown")
    return parser


async def _under_fire(target: Target, inputs: int, seed: str) -> Report:
    if not target.needs_daemon:
        return await fuzz(target, OwnProcess(), inputs=inputs, seed=seed)
    directory = Path(tempfile.mkdtemp(prefix="tabletd-fuzz-"))
    server = RealServer(find_release(ReleaseName.MARIADB), directory / "server")
    report = None
    try:
        async with staged(server, directory / "stage") as stage:
            report = await fuzz(target, stage, inputs=inputs, seed=seed)
            Console().print(f"{stage.statements.judged} statements of the daemon judged")
            return report
    finally:
        if report is None or report.finds:
            kept = Path(f"{directory}-logs")
            shutil.copytree(directory / "stage", kept)
            Console().print(f"logs: {kept}")
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _table(reports: list[Report]) -> Table:
    table = Table("target", title="make fuzz")
    for name in ("inputs", "finds", "memory, first tenth", "memory, end", "seconds"):
        table.add_column(name, justify="right")
    for one in reports:
        megabytes = (f"{size / 1e6:.1f} MB" for size in (one.begin_bytes, one.end_bytes))
        finds = str(len(one.finds))
        table.add_row(one.target, str(one.inputs), finds, *megabytes, f"{one.seconds:.0f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
