"""What the queue's gauges show."""

from __future__ import annotations

from tabletd.executor.queue_vars import QueueVars
from tabletd.executor.scheduler import Candidate
from tabletd.executor.states import Status
from tabletd.executor.waiting import throttled
from tabletd.telemetry.vars import Registry


def test_pending_migrations_are_counted_by_what_they_do() -> None:
    registry = Registry()
    shown = QueueVars(registry)
    shown.show(
        (
            Candidate(1, "a", Status.RUNNING, quiet_seconds=3, ready_to_complete=True),
            Candidate(
                2,
                "b",
                Status.RUNNING,
                quiet_seconds=70,
                message=throttled("b", "replica lags", by_user=False),
            ),
            Candidate(3, "c", Status.READY, quiet_seconds=900),
            Candidate(4, "d", Status.QUEUED, quiet_seconds=900),
        )
    )
    assert registry.export() == {
        "HeldMigrations": 1,
        "QueuedMigrations": 2,
        "QuietestMigrationSeconds": 70,
        "RunningMigrations": 2,
        "ThrottledMigrations": 1,
    }
    shown.show(())
    assert set(registry.export().values()) == {0}
