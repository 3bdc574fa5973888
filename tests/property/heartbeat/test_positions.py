"""The bounds of the lag by positions, for any delays and losses: never wrong."""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from tabletd.heartbeat.positions import Positions
from tabletd.heartbeat.writer_time import Bracket

MS = 1_000_000


@dataclass
class World:
    """A primary and its replica, in time of the clock that all is timed on.

    Attributes:
        committed: when each transaction was committed on the primary.
        applied: when the replica had it.
    """

    choice: random.Random
    commits: int
    gap_ns_max: int
    lag_ns_max: int
    network_ns_max: int
    committed: list[int] = field(default_factory=list[int])
    applied: list[int] = field(default_factory=list[int])

    def __post_init__(self) -> None:
        committed_ns = applied_ns = 0
        for _ in range(self.commits):
            committed_ns += self._some(self.gap_ns_max)
            applied_ns = max(applied_ns, committed_ns + self._some(self.lag_ns_max))
            self.committed.append(committed_ns)
            self.applied.append(applied_ns)

    def _some(self, ns_max: int) -> int:
        return self.choice.randint(0, ns_max)

    def moment_after(self, now_ns: int) -> tuple[int, Bracket]:
        """Return a moment that is known to lie between two, as that of a question does."""
        low_ns = now_ns + self._some(MS)
        moment_ns = low_ns + self._some(self.network_ns_max)
        return moment_ns, Bracket(low_ns, moment_ns + self._some(self.network_ns_max))

    def is_lost(self) -> bool:
        return self.choice.random() < 0.2

    def age_of_oldest_missing_ns(self, now_ns: int) -> int:
        """Return what the lag is."""
        place = bisect_right(self.applied, now_ns)
        is_missing = place < len(self.committed) and self.committed[place] <= now_ns
        return now_ns - self.committed[place] if is_missing else 0


worlds = st.builds(
    World,
    choice=st.builds(random.Random, st.integers(0, 2**64)),
    commits=st.integers(50, 300),
    gap_ns_max=st.sampled_from([MS, 20 * MS, 300 * MS]),
    lag_ns_max=st.sampled_from([0, 2 * MS, 400 * MS, 5000 * MS]),
    network_ns_max=st.sampled_from([0, MS, 40 * MS, 900 * MS]),
)


@given(world=worlds)
def test_the_true_lag_is_always_inside_the_bounds(world: World) -> None:
    positions, now_ns = Positions(), 0
    while now_ns < world.applied[-1]:
        told_ns, told = world.moment_after(now_ns)
        count = bisect_right(world.committed, told_ns)
        now_ns = told.high_ns
        # A primary that has committed nothing has no position.
        if count and not world.is_lost():
            positions.note_position(f"MySQL56/a:1-{count}", told)
        looked_ns, looked = world.moment_after(now_ns)
        now_ns = looked.high_ns + world.choice.randint(0, 4 * world.gap_ns_max)
        if world.is_lost():
            continue
        arrived = bisect_right(world.applied, looked_ns)
        positions.note_applied(f"a:1-{arrived}" if arrived else "", looked)
        lag = positions.lag(looked.high_ns, "")
        if lag is None:
            continue
        truth_ns = world.age_of_oldest_missing_ns(looked_ns)
        assert lag.lower_ns is not None
        assert lag.upper_ns is not None
        assert lag.lower_ns <= truth_ns <= lag.upper_ns
