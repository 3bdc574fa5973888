"""What is counted and traced of each RPC."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Final

from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from tabletd.telemetry.rpc_durations import Durations, Record, no_durations
from tabletd.telemetry.vars import Registry

OK: Final = "OK"

# Told of the end of an RPC: its status by gRPC's name, and how many seconds it took.
Ended = Callable[[str, float], None]


class RpcTelemetry:
    """Counts and times RPCs, and puts a span around each when tracing is on.

    Args:
        registry: gets `RpcCalls` and `RpcErrors`.
        tracing: whether an SDK records spans; without it none are made.
        durations: takes how long they took.

    Attributes:
        is_tracing: see `tracing`.
    """

    def __init__(
        self, registry: Registry, *, tracing: bool, durations: Durations = no_durations
    ) -> None:
        self.is_tracing = tracing
        self._calls = registry.counter("RpcCalls", "RPCs that were answered")
        self._errors = registry.counter("RpcErrors", "RPCs that were answered with an error")
        self._tracer = trace.get_tracer("tabletd.rpc")
        self._durations = durations

    def of(self, method: str) -> Ended:
        """Return what is to be told of the end of each RPC of a method.

        Args:
            method: full name without the leading slash, one of a bounded set.
        """
        calls, errors, is_tracing = self._calls, self._errors, self.is_tracing
        records: dict[str, Record] = {}

        def ended(status: str, seconds: float) -> None:
            calls.add()
            if status != OK:
                errors.add()
            record = records.get(status)
            if record is None:
                record = records[status] = self._durations(method, status)
            record(seconds)
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
