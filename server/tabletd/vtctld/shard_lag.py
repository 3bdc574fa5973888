"""The lag of each tablet of a shard, as its daemon tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tabletd.errors import TabletdError
from tabletd.topology import TabletPlace, Topology
from tabletd.vtctld.fan_out import FanOut
from tabletd.vtctld.tablets import TabletClients
from tabletd_pb import lag_pb2, topodata_pb2

# A page is not held up by a tablet that hangs.
_SECONDS_MAX: Final = 2.0
_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class LagMoment:
    """The lag at one moment of the past.

    Attributes:
        age_ms: how long ago.
        state: how far it could be trusted.
        lag_ms: None: not known.
    """

    age_ms: float
    state: str
    lag_ms: float | None


@dataclass(frozen=True, slots=True)
class TabletLag:
    """The lag of one tablet; what is not known is None.

    Attributes:
        alias: whose.
        type: its role; empty: it did not answer.
        state: how far the figure can be trusted.
        method: how it was found.
        lag_ms: the figure.
        lower_ms: the lag was at least this.
        upper_ms: the lag was at most this.
        age_ms: how long ago.
        held_ms: how long the state has held.
        delay_ms: what an operator delays the replica by.
        error: why the figure is missing or not to be trusted; empty: it is.
        cause: what else a person should know; empty: nothing.
        history: the last minutes, the oldest first.
    """

    alias: str
    type: str = ""
    state: str = "unknown"
    method: str = "none"
    lag_ms: float | None = None
    lower_ms: float | None = None
    upper_ms: float | None = None
    age_ms: float | None = None
    held_ms: float | None = None
    delay_ms: float = 0.0
    error: str = ""
    cause: str = ""
    history: Sequence[LagMoment] = ()


class ShardLag:
    """Asks the daemons of one shard.

    Args:
        topology: which there are.
        fan_out: asks them side by side.
        clients: connections to them.
    """

    def __init__(self, *, topology: Topology, fan_out: FanOut, clients: TabletClients) -> None:
        self._topology = topology
        self._fan_out = fan_out
        self._clients = clients

    async def of(self, keyspace: str, shard: str) -> list[TabletLag]:
        """Return the lag of each tablet of a shard; one that does not answer says why.

        Raises:
            TabletdError: TOPOLOGY_NOT_FOUND.
        """
        places = {
            place.alias: place for place in self._topology.layout.shard_tablets(keyspace, shard)
        }
        outcome = await self._fan_out.each(places, self._ask)
        return [
            _line(alias, outcome.answers.get(alias), outcome.errors.get(alias)) for alias in places
        ]

    async def _ask(self, place: TabletPlace) -> lag_pb2.GetLagResponse:
        request = lag_pb2.GetLagRequest(with_history=True)
        return await self._clients.call(
            place, lambda stub: stub.lag.GetLag, request, timeout_seconds=_SECONDS_MAX
        )


def _line(alias: str, told: lag_pb2.GetLagResponse | None, error: TabletdError | None) -> TabletLag:
    if told is None:
        return TabletLag(alias, error=str(error))
    lag = told.lag
    return TabletLag(
        alias=alias,
        type=topodata_pb2.TabletType.Name(told.tablet_type).lower(),
        state=_state(lag.state),
        method=lag_pb2.LagFigure.Method.Name(lag.method).removeprefix("METHOD_").lower(),
        lag_ms=_ms(lag, "lag_ns"),
        lower_ms=_ms(lag, "lower_ns"),
        upper_ms=_ms(lag, "upper_ns"),
        age_ms=_ms(lag, "age_ns"),
        held_ms=_ms(lag, "held_ns"),
        delay_ms=lag.delay_ns / _NS_PER_MS,
        error=lag.error,
        cause=lag.cause,
        history=[
            LagMoment(point.age_ns / _NS_PER_MS, _state(point.state), _ms(point, "lag_ns"))
            for point in told.history
        ],
    )


def _state(number: lag_pb2.LagFigure.State.ValueType) -> str:
    return lag_pb2.LagFigure.State.Name(number).removeprefix("STATE_").lower()


def _ms(message: lag_pb2.LagFigure | lag_pb2.LagPoint, field: str) -> float | None:
    known = {one.name: value for one, value in message.ListFields()}
    return known[field] / _NS_PER_MS if field in known else None
