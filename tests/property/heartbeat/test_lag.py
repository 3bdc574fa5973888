"""Lag figures and their histogram, for any clocks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tabletd.heartbeat.lag import Lag, LagState, lag_between_ns
from tabletd.heartbeat.reader import LAG_CUTOFF_LABELS, LAG_CUTOFFS_NS
from tabletd.telemetry.vars import Histogram

lags_ns = st.integers(min_value=-(2**62), max_value=2**62)


@given(values=st.lists(lags_ns | st.sampled_from(LAG_CUTOFFS_NS)))
def test_a_lag_is_counted_in_the_first_bucket_whose_bound_is_not_below_it(
    values: list[int],
) -> None:
    histogram = Histogram("HeartbeatLagNsHistogram", "", LAG_CUTOFFS_NS, LAG_CUTOFF_LABELS)
    expected = dict.fromkeys(LAG_CUTOFF_LABELS, 0)
    for value in values:
        histogram.add(value)
        above = sum(cutoff < value for cutoff in LAG_CUTOFFS_NS)
        expected[LAG_CUTOFF_LABELS[above]] += 1
    assert histogram.export() == {**expected, "Count": len(values), "Total": sum(values)}


@given(lag_ns=lags_ns)
def test_whole_seconds_fit_an_unsigned_number_and_never_exceed_the_lag(lag_ns: int) -> None:
    lag = Lag(LagState.MEASURED, lag_ns)
    assert lag.whole_seconds >= 0
    assert lag.whole_seconds * 1_000_000_000 <= max(0, lag_ns)
    assert lag.lag_seconds is not None
    assert lag.lag_seconds >= 0


@given(written_ns=st.integers(min_value=0, max_value=2**62), lag_ns=lags_ns)
def test_lag_is_the_difference_of_the_two_wall_clocks(written_ns: int, lag_ns: int) -> None:
    assert lag_between_ns(written_ns, written_ns + lag_ns) == lag_ns
