"""Who tells of our shard's primary: the daemon beside it, or else its server."""

from __future__ import annotations

from tabletd.errors import Reason, TabletdError
from tabletd.heartbeat import WriterAnswer, WriterDaemon, WriterQuestion
from tabletd.servicers.convert_lag import answer_from_proto, question_to_proto
from tabletd.topology import Topology
from tabletd.vtctld.tablets import TabletClients


class PrimaryDaemon:
    """Asks whoever the topology says is the primary now.

    Args:
        topology: who is there.
        keyspace: ours.
        shard: ours.
        server: of a primary that has no daemon; None: it cannot be asked.

    Attributes:
        clients: connections to tablets; None: nobody can be asked yet.
    """

    def __init__(
        self, topology: Topology, *, keyspace: str, shard: str, server: WriterDaemon | None = None
    ) -> None:
        self.clients: TabletClients | None = None
        self._topology = topology
        self._keyspace = keyspace
        self._shard = shard
        self._server = server

    async def ask(self, question: WriterQuestion, *, timeout_seconds: float) -> WriterAnswer:
        """Ask it; see `WriterDaemon`.

        Raises:
            TabletdError: NO_PRIMARY or TOPOLOGY_NOT_FOUND; what hindered the call.
        """
        place = self._topology.primary(self._keyspace, self._shard)
        if place is None and self._server is not None:
            return await self._server.ask(question, timeout_seconds=timeout_seconds)
        if place is None or self.clients is None:
            raise TabletdError(
                Reason.NO_PRIMARY,
                f"no primary of {self._keyspace}/{self._shard} is known",
                hint="set topology_file on each tablet, so that replicas find their primary; or "
                "primary_sql, where it has no daemon",
            )
        response = await self.clients.call(
            place,
            lambda stub: stub.lag.Exchange,
            question_to_proto(question),
            timeout_seconds=timeout_seconds,
        )
        return answer_from_proto(response)
