"""The vtctld beside the tablet, and the topology that it knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tabletd.access.peers import Peers
from tabletd.app.address import Address
from tabletd.config import Config
from tabletd.executor.strategy import Strategy
from tabletd.mysql.pool import Pool
from tabletd.tablet import TabletAlias
from tabletd.topology import Ask, Layout, StaticTopology, TabletPlace, alias_text, read_layout
from tabletd.vtctld.rule_sync import RuleSync
from tabletd.vtctld.tablets import TabletClients, own_tablet
from tabletd.vtctld.vtctld import Vtctld, build_vtctld
from tabletd_pb import tabletmanagerdata_pb2 as tm

_ROW_BYTES_MAX: Final = 64 * 1024 * 1024
# The cell of a replica that has not said yet which tablet it is.
_NOT_HEARD: Final = "unheard"


def layout(
    config: Config, grpc_port: int, http_port: int, replicas: Mapping[str, str] | None = None
) -> Layout:
    """Return the tablets of the file that is configured; without one this tablet and its replicas.

    Args:
        config: the settings.
        grpc_port: the one that we listen on.
        http_port: likewise.
        replicas: the aliases of the tablets at the addresses of the setting `replicas`, as far as
            they are known.

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
    places = {own.alias: own}
    for number, (address, name) in enumerate((replicas or {}).items(), 1):
        place = _beside(own, address, name or alias_text(_NOT_HEARD, number))
        places.setdefault(place.alias, place)
    return Layout(
        tuple(places[name] for name in sorted(places)),
        "this tablet and those of the setting `replicas`: no topology_file is set",
    )


def _beside(own: TabletPlace, address: str, name: str) -> TabletPlace:
    """Return the place of another tablet of our shard, of which no more is known than this."""
    at, alias = Address.parse(address), TabletAlias.parse(name)
    return TabletPlace(
        cell=alias.cell,
        uid=alias.uid,
        keyspace=own.keyspace,
        shard=own.shard,
        host=at.host,
        grpc_port=at.port,
        database=own.database,
    )


def asker(config: Config, clients: TabletClients) -> Ask:
    """Return how the tablets of our shard are asked for their metrics.

    Args:
        config: the settings.
        clients: connections to tablets.
    """

    async def ask(address: str, seconds_max: float) -> tm.CheckThrottlerResponse:
        at = Address.parse(address)
        place = TabletPlace(_NOT_HEARD, 0, config.keyspace, config.shard, at.host, at.port)
        request = tm.CheckThrottlerRequest(scope="self")
        return await clients.call(
            place, lambda stub: stub.manager.CheckThrottler, request, timeout_seconds=seconds_max
        )

    return ask


def rule_sync(
    config: Config, topology: StaticTopology, clients: TabletClients, is_primary: Callable[[], bool]
) -> RuleSync:
    """Return what keeps the throttler's rules alike on the tablets of our shard.

    Args:
        config: the settings.
        topology: who is there.
        clients: connections to them.
        is_primary: whether this tablet keeps the rules.
    """
    alias = TabletAlias.parse(config.tablet_alias)
    own = TabletPlace(alias.cell, alias.uid, config.keyspace, config.shard, "", 0)
    return RuleSync(topology=topology, clients=clients, own=own, is_primary=is_primary)


def build_own_vtctld(
    config: Config,
    topology: StaticTopology,
    *,
    manager: object,
    throttling: object,
    lag: object,
    rows: Pool,
    peers: Peers,
) -> Vtctld:
    """Make the vtctld of this daemon.

    Args:
        config: the settings.
        topology: who is there.
        manager: the servicer of our `TabletManager`.
        throttling: the servicer of our `Throttling`.
        lag: the servicer of our `Lag`.
        rows: raw connections, for the migrations of our server.
        peers: opens connections to the other tablets.
    """

    async def own_rows(sql: str, rows_max: int) -> Sequence[tuple[bytes | None, ...]]:
        return (await rows.execute(sql, rows_max=rows_max, bytes_max=_ROW_BYTES_MAX)).rows

    online = config.default_online_strategy
    return build_vtctld(
        topology,
        own_alias=str(TabletAlias.parse(config.tablet_alias)),
        own_tablet=own_tablet(manager, throttling, lag),
        own_rows=own_rows,
        online=Strategy(online) if online else None,
        peers=peers,
    )
