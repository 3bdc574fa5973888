"""How long RPCs take, by method and status, under the name of OpenTelemetry's conventions.

A histogram of OpenTelemetry costs about as much as all else that we do around a short RPC. So there
is one only where a collector wants it; else Prometheus's own counts, which are on the same page
under the same names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from opentelemetry.metrics import Meter
from prometheus_client import CollectorRegistry, Histogram, disable_created_metrics

# Takes how many seconds an RPC took.
Record = Callable[[float], None]
# Gives what takes those of a method, by its full name, that end with a status, by gRPC's name.
Durations = Callable[[str, str], Record]

_TEXT: Final = "Duration of RPCs"
_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def otel_durations(meter: Meter) -> Durations:
    """Record them for OpenTelemetry, and so for all that it is read by."""
    histogram = meter.create_histogram(
        "rpc.server.call.duration",
        unit="s",
        description=_TEXT,
        explicit_bucket_boundaries_advisory=_BOUNDS,
    )

    def of(method: str, status: str) -> Record:
        attributes = {"rpc.method": method, "rpc.response.status_code": status}
        return lambda seconds: histogram.record(seconds, attributes)

    return of


def prometheus_durations(registry: CollectorRegistry) -> Durations:
    """Record them for a page of Prometheus alone."""
    # OpenTelemetry's has none of them.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    histogram = Histogram(
        "rpc_server_call_duration_seconds",
        _TEXT,
        ("rpc_method", "rpc_response_status_code"),
        buckets=_BOUNDS,
        registry=registry,
    )
    return lambda method, status: histogram.labels(method, status).observe


def no_durations(method: str, status: str) -> Record:
    """Record none."""
    return _nothing


def _nothing(seconds: float) -> None:
    return
