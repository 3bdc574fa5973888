"""What a later daemon needs to go on with a run: the plan, and what has become of its tool.

The plan is in the file `plan.json` of the run's private directory, written when everything else
that the tool needs is there: a directory without it has run nothing. It holds no secret; password
and token are in files of their own.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tabletd.executor.engines.tool import RunPlan
from tabletd.executor.engines.workspace import Phase, Workspace
from tabletd.processes.runner import attach, has_begun
from tabletd.processes.wrapper import write_atomically

_PLAN_FILE: Final = "plan.json"
_FORM: Final = 1


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """What of a `RunPlan` can be found out neither from the row nor from the server.

    Attributes:
        nonce: of the run.
        statement: what the tool carries out: of a declarative migration, the row says another.
        tables: as `RunPlan.tables`.
        host: as `RunPlan.host`.
        port: as `RunPlan.port`.
    """

    nonce: str
    statement: str
    tables: tuple[str, ...]
    host: str
    port: int


def store_plan(plan: RunPlan) -> None:
    """Write down what a later daemon needs."""
    stored = StoredPlan(
        nonce=plan.nonce,
        statement=plan.facts.migration.migration_statement,
        tables=plan.tables,
        host=plan.host,
        port=plan.port,
    )
    write_atomically(
        str(plan.workspace.directory / _PLAN_FILE), {"form": _FORM, "plan": asdict(stored)}
    )


def read_plan(directory: Path) -> StoredPlan | None:
    """Read the plan of a run; None when there is none, or one of another form."""
    try:
        found = json.loads((directory / _PLAN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if found["form"] != _FORM:
        return None
    plan: dict[str, Any] = found["plan"]
    tables = tuple(str(name) for name in plan.pop("tables"))
    return StoredPlan(**plan, tables=tables)


async def find_unended(workspace: Workspace, nonce: str) -> StoredPlan | None:
    """Return the plan of a run that can go on.

    That is one whose tool is at work, or whose dry run has ended well and whose run was not begun.

    Args:
        workspace: of the run.
        nonce: of the run.

    Raises:
        TabletdError: as `runner.attach`.
    """
    stored = await asyncio.to_thread(read_plan, workspace.directory)
    if stored is None or stored.nonce != nonce:
        return None
    for phase in (Phase.RUN, Phase.DRY_RUN):
        directory = workspace.phase_directory(phase)
        if not has_begun(directory):
            continue
        run = await attach(directory, nonce)
        if run is None:
            return None
        if run.is_alive():
            return stored
        return stored if phase is Phase.DRY_RUN and await run.wait() == 0 else None
    return stored
