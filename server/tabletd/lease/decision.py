"""Whether a lease may be taken: a pure rule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from tabletd.lease.holder import Holder, Process


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """The lease of a server as it was read.

    Attributes:
        epoch: grows with each daemon that takes it.
        nonce: random, of this taking; empty: it was given back.
        renewals: counted since it was taken.
        remaining_seconds: until it expires, by the server's clock; negative afterwards; infinite
            while its holder has nothing to do, until somebody calls it in.
        holder: who has it.
    """

    epoch: int
    nonce: str
    renewals: int
    remaining_seconds: float
    holder: Holder

    @property
    def is_open_ended(self) -> bool:
        """Whether its holder looks at it, and writes only when another daemon has called it in."""
        return math.isinf(self.remaining_seconds)

    @property
    def mark(self) -> tuple[int, str, int]:
        """What changes whenever anybody writes the row, whatever the clocks show."""
        return self.epoch, self.nonce, self.renewals


class Finding(Enum):
    """What the row of a lease says to a daemon that wants it."""

    FREE = "nobody holds it"
    OWN = "this process holds it since an earlier epoch"
    DEAD = "its holder's process has ended"
    EXPIRED = "it has expired"
    SILENT = "its holder has not renewed it for its whole length"
    HELD = "another daemon holds it"


def judge(
    row: LeaseRow | None,
    own: Process,
    *,
    is_dead: bool,
    unchanged_seconds: float,
    duration_seconds: float,
) -> Finding:
    """Say whether a daemon may take the lease: anything but HELD.

    A lease without an end says nothing of whether its holder lives: it is to be called in first.
    The server's clock may be set while the lease is held. So an expired lease counts as such only
    when its holder has let at least one renewal pass as well, and one that does not expire is over
    when nobody has renewed it for its whole length.

    Args:
        row: what was read; None: there is none of this server.
        own: the process that asks.
        is_dead: the holder's process has provably ended.
        unchanged_seconds: for how long the row has been seen unchanged, by our own clock.
        duration_seconds: of a lease.
    """
    if row is None or not row.nonce:
        return Finding.FREE
    if row.holder.process == own:
        return Finding.OWN
    if is_dead:
        return Finding.DEAD
    if row.is_open_ended:
        return Finding.HELD
    if row.remaining_seconds <= 0 and unchanged_seconds >= duration_seconds / 2:
        return Finding.EXPIRED
    if unchanged_seconds >= duration_seconds:
        return Finding.SILENT
    return Finding.HELD
