"""The log of a migration, as its tablet keeps it."""

from __future__ import annotations

from tabletd_client.connection import Connections
from tabletd_client.models import MigrationLog
from tabletd_client.places import Place
from tabletd_pb import query_pb2, topodata_pb2
from tabletd_pb.queryservice_pb2_grpc import QueryStub


async def read_log(
    connections: Connections, place: Place, uuid: str, *, timeout_seconds: float
) -> MigrationLog:
    """Return the log of a migration on one shard.

    Args:
        connections: sends the credentials.
        place: the primary of the shard.
        uuid: of the migration; checked.
        timeout_seconds: for the call.

    Raises:
        TabletdClientError: MIGRATION_NOT_FOUND, also when there is no log; ...
    """
    tablet = place.tablet
    request = query_pb2.ExecuteRequest(
        target=query_pb2.Target(
            keyspace=tablet.keyspace, shard=tablet.shard, tablet_type=topodata_pb2.PRIMARY
        ),
        query=query_pb2.BoundQuery(sql=f"SHOW VITESS_MIGRATION '{uuid}' LOGS"),
    )
    response = await connections.call(
        QueryStub(place.channel).Execute,
        request,
        address=place.address,
        timeout_seconds=timeout_seconds,
    )
    # One row of one column.
    text = b"".join(row.values for row in response.result.rows)
    return MigrationLog(tablet.keyspace, tablet.shard, text.decode("utf-8", "replace"))
