"""How heartbeats are configured."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

INTERVAL_SECONDS_DEFAULT: Final = 0.25
INTERVAL_SECONDS_MAX: Final = 1.0
LEASE_SECONDS_DEFAULT: Final = 10.0
_STATEMENT_SECONDS: Final = 1.0

_logger = logging.getLogger(__name__)


class TrackerMode(StrEnum):
    """How lag is found out."""

    HEARTBEAT = "heartbeat"
    """By the rows that the primary's daemon writes."""
    POLLING = "polling"
    """By what the replica says about itself in SHOW REPLICA STATUS."""
    DISABLE = "disable"
    """Not at all."""


class WriteMode(StrEnum):
    """When a primary writes heartbeats."""

    ALWAYS = "always"
    """At each interval."""
    ON_DEMAND = "on_demand"
    """At each interval while somebody wants them."""
    OFF = "off"
    """Never."""


@dataclass(frozen=True, slots=True)
class HeartbeatSettings:
    """What the writer and the reader must know.

    Attributes:
        keyspace: keyspace of the tablet; with the shard it is the key of the heartbeat's row.
        shard: shard of the tablet.
        tablet_uid: uid part of the tablet's alias.
        mode: how lag is found out.
        interval_seconds: period of writes and reads, already bounded by `bounded_interval_seconds`.
        writes: when heartbeats are written.
        lease_seconds: how long they are written on demand after the last time that somebody asked.
    """

    keyspace: str
    shard: str
    tablet_uid: int
    mode: TrackerMode = TrackerMode.HEARTBEAT
    interval_seconds: float = INTERVAL_SECONDS_MAX
    writes: WriteMode = WriteMode.ALWAYS
    lease_seconds: float = LEASE_SECONDS_DEFAULT

    @property
    def statement_seconds_max(self) -> float:
        """How long a write or a look may take: a second, also where the next is due sooner.

        A short interval as the limit would cancel what a busy server still does, and lose the
        connection with it, at each tick anew. The ticks that pass meanwhile are left out.
        """
        return max(self.interval_seconds, _STATEMENT_SECONDS)

    @property
    def keyspace_shard(self) -> str:
        """The key of the heartbeat's row."""
        return f"{self.keyspace}:{self.shard}"


def bounded_interval_seconds(configured_seconds: float) -> float:
    """Return the interval that is used for a configured one (the rule of Vitess).

    Args:
        configured_seconds: 0 means the default of 250 ms; above one second is one second, with a
            warning in the log, since other readers of the table take a second for granted.
    """
    if configured_seconds == 0:
        return INTERVAL_SECONDS_DEFAULT
    if configured_seconds > INTERVAL_SECONDS_MAX:
        _logger.warning(
            "heartbeat_interval %g s is too long: %g s is used",
            configured_seconds,
            INTERVAL_SECONDS_MAX,
        )
        return INTERVAL_SECONDS_MAX
    return configured_seconds
