"""The runs of `make test`: twelve, which hurt every target by a fault of every family."""

from __future__ import annotations

from typing import Final

import pytest

from tests.faults.kinds import kind_named
from tests.faults.plan import Plan, draw
from tests.faults.run import RUN_SECONDS_MAX, Report, run
from tests.faults.stage import real_program
from tests.support.logs import end_of
from tests.support.servers import missing_release

# A run that takes too long says itself what it waits for.
SECONDS_MAX: Final = int(RUN_SECONDS_MAX) + 60

_RUNS: Final = {
    "gh-ost": (
        (2, ("daemon-kill",)),
        (25, ("tool-stop", "hook-daemon-cut")),
        (23, ("server-kill",)),
        (1, ("tool-server-stall", "replica-kill")),
        (3, ("program-exits-0",)),
        (38, ("role-change",)),
    ),
    "pt-osc": (
        (16, ("wrapper-kill", "client-daemon-reset")),
        (34, ("daemon-server-cut", "replication-stopped")),
        (40, ("daemon-term", "replica-primary-reset")),
        (43, ("logs-disk-full",)),
        (105, ("clock-set-back", "queue-column-dropped")),
        (66, ("second-daemon", "connections-killed")),
    ),
}


def plans(tool: str) -> list[Plan]:
    """Return a tool's runs."""
    return [
        draw(seed, tool=tool, kinds=[kind_named(name) for name in names], is_brief=True)
        for seed, names in _RUNS[tool]
    ]


def name_of(plan: Plan) -> str:
    """Return what a test of the plan is called."""
    return " and ".join(fault.kind.name for fault in plan.faults)


async def check(plan: Plan) -> None:
    """Carry a plan out, where this machine can; everything is kept where something is wrong."""
    reasons = [fault.kind.why_not for fault in plan.faults]
    reasons.append(missing_release(plan.server))
    if real_program(plan.tool) is None:
        reasons.append(f"{plan.tool} is not installed")
    if reason := "; ".join(filter(None, reasons)):
        pytest.skip(reason)
    report = await run(plan)
    if report.is_good and report.missed:
        report = await run(plan)  # its moment was over before the fault came
    assert report.is_good, _with_logs(report)
    assert not report.missed, str(report)


def _with_logs(report: Report) -> str:
    """Return what was found and how the logs end: the machine may be gone when somebody looks."""
    kept = sorted(report.directory.rglob("*.log")) if report.directory else []
    ends = [str(report)]
    for log in kept:
        if not log.name.endswith("-general.log"):
            ends += ["", f"{log}:", end_of(log)]
    return "\n".join(ends)
