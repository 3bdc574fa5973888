"""A primary without a daemon: its server alone can be asked, for its position."""

from __future__ import annotations

from typing import Final

from tabletd.clock import Clock
from tabletd.errors import Reason, TabletdError
from tabletd.heartbeat.exchange import WriterAnswer, WriterQuestion, Writing, steady_ns
from tabletd.mysql.flavor import server_info
from tabletd.mysql.pool import Pool
from tabletd.mysql.replication import primary_status, replication_status

_NO_SERIES: Final = 0


class SqlPrimary:
    """Implements `WriterDaemon` by SQL.

    Args:
        pool: connections to the primary's server; one is enough.
        clock: ours; times of another one there are none.
    """

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def ask(self, question: WriterQuestion, *, timeout_seconds: float) -> WriterAnswer:
        """Tell the position of the server, and that nobody of ours writes heartbeats there.

        Raises:
            TabletdError: NOT_PRIMARY; UNSUPPORTED_SERVER without GTIDs; the server's errors.
        """
        received_ns = steady_ns(self._clock)
        address = self._pool.settings.address
        async with self._pool.session(timeout_seconds=timeout_seconds) as session:
            server = await server_info(session)
            if await replication_status(session, server) is not None:
                raise TabletdError(
                    Reason.NOT_PRIMARY,
                    f"{address} replicates from another server",
                    hint="primary_sql names the primary of the shard, when that has no daemon",
                )
            status = await primary_status(session, server)
        if status.position == status.file_position:
            raise TabletdError(
                Reason.UNSUPPORTED_SERVER,
                f"{address} tells no GTID position",
                hint="turn its binary log on, and on MySQL gtid_mode; after that, once something "
                "was committed there",
            )
        return WriterAnswer(
            received_ns=received_ns,
            sent_ns=steady_ns(self._clock),
            series=_NO_SERIES,
            writing=Writing.NONE,
            interval_ns=0,
            beats=(),
            position=status.position,
        )
