"""What is known of the migrations that a command follows, and how it ends with them."""

from __future__ import annotations

from collections.abc import Iterable

from tabletd_client.cli.session import EXIT_DONE, EXIT_FAILED, EXIT_STILL_RUNNING
from tabletd_client.models import (
    Changed,
    Disconnected,
    Event,
    Migration,
    Removed,
    Status,
    UpToDate,
)


class Followed:
    """The states of migrations, as events tell them.

    Args:
        shards: that are watched.
        expected: what was already seen; the end is not reached before these have ended.

    Attributes:
        states: by UUID and shard, in the order in which they were first told.
        lost: why a shard is not heard at present.
    """

    def __init__(self, shards: Iterable[str], expected: Iterable[Migration] = ()) -> None:
        self.states = {(one.uuid, one.shard): one for one in expected}
        self.lost: dict[str, str] = {}
        self._not_told_yet = set(shards)

    def take(self, event: Event) -> None:
        """Learn from an event."""
        match event:
            case Changed(migration):
                self.states[migration.uuid, migration.shard] = migration
            case Removed(uuid, _, shard):
                self.states.pop((uuid, shard), None)
            case UpToDate(_, shard):
                self.lost.pop(shard, None)
                self._not_told_yet.discard(shard)
            case Disconnected(_, shard, _, message):
                self.lost[shard] = message

    @property
    def not_heard_yet(self) -> list[str]:
        """Shards of which nothing is known, neither their migrations nor why they are silent."""
        return sorted(self._not_told_yet - self.lost.keys())

    @property
    def ended(self) -> bool:
        """Whether every migration is known and has ended."""
        return not self._not_told_yet and all(one.ended for one in self.states.values())

    @property
    def exit_code(self) -> int:
        """Done, failed, or still running."""
        statuses = {one.status for one in self.states.values()}
        if any(not one.ended for one in self.states.values()):
            return EXIT_STILL_RUNNING
        return EXIT_DONE if statuses <= {Status.COMPLETE} else EXIT_FAILED
