"""What is counted and traced of each RPC."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Final

from opentelemetry import metrics, propagate, trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from tabletd.telemetry.vars import Registry

_OK: Final = "OK"
_DURATION_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Call:
    """One RPC on its way; the interceptor notes how it ended."""

    __slots__ = ("status",)

    def __init__(self) -> None:
        self.status = _OK


class RpcTelemetry:
    """Counts and times RPCs, and puts a span around each when tracing is on.

    Args:
        registry: gets `RpcCalls` and `RpcErrors`.
        tracing: whether an SDK records spans; without it none are made.
    """

    def __init__(self, registry: Registry, *, tracing: bool) -> None:
        self._calls = registry.counter("RpcCalls", "RPCs that were answered")
        self._errors = registry.counter("RpcErrors", "RPCs that were answered with an error")
        self._tracer = trace.get_tracer("tabletd.rpc") if tracing else None
        self._duration = metrics.get_meter("tabletd").create_histogram(
            "rpc.server.call.duration",
            unit="s",
            description="Duration of RPCs",
            explicit_bucket_boundaries_advisory=_DURATION_BOUNDS,
        )

    @contextmanager
    def call(self, method: str, metadata: Callable[[], Mapping[str, str]]) -> Generator[Call]:
        """Measure the enclosed RPC.

        Args:
            method: full name without the leading slash, one of a bounded set.
            metadata: gives the caller's, where a `traceparent` may be.
        """
        call = Call()
        started = time.perf_counter()
        try:
            if self._tracer is None:
                yield call
            else:
                with self._tracer.start_as_current_span(
                    method,
                    context=propagate.extract(metadata()),
                    kind=SpanKind.SERVER,
                    attributes={"rpc.system.name": "grpc", "rpc.method": method},
                    record_exception=False,
                    set_status_on_exception=False,
                ) as span:
                    try:
                        yield call
                    finally:
                        span.set_attribute("rpc.response.status_code", call.status)
                        if call.status != _OK:
                            span.set_status(Status(StatusCode.ERROR, call.status))
        finally:
            self._calls.add()
            if call.status != _OK:
                self._errors.add()
            self._duration.record(
                time.perf_counter() - started,
                {"rpc.method": method, "rpc.response.status_code": call.status},
            )
