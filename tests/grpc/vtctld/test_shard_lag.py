"""The lag of a shard's tablets, asked of each."""

from __future__ import annotations

from tabletd.errors import Reason, TabletdError
from tabletd.vtctld.shard_lag import LagMoment
from tabletd.vtctld.vtctld import build_vtctld
from tabletd_pb import lag_pb2, topodata_pb2
from tests.support.fake_cluster import KEYSPACE, fake_cluster


def _told(_: object) -> lag_pb2.GetLagResponse:
    return lag_pb2.GetLagResponse(
        tablet_type=topodata_pb2.REPLICA,
        lag=lag_pb2.LagFigure(
            state=lag_pb2.LagFigure.STATE_MEASURED,
            method=lag_pb2.LagFigure.METHOD_CLOCK,
            lag_ns=0,
            lower_ns=0,
            upper_ns=25_000_000,
        ),
        history=[lag_pb2.LagPoint(age_ns=10**9, state=lag_pb2.LagFigure.STATE_STALE)],
    )


def _refused(_: object) -> lag_pb2.GetLagResponse:
    raise TabletdError(Reason.MYSQL_UNAVAILABLE, "the server is down")


async def test_each_tablet_is_a_line_also_one_that_does_not_tell() -> None:
    async with fake_cluster(["0"], replicas=1) as cluster:
        primary, replica = sorted(cluster.daemons.values(), key=lambda one: one.place.alias)
        primary.answers["GetLag"], replica.answers["GetLag"] = _refused, _told
        vtctld = build_vtctld(cluster.topology)
        try:
            first, second = await vtctld.lag.of(KEYSPACE, "0")
        finally:
            await vtctld.clients.close()
    assert (first.alias, first.state, first.lag_ms) == (primary.place.alias, "unknown", None)
    assert "the server is down" in first.error
    assert (second.type, second.state, second.method) == ("replica", "measured", "clock")
    # A lag of nothing is known; an age that was not told is not.
    assert (second.lag_ms, second.upper_ms, second.age_ms) == (0.0, 25.0, None)
    assert second.history == [LagMoment(1_000.0, "stale", None)]
