"""The throttler and what it reads, tied together."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from tabletd.clock import Clock
from tabletd.config import Config
from tabletd.heartbeat.repl_tracker import ReplTracker
from tabletd.mysql.pool import Pool
from tabletd.tablet import TabletAlias
from tabletd.telemetry.vars import Registry
from tabletd.throttler import (
    AppRules,
    OwnMetrics,
    RuleStore,
    SqlReplicas,
    Throttler,
)
from tabletd.topology import ReplicaWatcher, ShardMetrics, Topology


@dataclass(frozen=True)
class Throttling:
    """All of it.

    Attributes:
        throttler: the answer behind `/throttler/check`.
        app_rules: what people tell the throttler.
        own: the metrics of the server beside us.
        shard: those of the shard's other tablets.
        sql: those of replicas without a daemon.
        want_heartbeats: keeps beats coming where they are written on demand.
    """

    throttler: Throttler
    app_rules: AppRules
    own: OwnMetrics
    shard: ShardMetrics
    sql: SqlReplicas
    want_heartbeats: Callable[[], None]

    def background(self) -> tuple[tuple[str, Coroutine[Any, Any, None]], ...]:
        """Return what runs as long as the daemon, by name."""
        return (
            ("throttle rules", self.app_rules.run()),
            ("own metrics", self.own.run()),
            ("metrics of the shard", self.shard.run()),
            ("metrics by SQL", self.sql.run()),
        )

    def listeners(self) -> tuple[AppRules, Throttler]:
        """Return who is told of changes of the role, in their order."""
        return self.app_rules, self.throttler

    def wake(self) -> None:
        """Somebody asks: measure at once what has rested."""
        self.want_heartbeats()
        for collector in (self.own, self.shard, self.sql):
            collector.wake()

    def reload(self, config: Config) -> None:
        """Take over the settings that may change while running."""
        settings = self.throttler.settings
        settings.threshold_seconds = config.throttle_threshold
        settings.unknown_seconds = config.throttle_unknown_replica
        settings.paces = config.throttle_pacing


@dataclass(frozen=True)
class ThrottlerPools:
    """Connections of the throttler.

    Attributes:
        rules: where rules are kept.
        own: asks the server beside us.
        sql: ask the replicas without a daemon, by address.
    """

    rules: Pool
    own: Pool
    sql: Mapping[str, Pool]


def build_throttling(
    config: Config,
    pools: ThrottlerPools,
    *,
    tracker: ReplTracker,
    watcher: ReplicaWatcher,
    topology: Topology,
    clock: Clock,
    registry: Registry,
) -> Throttling:
    """Make all of it; nothing is read yet.

    Args:
        config: the settings.
        pools: connections.
        tracker: tells our own lag.
        watcher: the tablets of the setting `replicas`.
        topology: those of the shard, where that setting is empty.
        clock: handed on.
        registry: gets the instruments.
    """
    app_rules = AppRules(RuleStore(pools.rules), clock=clock)
    own = OwnMetrics(
        pools.own,
        lag=tracker.status,
        custom_query=lambda: app_rules.config.custom_query,
        is_dormant=lambda: throttler.is_dormant,
        clock=clock,
    )
    shard = ShardMetrics(
        watcher=watcher,
        topology=topology,
        keyspace=config.keyspace,
        shard=config.shard,
        own_alias=str(TabletAlias.parse(config.tablet_alias)),
        is_wanted=lambda: throttler.is_primary,
        is_dormant=lambda: throttler.is_dormant,
        clock=clock,
    )
    sql = SqlReplicas(
        pools.sql,
        keyspace_shard=f"{config.keyspace}:{config.shard}",
        written=tracker.writer.written,
        custom_query=lambda: app_rules.config.custom_query,
        is_wanted=lambda: throttler.is_primary,
        is_dormant=lambda: throttler.is_dormant,
        clock=clock,
    )
    throttler = Throttler(
        own=own.readings,
        replicas=lambda: {**shard.readings(), **sql.readings()},
        rules=app_rules,
        clock=clock,
        registry=registry,
    )
    built = Throttling(throttler, app_rules, own, shard, sql, tracker.want_heartbeats)
    built.reload(config)
    throttler.on_asked = built.wake
    return built
