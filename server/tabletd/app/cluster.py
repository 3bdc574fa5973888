"""The vtctld beside the tablet, and the topology that it knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tabletd.app.address import Address
from tabletd.config import Config
from tabletd.executor.strategy import Strategy
from tabletd.mysql.pool import Pool
from tabletd.tablet import TabletAlias
from tabletd.topology import Layout, StaticTopology, TabletPlace, read_layout
from tabletd.vtctld.tablets import own_tablet
from tabletd.vtctld.vtctld import Vtctld, build_vtctld

_ROW_BYTES_MAX: Final = 64 * 1024 * 1024


def layout(config: Config, grpc_port: int, http_port: int) -> Layout:
    """Return the tablets of the file that is configured, or this tablet alone.

    Args:
        config: the settings.
        grpc_port: the one that we listen on.
        http_port: likewise.

    Raises:
        TabletdError: INVALID_CONFIG, the file cannot be read or is wrong.
    """
    if config.topology_file is not None:
        return read_layout(config.topology_file)
    alias = TabletAlias.parse(config.tablet_alias)
    own = TabletPlace(
        cell=alias.cell,
        uid=alias.uid,
        keyspace=config.keyspace,
        shard=config.shard,
        host=Address(config.grpc_bind, grpc_port).local_host,
        grpc_port=grpc_port,
        http_port=http_port,
        mysql_host=config.mysql_host,
        mysql_port=config.mysql_port,
        database=config.database,
    )
    return Layout((own,), "this tablet alone: no topology_file is set")


def build_own_vtctld(
    config: Config,
    topology: StaticTopology,
    *,
    manager: object,
    throttling: object,
    rows: Pool,
) -> Vtctld:
    """Make the vtctld of this daemon.

    Args:
        config: the settings.
        topology: who is there.
        manager: the servicer of our `TabletManager`.
        throttling: the servicer of our `Throttling`.
        rows: raw connections, for the migrations of our server.
    """

    async def own_rows(sql: str, rows_max: int) -> Sequence[tuple[bytes | None, ...]]:
        return (await rows.execute(sql, rows_max=rows_max, bytes_max=_ROW_BYTES_MAX)).rows

    online = config.default_online_strategy
    return build_vtctld(
        topology,
        own_alias=str(TabletAlias.parse(config.tablet_alias)),
        own_tablet=own_tablet(manager, throttling),
        own_rows=own_rows,
        online=Strategy(online) if online else None,
    )
