"""The throttler of a keyspace: its settings are kept on each shard's primary, alike on all."""

from __future__ import annotations

from tabletd.errors import Reason, TabletdError
from tabletd.topology import TabletPlace, Topology
from tabletd.vtctld.fan_out import FanOut
from tabletd.vtctld.tablets import TabletClients
from tabletd_pb import throttling_pb2, topodata_pb2, vtctldata_pb2


class ThrottlerSettings:
    """Changes and reads them.

    Args:
        topology: the shards.
        fan_out: calls their primaries.
        clients: connections to them.
    """

    def __init__(self, *, topology: Topology, fan_out: FanOut, clients: TabletClients) -> None:
        self._topology = topology
        self._fan_out = fan_out
        self._clients = clients

    async def update(self, request: vtctldata_pb2.UpdateThrottlerConfigRequest) -> None:
        """Change the settings on every shard.

        Raises:
            TabletdError: INVALID_REQUEST; TOPOLOGY_NOT_FOUND, NO_PRIMARY; what the tablets say,
                by shard.
        """
        if request.enable and request.disable:
            raise TabletdError(
                Reason.INVALID_REQUEST, "enable and disable are both set; they exclude each other"
            )
        primaries = await self._fan_out.primaries(request.keyspace)

        async def change(tablet: TabletPlace) -> None:
            await self._clients.call(tablet, lambda stub: stub.throttling.UpdateConfig, request)

        outcome = await self._fan_out.each(primaries, change)
        outcome.all_or_raise("changing the throttler's settings")

    async def config(self, keyspace: str) -> topodata_pb2.ThrottlerConfig | None:
        """Return the settings of a keyspace, as its first shard that answers keeps them.

        Returns:
            None when no shard answers: the rest of what is asked for is still worth having.

        Raises:
            TabletdError: TOPOLOGY_NOT_FOUND.
        """
        request = throttling_pb2.GetConfigRequest()
        for shard in self._topology.layout.shards(keyspace):
            primary = self._topology.primary(keyspace, shard)
            if primary is None:
                continue
            try:
                answer = await self._clients.call(
                    primary, lambda stub: stub.throttling.GetConfig, request, timeout_seconds=5.0
                )
            except TabletdError:
                continue
            return answer.config
        return None
