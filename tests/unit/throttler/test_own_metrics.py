"""What the throttler makes of this tablet's own lag."""

from __future__ import annotations

import pytest

from tabletd.heartbeat import Lag, LagState
from tabletd.mysql.pool import Pool
from tabletd.mysql.settings import MySQLSettings
from tabletd.throttler import Metric, OwnMetrics, Reading
from tests.support.clock import FakeClock

SECOND_NS = 1_000_000_000


@pytest.mark.parametrize(
    ("lag", "expected"),
    [
        (Lag(LagState.MEASURED, 3 * SECOND_NS, lower_ns=2 * SECOND_NS), Reading(2.0)),
        (Lag(LagState.MEASURED, 3 * SECOND_NS), Reading(3.0)),
        (Lag(LagState.MEASURED, -SECOND_NS), Reading(0.0)),
        (
            Lag(LagState.MEASURED, 0, lower_ns=3 * SECOND_NS, delay_ns=2 * SECOND_NS),
            Reading(1.0),
        ),
        (Lag(LagState.MEASURED, 0, lower_ns=SECOND_NS, delay_ns=2 * SECOND_NS), Reading(0.0)),
        (Lag(LagState.IDLE, SECOND_NS, lower_ns=0, cause="nobody has asked"), Reading(0.0)),
        (Lag(LagState.UNKNOWN, error="no beat yet"), Reading(None, "no beat yet")),
        (
            Lag(LagState.STOPPED, SECOND_NS, lower_ns=SECOND_NS, error="SQL thread"),
            Reading(1.0, "SQL thread", is_down=True),
        ),
        # What its lower bound was is nothing to go by.
        (
            Lag(LagState.STALE, 9 * SECOND_NS, lower_ns=0, cause="cannot be asked"),
            Reading(9.0, "cannot be asked"),
        ),
        (Lag(LagState.STALE, None, error="server away"), Reading(None, "server away")),
    ],
)
def test_a_lag_is_read_by_its_state_and_its_lower_bound(lag: Lag, expected: Reading) -> None:
    own = OwnMetrics(
        Pool(MySQLSettings(), name="Unopened", size_max=1),
        lag=lambda: lag,
        custom_query=lambda: "",
        is_dormant=lambda: True,
        clock=FakeClock(),
    )
    assert own.readings() == {Metric.LAG: expected}
