"""Every var is on the metrics page."""

from __future__ import annotations

import asyncio

import pytest

from tabletd.telemetry.otel import Telemetry, instrument_name
from tabletd.telemetry.vars import Registry


@pytest.mark.parametrize(
    ("expvar", "metric"),
    [
        ("HeartbeatCurrentLagNs", "tabletd_heartbeat_current_lag_ns"),
        ("RpcCalls", "tabletd_rpc_calls"),
        ("DBAPoolInUse", "tabletd_dba_pool_in_use"),
    ],
)
def test_a_metric_is_named_after_its_var(expvar: str, metric: str) -> None:
    assert instrument_name(expvar) == metric


def test_counters_gauges_words_and_histograms_are_published() -> None:
    registry = Registry()
    registry.counter("Writes", "writes").add(3)
    registry.gauge("LagNs", "lag", lambda: -5)
    registry.gauge("StateName", "a word", lambda: "SERVING")
    histogram = registry.histogram("Sizes", "sizes", [1, 10], ["1", "10", ">10"])
    for value in (1, 2, 100):
        histogram.add(value)
    telemetry = Telemetry(tablet_alias="zone1-1", version="9", environment={})
    telemetry.publish(registry)
    page = telemetry.prometheus_page().decode()
    assert not telemetry.is_tracing
    asyncio.run(telemetry.close())
    for line in (
        "tabletd_writes_total 3.0",
        "tabletd_lag_ns -5.0",
        'tabletd_state_name{value="SERVING"} 1.0',
        'tabletd_sizes_bucket{le="1"} 1.0',
        'tabletd_sizes_bucket{le="10"} 2.0',
        'tabletd_sizes_bucket{le="+Inf"} 3.0',
        "tabletd_sizes_sum 103.0",
    ):
        assert line in page.splitlines(), page
