"""`make faults RUNS=n SEED=s TOOL=gh-ost|pt-osc`, or `python -m tests.faults --help`."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tabletd.sandbox.releases import ReleaseName
from tests.faults.kinds import KINDS, kind_named
from tests.faults.plan import TOOLS, Plan, draw
from tests.faults.run import Report, run
from tests.faults.stage import real_program
from tests.faults.tally import read_logs, table, without_directories
from tests.support.servers import missing_release

_RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Make the runs that are asked for; 1 when any of them is not as it must be."""
    options = _parser().parse_args()
    if options.tally:
        say(table(read_logs(options.tally)))
        return 0
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    _RESULTS.mkdir(exist_ok=True)
    log = options.log or _RESULTS / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.tsv"
    say(f"log: {log}")
    reports: list[Report] = []
    for plan in _plans(options, seed):
        reasons = [fault.kind.why_not for fault in plan.faults]
        if real_program(plan.tool) is None:
            reasons.append(f"{plan.tool} is not installed")
        reasons.append(missing_release(plan.server))
        if reason := "; ".join(filter(None, reasons)):
            say(f"skipped {plan}: {reason}")
            continue
        report = asyncio.run(run(plan, keep=options.keep))
        say(str(report))
        reports.append(report)
        with log.open("a", encoding="utf-8") as file:
            file.write(_line(report))
    bad = [report for report in reports if not report.is_good]
    say(f"{len(reports)} runs, {len(bad)} wrong" + "".join(f"\n  {one.plan}" for one in bad))
    return int(bool(bad))


def say(text: str) -> None:
    """Write a line at once, also into a pipe."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--runs", type=int, default=1, help="how many, each with the next seed")
    parser.add_argument("--seed", type=int, help="of the first run; default: a random one, shown")
    parser.add_argument("--tool", choices=TOOLS, help="default: drawn")
    parser.add_argument("--server", choices=[*ReleaseName], help="default: drawn")
    parser.add_argument("--kind", action="append", default=[], help="this fault; once or twice")
    parser.add_argument("--all", action="store_true", help="every kind with each tool, once")
    parser.add_argument("--brief", action="store_true", help="each fault lasts as short as can be")
    parser.add_argument("--keep", action="store_true", help="keep all files of good runs, too")
    parser.add_argument("--log", type=Path, help="where a line for each run is added")
    parser.add_argument("--tally", type=Path, nargs="+", metavar="LOG", help="only count logs")
    return parser


def _plans(options: argparse.Namespace, seed: int) -> Iterator[Plan]:
    server = ReleaseName(options.server) if options.server else None
    if options.all:
        tools = [options.tool] if options.tool else TOOLS
        pairs = [(tool, kind) for kind in KINDS for tool in tools]
        for number, (tool, kind) in enumerate(pairs, seed):
            yield draw(number, tool=tool, server=server, kinds=[kind], is_brief=options.brief)
        return
    kinds = [kind_named(name) for name in options.kind]
    for number in range(seed, seed + options.runs):
        yield draw(number, tool=options.tool, server=server, kinds=kinds, is_brief=options.brief)


def _line(report: Report) -> str:
    plan = report.plan
    faults = "+".join(fault.kind.name for fault in plan.faults)
    phases = "+".join(fault.phase.words for fault in plan.faults)
    verdict = "ok" if report.is_good else "WRONG: " + " | ".join(report.complaints)
    cells = [
        *(str(plan.seed), plan.tool, str(plan.server), faults, phases, report.status),
        "missed" if report.missed else "hit",
        f"{report.seconds:.1f}",
        *(without_directories(" ".join(text.split()))[:400] for text in (verdict, report.message)),
    ]
    return "\t".join(cells) + "\n"


if __name__ == "__main__":
    sys.exit(main())
