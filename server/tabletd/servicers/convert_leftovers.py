"""Leftovers of migrations as `tabletd.v1.Leftover`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tabletd.executor.leftover import Kind, Leftover
from tabletd_pb import migrations_pb2 as pb

_KINDS: Final[Mapping[Kind, pb.Leftover.Kind.ValueType]] = {
    kind: pb.Leftover.Kind.Value(f"KIND_{kind.name}") for kind in Kind
}


def leftover_to_proto(leftover: Leftover, failure: str = "") -> pb.Leftover:
    """Return one leftover, with why it could not be removed yet."""
    return pb.Leftover(
        kind=_KINDS[leftover.kind],
        name=leftover.name,
        schema=leftover.schema,
        table=leftover.table,
        uuid=leftover.migration_uuid,
        note=leftover.note,
        removable=leftover.is_removable,
        failure=failure,
    )
