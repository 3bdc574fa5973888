"""Every var is on the metrics page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry

from tabletd.telemetry.otel import Telemetry, instrument_name
from tabletd.telemetry.rpc_durations import Durations, otel_durations, prometheus_durations
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
    cells = [("rule", "gh-ost"), ("lag", "other")]
    registry.labelled_counters("Refusals", "refusals", ("cause", "app"), cells).add(
        "rule", "gh-ost"
    )
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
        'tabletd_refusals_total{app="gh-ost",cause="rule"} 1.0',
        'tabletd_refusals_total{app="other",cause="lag"} 0.0',
        "tabletd_lag_ns -5.0",
        'tabletd_state_name{value="SERVING"} 1.0',
        'tabletd_sizes_bucket{le="1"} 1.0',
        'tabletd_sizes_bucket{le="10"} 2.0',
        'tabletd_sizes_bucket{le="+Inf"} 3.0',
        "tabletd_sizes_sum 103.0",
    ):
        assert line in page.splitlines(), page


def by_opentelemetry(registry: CollectorRegistry) -> Durations:
    reader = PrometheusMetricReader(registry=registry, scope_info_enabled=False)
    return otel_durations(MeterProvider([reader], shutdown_on_exit=False).get_meter("tabletd"))


@pytest.mark.parametrize("durations", [by_opentelemetry, prometheus_durations])
def test_how_long_rpcs_took_is_on_the_page_under_the_same_names_whoever_records_it(
    durations: Callable[[CollectorRegistry], Durations],
) -> None:
    registry = CollectorRegistry()
    of = durations(registry)
    for seconds in (0.002, 0.002, 0.25, 60.0):
        of("a.B/Ping", "OK")(seconds)
    of("a.B/Ping", "CANCELLED")(0.5)

    def value(suffix: str, status: str = "OK", **labels: str) -> float | None:
        name = f"rpc_server_call_duration_seconds_{suffix}"
        known = {"rpc_method": "a.B/Ping", "rpc_response_status_code": status}
        return registry.get_sample_value(name, known | labels)

    buckets = {bound: value("bucket", le=bound) for bound in ("0.001", "0.0025", "0.25", "+Inf")}
    assert buckets == {"0.001": 0, "0.0025": 2, "0.25": 3, "+Inf": 4}
    assert (value("sum"), value("count")) == (60.254, 4)
    assert value("count", "CANCELLED") == 1
    assert value("created") is None


def test_where_no_collector_wants_it_how_long_rpcs_took_is_on_the_page() -> None:
    telemetry = Telemetry(tablet_alias="zone1-1", version="9", environment={})
    telemetry.rpc_durations("a.B/Ping", "OK")(0.002)
    page = telemetry.prometheus_page().decode()
    asyncio.run(telemetry.close())
    assert 'rpc_server_call_duration_seconds_count{rpc_method="a.B/Ping"' in page
