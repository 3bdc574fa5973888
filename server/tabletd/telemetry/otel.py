"""Metrics and traces by OpenTelemetry: Prometheus always, OTLP when its variables are set."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import accumulate
from typing import Final

from opentelemetry import metrics, trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tabletd.telemetry.rpc_durations import otel_durations, prometheus_durations
from tabletd.telemetry.vars import Counter, Gauge, Histogram, LabelledCounters, Registry, VarValue

METRICS_CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_CLOSE_SECONDS_MAX: Final = 3.0
_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_WORD: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

_logger = logging.getLogger(__name__)


class Telemetry:
    """The process's OpenTelemetry, made once.

    Args:
        tablet_alias: becomes the resource's `service.instance.id`.
        version: of the daemon.
        environment: where the standard `OTEL_*` variables are looked for.

    Attributes:
        rpc_durations: takes how long RPCs took.
    """

    def __init__(self, *, tablet_alias: str, version: str, environment: Mapping[str, str]) -> None:
        resource = Resource.create(
            {
                "service.name": environment.get("OTEL_SERVICE_NAME", "tabletd"),
                "service.version": version,
                "service.instance.id": tablet_alias,
            }
        )
        self._prometheus = CollectorRegistry()
        readers: list[MetricReader] = [
            PrometheusMetricReader(registry=self._prometheus, scope_info_enabled=False)
        ]
        is_collected = _is_wanted(environment, "METRICS")
        if is_collected:
            readers.append(_otlp_metrics())
        self._meters = MeterProvider(
            metric_readers=readers, resource=resource, shutdown_on_exit=False
        )
        metrics.set_meter_provider(self._meters)
        self.rpc_durations = (
            otel_durations(self._meters.get_meter("tabletd"))
            if is_collected
            else prometheus_durations(self._prometheus)
        )
        self._tracers: TracerProvider | None = None
        if _is_wanted(environment, "TRACES"):
            self._tracers = _otlp_traces(resource)
            trace.set_tracer_provider(self._tracers)

    @property
    def is_tracing(self) -> bool:
        """Whether spans go anywhere."""
        return self._tracers is not None

    def publish(self, registry: Registry) -> None:
        """Make an instrument of each var that the registry holds now."""
        meter = self._meters.get_meter("tabletd")
        for var in registry:
            name, text = instrument_name(var.name), var.help_text
            if isinstance(var, Counter):
                meter.create_observable_counter(name, [_observe(var.export)], description=text)
            elif isinstance(var, LabelledCounters):
                meter.create_observable_counter(name, [_observe_cells(var)], description=text)
            elif isinstance(var, Gauge):
                meter.create_observable_gauge(name, [_observe(var.export)], description=text)
            else:
                buckets, total = _observe_buckets(var), _observe(partial(getattr, var, "total"))
                meter.create_observable_gauge(f"{name}_bucket", [buckets], description=text)
                meter.create_observable_gauge(f"{name}_sum", [total], description=text)

    def prometheus_page(self) -> bytes:
        """Return every metric in Prometheus's text form."""
        return generate_latest(self._prometheus)

    async def close(self) -> None:
        """Send what waits to be sent, unless the collector does not take it soon."""
        # A thread of its own, which the end of the process does not wait for.
        thread = threading.Thread(target=self._shut_down, name="end of telemetry", daemon=True)
        thread.start()
        await asyncio.to_thread(thread.join, _CLOSE_SECONDS_MAX)
        if thread.is_alive():
            _logger.warning("metrics and traces were not all sent: the collector does not answer")

    def _shut_down(self) -> None:
        self._meters.shutdown(timeout_millis=3_000)
        if self._tracers is not None:
            self._tracers.shutdown()


def instrument_name(expvar_name: str) -> str:
    """Return the metric's name for a var: `HeartbeatWrites` becomes `tabletd_heartbeat_writes`."""
    return f"tabletd_{_WORD.sub('_', expvar_name).lower()}"


def _is_wanted(environment: Mapping[str, str], signal: str) -> bool:
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get(f"OTEL_{signal}_EXPORTER")
    if exporter is not None:
        return "otlp" in exporter.split(",")
    own_endpoint = f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"
    return bool(environment.get(own_endpoint) or environment.get(_ENDPOINT))


def _otlp_metrics() -> MetricReader:
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

    return PeriodicExportingMetricReader(OTLPMetricExporter())


def _otlp_traces(resource: Resource) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


_Callback = Callable[[CallbackOptions], Iterable[Observation]]


def _observe(read: Callable[[], VarValue]) -> _Callback:
    def observe(options: CallbackOptions) -> Iterable[Observation]:
        value = read()
        if isinstance(value, int | float):
            return [Observation(value)]
        return [Observation(1, {"value": str(value)})]  # a word is a label of a constant

    return observe


def _observe_cells(counters: LabelledCounters) -> _Callback:
    def observe(options: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(value, dict(zip(counters.labels, cell, strict=True)))
            for cell, value in counters.values.items()
        ]

    return observe


def _observe_buckets(histogram: Histogram) -> _Callback:
    def observe(options: CallbackOptions) -> Iterable[Observation]:
        bounds = [*(str(cutoff) for cutoff in histogram.cutoffs), "+Inf"]
        counts = accumulate(histogram.buckets)
        return [
            Observation(count, {"le": bound}) for bound, count in zip(bounds, counts, strict=True)
        ]

    return observe
