"""Who may act, whatever is done to processes and to the server's clock."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from tabletd.lease import Holder
from tabletd.lease.decision import Finding, LeaseRow, judge
from tabletd.lease.holder import Process
from tests.support.lease import holder_of

DURATION = 10.0
OWN, OTHER = holder_of(1), holder_of(2)


def found_by(
    row: LeaseRow | None, own: Process, *, is_dead: bool = False, unchanged: float = 0.0
) -> Finding:
    return judge(row, own, is_dead=is_dead, unchanged_seconds=unchanged, duration_seconds=DURATION)


def row_of(holder: Holder, *, remaining: float, nonce: str = "n") -> LeaseRow:
    return LeaseRow(7, nonce, 3, remaining, holder)


@given(remaining=st.floats(-1e6, 1e6), unchanged=st.floats(0, 1e6), is_dead=st.booleans())
def test_what_was_never_taken_or_is_given_back_or_our_own_is_taken_at_once(
    remaining: float, unchanged: float, is_dead: bool
) -> None:
    given_back = row_of(OTHER, remaining=remaining, nonce="")
    own = row_of(OWN, remaining=remaining)
    assert found_by(None, OWN.process) is Finding.FREE
    for row, finding in ((given_back, Finding.FREE), (own, Finding.OWN)):
        assert found_by(row, OWN.process, is_dead=is_dead, unchanged=unchanged) is finding


@given(remaining=st.floats(-1e6, 1e6), unchanged=st.floats(0, 1e6))
def test_a_dead_holder_is_not_waited_for(remaining: float, unchanged: float) -> None:
    row = row_of(OTHER, remaining=remaining)
    assert found_by(row, OWN.process, is_dead=True, unchanged=unchanged) is Finding.DEAD


@given(remaining=st.floats(-1e6, 1e6), unchanged=st.floats(0, 1e6))
def test_a_silent_holder_is_waited_for_once_and_not_longer_than_one_lease(
    remaining: float, unchanged: float
) -> None:
    found = found_by(row_of(OTHER, remaining=remaining), OWN.process, unchanged=unchanged)
    if unchanged >= DURATION:
        assert found in (Finding.EXPIRED, Finding.SILENT)
    if remaining > 0 and unchanged < DURATION:
        assert found is Finding.HELD
    if unchanged < DURATION / 2:
        assert found is Finding.HELD


@given(unchanged=st.floats(0, 1e6))
def test_a_lease_without_an_end_is_waited_for_until_it_has_been_called_in(unchanged: float) -> None:
    row = row_of(OTHER, remaining=math.inf)
    assert found_by(row, OWN.process, unchanged=unchanged) is Finding.HELD
    called_in = replace(row, remaining_seconds=-1.0)
    if unchanged >= DURATION / 2:
        assert found_by(called_in, OWN.process, unchanged=unchanged) is Finding.EXPIRED


@dataclass(frozen=True)
class Moment:
    """What happens for a while.

    Attributes:
        is_stopped: the holder does nothing.
        is_idle: the holder has nothing to do that it needs the lease for.
        clock_step: by how much the server's clock is set.
        looks: how long it lasts.
    """

    is_stopped: bool
    is_idle: bool
    clock_step: float
    looks: int


moments = st.builds(
    Moment,
    is_stopped=st.booleans(),
    is_idle=st.booleans(),
    clock_step=st.floats(-7200, 7200),
    looks=st.integers(1, 40),
)


@given(history=st.lists(moments, max_size=12))
def test_nobody_takes_the_lease_while_its_holder_still_acts(history: list[Moment]) -> None:
    """One daemon renews as `Lease` does, or is stopped; the other one looks, and calls it in."""
    tick = DURATION / 40
    now, server_clock = 0.0, 1e6
    renewed_at, expires_at = now, server_clock + DURATION
    row = row_of(OTHER, remaining=0.0)
    seen, seen_at = (row.mark, row.is_open_ended), now
    for moment in history:
        server_clock += moment.clock_step
        for _ in range(moment.looks):
            now, server_clock = now + tick, server_clock + tick
            holder_acts = now < renewed_at + 0.9 * DURATION
            if not moment.is_stopped and now - renewed_at >= DURATION / 4:
                # It wakes too late for itself, but nobody has taken it: it has it anew.
                renewed_at = now
                if not (moment.is_idle and math.isinf(expires_at)):
                    expires_at = math.inf if moment.is_idle else server_clock + DURATION
                    row = replace(row, renewals=row.renewals + 1)
                holder_acts = True
            row = replace(row, remaining_seconds=expires_at - server_clock)
            if (row.mark, row.is_open_ended) != seen:
                seen, seen_at = (row.mark, row.is_open_ended), now
            finding = found_by(row, OWN.process, unchanged=now - seen_at)
            if finding is Finding.HELD:
                if row.is_open_ended:
                    expires_at = server_clock + DURATION
                continue
            # A clock set far forward while its holder is stopped is the one thing that nobody
            # can see; then the epoch in each statement keeps the two apart.
            assert not holder_acts or finding is Finding.EXPIRED
            assert moment.is_stopped
            return
