from __future__ import annotations

from pathlib import Path

from tabletd.executor.states import (
    COMMANDS,
    PENDING,
    TERMINAL,
    TRANSITIONS,
    Command,
    Status,
    mermaid,
)


def test_the_transition_table_is_the_documented_one() -> None:
    assert {
        Status.REQUESTED: frozenset(),
        Status.QUEUED: {Status.READY, Status.FAILED, Status.CANCELLED, Status.COMPLETE},
        Status.READY: {Status.RUNNING, Status.FAILED, Status.CANCELLED, Status.COMPLETE},
        Status.RUNNING: {Status.COMPLETE, Status.FAILED, Status.CANCELLED, Status.QUEUED},
        Status.COMPLETE: frozenset(),
        Status.FAILED: {Status.QUEUED, Status.COMPLETE},
        Status.CANCELLED: {Status.QUEUED, Status.COMPLETE},
    } == TRANSITIONS


def test_every_command_has_a_move_and_pending_and_terminal_share_nothing() -> None:
    assert set(COMMANDS) == set(Command)
    assert not PENDING & TERMINAL
    assert set(Status) == PENDING | TERMINAL | {Status.REQUESTED}


def test_the_documentation_shows_the_diagram_with_every_move() -> None:
    diagram = mermaid()
    page = Path(__file__).parents[3] / "docs" / "migration-states.md"
    assert diagram in page.read_text("utf-8")
    assert "queued --> ready: schedule" in diagram
    assert diagram.count("-->") == 1 + sum(len(m.sources) for m in COMMANDS.values()) + 3
