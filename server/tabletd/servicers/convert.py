"""Between the domain and the wire: tablet types, health, bind variables."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from tabletd.admin.bind_variables import BindValue
from tabletd.errors import Reason, TabletdError
from tabletd.tablet import Health, TabletAlias, TabletType
from tabletd_pb import query_pb2, topodata_pb2

_TABLET_TYPES: Final[Mapping[TabletType, topodata_pb2.TabletType.ValueType]] = {
    kind: topodata_pb2.TabletType.Value(kind.name) for kind in TabletType
}
_TABLET_TYPES_BACK: Final = {number: kind for kind, number in _TABLET_TYPES.items()}
_INTEGER_FLAG: Final = 256  # query.Flag.ISINTEGRAL
_FLOAT_FLAG: Final = 1024  # query.Flag.ISFLOAT
_BINARY_FLAG: Final = 8192  # query.Flag.ISBINARY


def tablet_type_to_proto(kind: TabletType) -> topodata_pb2.TabletType.ValueType:
    """Return the wire's number of a tablet type."""
    return _TABLET_TYPES[kind]


def tablet_type_from_proto(number: int) -> TabletType:
    """Return the tablet type of a number.

    Raises:
        TabletdError: INVALID_REQUEST for a number without a type.
    """
    kind = _TABLET_TYPES_BACK.get(topodata_pb2.TabletType.ValueType(number))
    if kind is None:
        raise TabletdError(Reason.INVALID_REQUEST, f"{number} is no tablet type")
    return kind


def alias_to_proto(alias: TabletAlias) -> topodata_pb2.TabletAlias:
    """Return the wire's form of an alias."""
    return topodata_pb2.TabletAlias(cell=alias.cell, uid=alias.uid)


def health_to_proto(
    health: Health, *, alias: TabletAlias, keyspace: str, shard: str
) -> query_pb2.StreamHealthResponse:
    """Return one message of StreamHealth; clients demand target and realtime_stats."""
    return query_pb2.StreamHealthResponse(
        target=query_pb2.Target(
            keyspace=keyspace,
            shard=shard,
            tablet_type=tablet_type_to_proto(health.type),
            cell=alias.cell,
        ),
        serving=health.serving,
        primary_term_start_timestamp=int(health.primary_term_start_seconds or 0),
        tablet_alias=alias_to_proto(alias),
        realtime_stats=query_pb2.RealtimeStats(
            health_error=health.health_error,
            replication_lag_seconds=max(0, int(health.lag_seconds or 0)),
        ),
    )


def bind_variables_from_proto(
    variables: Mapping[str, query_pb2.BindVariable],
) -> dict[str, BindValue]:
    """Return bind variables as Python values; a list for a TUPLE.

    Raises:
        TabletdError: INVALID_REQUEST for a value that is not of its type.
    """
    return {
        name: [_bind_value(name, item.type, item.value) for item in variable.values]
        if variable.type == query_pb2.TUPLE
        else _bind_value(name, variable.type, variable.value)
        for name, variable in variables.items()
    }


def _bind_value(name: str, kind: int, value: bytes) -> Any:
    try:
        if kind == query_pb2.NULL_TYPE:
            return None
        if kind & _INTEGER_FLAG:
            return int(value)
        if kind & _FLOAT_FLAG or kind == query_pb2.DECIMAL:
            number = Decimal(value.decode())
            if not number.is_finite():
                raise ValueError(value)
            return number
        return value if kind & _BINARY_FLAG else value.decode()
    except (ValueError, InvalidOperation):
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"bind var {name}: the value is no {query_pb2.Type.Name(kind)}",  # type: ignore[arg-type]
        ) from None
