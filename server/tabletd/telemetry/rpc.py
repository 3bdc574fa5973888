"""What is counted and traced of each RPC."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Final

from opentelemetry import metrics, propagate, trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from tabletd.telemetry.vars import Registry

OK: Final = "OK"
_DURATION_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

# Told of the end of an RPC: its status by gRPC's name, and how many seconds it took.
Ended = Callable[[str, float], None]


class RpcTelemetry:
    """Counts and times RPCs, and puts a span around each when tracing is on.

    Args:
        registry: gets `RpcCalls` and `RpcErrors`.
        tracing: whether an SDK records spans; without it none are made.

    Attributes:
        is_tracing: see `tracing`.
    """

    def __init__(self, registry: Registry, *, tracing: bool) -> None:
        self.is_tracing = tracing
        self._calls = registry.counter("RpcCalls", "RPCs that were answered")
        self._errors = registry.counter("RpcErrors", "RPCs that were answered with an error")
        self._tracer = trace.get_tracer("tabletd.rpc")
        self._duration = metrics.get_meter("tabletd").create_histogram(
            "rpc.server.call.duration",
            unit="s",
            description="Duration of RPCs",
            explicit_bucket_boundaries_advisory=_DURATION_BOUNDS,
        )

    def of(self, method: str) -> Ended:
        """Return what is to be told of the end of each RPC of a method.

        Args:
            method: full name without the leading slash, one of a bounded set.
        """
        calls, errors, record = self._calls, self._errors, self._duration.record
        is_tracing = self.is_tracing
        attributes: dict[str, dict[str, str]] = {}

        def ended(status: str, seconds: float) -> None:
            calls.add()
            if status != OK:
                errors.add()
            found = attributes.get(status)
            if found is None:
                found = {"rpc.method": method, "rpc.response.status_code": status}
                attributes[status] = found
            record(seconds, found)
            if is_tracing:
                span = trace.get_current_span()
                span.set_attribute("rpc.response.status_code", status)
                if status != OK:
                    span.set_status(Status(StatusCode.ERROR, status))

        return ended

    @contextmanager
    def span(self, method: str, metadata: Mapping[str, str]) -> Generator[None]:
        """Trace the enclosed RPC, whose end is told within.

        Args:
            method: as for `of`.
            metadata: the caller's, where a `traceparent` may be.
        """
        with self._tracer.start_as_current_span(
            method,
            context=propagate.extract(metadata),
            kind=SpanKind.SERVER,
            attributes={"rpc.system.name": "grpc", "rpc.method": method},
            record_exception=False,
            set_status_on_exception=False,
        ):
            yield
