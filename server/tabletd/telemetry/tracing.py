"""Spans around what takes time: RPCs, a migration's phases, SQL.

Only the OpenTelemetry API is used here: without a configured SDK a span costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from tabletd.errors import TabletdError

_tracer = trace.get_tracer("tabletd")


@contextmanager
def span(
    name: str, *, kind: SpanKind = SpanKind.INTERNAL, **attributes: str | int | float | bool
) -> Generator[Span]:
    """Trace the enclosed work.

    An exception marks the span as failed; of a `TabletdError` its reason is noted, of others only
    the type, since a foreign text may hold what must not leave the process.

    Args:
        name: what is done, with few distinct values (`mysql.execute`, `migration.dry_run`).
        kind: the OpenTelemetry span kind.
        attributes: values known at the start; dots in names are written as double underscores
            (`db__system__name`).
    """
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    with _tracer.start_as_current_span(
        name, kind=kind, attributes=named, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except TabletdError as error:
            current.set_status(Status(StatusCode.ERROR, error.reason.value))
            raise
        except Exception as error:
            current.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
