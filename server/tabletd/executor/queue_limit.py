"""How long the queue may become: beyond that a submission is refused, and told why."""

from __future__ import annotations

from tabletd.errors import Reason, TabletdError
from tabletd.executor.reads import Reads
from tabletd.telemetry.vars import Registry


class QueueLimit:
    """Refuses submissions to a queue that is full.

    Args:
        rows: the migrations.
        waiting_max: how many of a keyspace may wait at the same time; 0: any number.
        registry: gets `SubmissionsRefused`.
    """

    def __init__(self, rows: Reads, waiting_max: int, registry: Registry) -> None:
        self._rows = rows
        self._waiting_max = waiting_max
        self._refused = registry.counter(
            "SubmissionsRefused", "migrations refused since the queue is full"
        )

    async def check(self, *, migration_uuid: str, keyspace: str) -> None:
        """Let a migration in, if there is room for it, or if it is known already.

        Args:
            migration_uuid: whose.
            keyspace: that it is for.

        Raises:
            TabletdError: QUEUE_FULL.
        """
        if not self._waiting_max:
            return
        waiting = await self._rows.waiting(keyspace)
        if waiting < self._waiting_max or await self._rows.find(migration_uuid) is not None:
            return
        self._refused.add()
        raise TabletdError(
            Reason.QUEUE_FULL,
            f"{waiting} migrations of the keyspace {keyspace[:64]} wait in the queue, which takes "
            f"{self._waiting_max} at most",
            hint="wait until some are complete, cancel what is not needed "
            "(ALTER VITESS_MIGRATION CANCEL ALL), or raise queued_migrations_max",
            queued=waiting,
            limit=self._waiting_max,
        )
