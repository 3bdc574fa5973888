"""What the queue looks like from outside: numbers of pending migrations."""

from __future__ import annotations

from collections.abc import Sequence

from tabletd.executor.scheduler import Candidate
from tabletd.executor.states import Status
from tabletd.executor.waiting import THROTTLED
from tabletd.telemetry.vars import Registry


class QueueVars:
    """Gauges of the pending migrations, as the last look at the queue found them.

    Args:
        registry: gets them.
    """

    def __init__(self, registry: Registry) -> None:
        self._queued = registry.gauge("QueuedMigrations", "migrations that have not begun")
        self._running = registry.gauge("RunningMigrations", "migrations that run")
        self._held = registry.gauge(
            "HeldMigrations", "running migrations with nothing but their last step left"
        )
        self._throttled = registry.gauge(
            "ThrottledMigrations", "running migrations that the throttler holds back"
        )
        self._quiet = registry.gauge(
            "QuietestMigrationSeconds", "since the last sign of life of the quietest that runs"
        )
        self.show(())

    def show(self, pending: Sequence[Candidate]) -> None:
        """Take what was found; nothing where this daemon does not work off the queue."""
        running = [row for row in pending if row.status is Status.RUNNING]
        self._queued.set(len(pending) - len(running))
        self._running.set(len(running))
        self._held.set(sum(row.ready_to_complete for row in running))
        self._throttled.set(sum(row.message.startswith(THROTTLED) for row in running))
        self._quiet.set(max((row.quiet_seconds for row in running), default=0))
