"""The parts of a vtctld, tied together."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tabletd.access.peers import PLAIN, Peers
from tabletd.executor.strategy import Strategy
from tabletd.topology import Topology
from tabletd.vtctld.apply_schema import ApplySchema
from tabletd.vtctld.cluster import Cluster
from tabletd.vtctld.commands import Commands
from tabletd.vtctld.fan_out import FanOut
from tabletd.vtctld.migrations import Migrations, OwnRows
from tabletd.vtctld.shard_lag import ShardLag
from tabletd.vtctld.tablet_calls import TabletCalls
from tabletd.vtctld.tablets import TabletClients, TabletStub
from tabletd.vtctld.throttler_settings import ThrottlerSettings
from tabletd.vtctld.validation import Validation


@dataclass(frozen=True)
class Vtctld:
    """What acts for all shards.

    Attributes:
        clients: connections to the tablets, to be closed at the end.
        migrations: lists and controls.
        schema: applies schema changes.
        throttling: the throttler's settings.
        cluster: who is there.
        calls: calls to tablets by alias.
        validation: checks of the whole.
        commands: the commands of old clients.
        lag: of the tablets of a shard.
    """

    clients: TabletClients
    migrations: Migrations
    schema: ApplySchema
    throttling: ThrottlerSettings
    cluster: Cluster
    calls: TabletCalls
    validation: Validation
    commands: Commands
    lag: ShardLag


def build_vtctld(
    topology: Topology,
    *,
    own_alias: str = "",
    own_tablet: TabletStub | None = None,
    own_rows: OwnRows | None = None,
    online: Strategy | None = None,
    peers: Peers = PLAIN,
) -> Vtctld:
    """Make it.

    Args:
        topology: who is there.
        own_alias: the tablet in this process.
        own_tablet: its stub, which needs no network.
        own_rows: reads rows from its server.
        online: what the strategies `online` and `vitess` stand for; None: nothing.
        peers: opens connections to the other tablets.
    """
    own = {own_alias: own_tablet} if own_tablet is not None else None
    clients = TabletClients(own, peers=peers)
    fan_out = FanOut(topology)
    migrations = Migrations(
        topology=topology,
        fan_out=fan_out,
        clients=clients,
        own_alias=own_alias,
        own_rows=own_rows,
    )
    throttling = ThrottlerSettings(topology=topology, fan_out=fan_out, clients=clients)
    cluster = Cluster(topology=topology, throttling=throttling)
    calls = TabletCalls(
        topology=topology,
        cluster=cluster,
        fan_out=fan_out,
        clients=clients,
        own_alias=own_alias,
        now_seconds=time.time,
        peers=peers,
    )
    schema = ApplySchema(
        topology=topology,
        fan_out=fan_out,
        clients=clients,
        migrations=migrations,
        throttling=throttling,
        online=online,
    )
    return Vtctld(
        clients=clients,
        migrations=migrations,
        schema=schema,
        throttling=throttling,
        cluster=cluster,
        calls=calls,
        validation=Validation(topology=topology, fan_out=fan_out, clients=clients, calls=calls),
        commands=Commands(migrations=migrations, schema=schema),
        lag=ShardLag(topology=topology, fan_out=fan_out, clients=clients),
    )
