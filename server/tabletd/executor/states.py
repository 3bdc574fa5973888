"""The states of a migration and what may move it from one to another, as data.

Status texts are Vitess's own (`_vt.schema_migrations.migration_status`). The one writer of the
column is `store.Store`, which asks these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Status(StrEnum):
    """Where a migration stands. `requested` is only ever written by old clients' topology."""

    REQUESTED = "requested"
    QUEUED = "queued"
    READY = "ready"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Command(StrEnum):
    """What moves a migration.

    SCHEDULE chooses it to be the next; CLAIM gives it to an engine; REQUEUE gives it back when a
    run left nothing lasting; SETTLE is the discovery that a run had swapped the tables although
    the row had been moved on (a cancel that came too late).
    """

    SCHEDULE = "schedule"
    CLAIM = "claim"
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"
    REQUEUE = "requeue"
    RETRY = "retry"
    SETTLE = "settle"


@dataclass(frozen=True, slots=True)
class Move:
    """The states a command may start from and the one it leads to."""

    sources: frozenset[Status]
    target: Status


PENDING = frozenset({Status.QUEUED, Status.READY, Status.RUNNING})
TERMINAL = frozenset({Status.COMPLETE, Status.FAILED, Status.CANCELLED})

COMMANDS: Mapping[Command, Move] = MappingProxyType(
    {
        Command.SCHEDULE: Move(frozenset({Status.QUEUED}), Status.READY),
        Command.CLAIM: Move(frozenset({Status.READY}), Status.RUNNING),
        Command.COMPLETE: Move(frozenset({Status.RUNNING}), Status.COMPLETE),
        Command.FAIL: Move(PENDING, Status.FAILED),
        Command.CANCEL: Move(PENDING, Status.CANCELLED),
        Command.REQUEUE: Move(frozenset({Status.RUNNING}), Status.QUEUED),
        Command.RETRY: Move(frozenset({Status.FAILED, Status.CANCELLED}), Status.QUEUED),
        Command.SETTLE: Move(
            frozenset({Status.QUEUED, Status.READY, Status.FAILED, Status.CANCELLED}),
            Status.COMPLETE,
        ),
    }
)


def _transitions() -> Mapping[Status, frozenset[Status]]:
    return MappingProxyType(
        {
            status: frozenset(move.target for move in COMMANDS.values() if status in move.sources)
            for status in Status
        }
    )


TRANSITIONS: Mapping[Status, frozenset[Status]] = _transitions()


def mermaid() -> str:
    """Return the state machine as a Mermaid diagram for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> queued: submit"]
    for command, move in COMMANDS.items():
        lines.extend(
            f"    {source} --> {move.target}: {command}" for source in sorted(move.sources)
        )
    lines.extend(f"    {status} --> [*]" for status in sorted(TERMINAL))
    return "\n".join(lines) + "\n"
