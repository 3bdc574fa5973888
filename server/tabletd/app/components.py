"""Every component, made from the configuration and tied to those that it needs."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from tabletd import __version__
from tabletd.access.access import Access
from tabletd.access.peers import Peers
from tabletd.access.renewal import Renewal
from tabletd.admin.tablet_admin import TabletAdmin
from tabletd.app.access import access_settings, peer_settings
from tabletd.app.address import Address
from tabletd.app.logins import Logins
from tabletd.app.primary import PrimaryDaemon
from tabletd.app.queue import Queue, build_queue
from tabletd.app.throttling import ThrottlerPools, Throttling, build_throttling
from tabletd.clock import Clock, SystemClock
from tabletd.config import Config
from tabletd.executor.executor import Executor
from tabletd.executor.watch import Watch
from tabletd.executor.watch_rows import MigrationReader
from tabletd.heartbeat.repl_tracker import ReplTracker
from tabletd.heartbeat.settings import (
    HeartbeatSettings,
    TrackerMode,
    WriteMode,
    bounded_interval_seconds,
)
from tabletd.heartbeat.sql_primary import SqlPrimary
from tabletd.lease import Lease
from tabletd.mysql.pool import Pool
from tabletd.tablet import RoleListener, Tablet, TabletAlias, TabletSettings, TabletType
from tabletd.telemetry.vars import Registry
from tabletd.topology import Layout, ReplicaWatcher, StaticTopology, WatcherSettings

logger = logging.getLogger(__name__)

_REMIND_SECONDS: Final = 60.0
_CALLS_POOL_SIZE: Final = 16


@dataclass(frozen=True)
class Pools:
    """Connections by purpose, so that none waits for another's work.

    Attributes:
        lease: one connection, for the lease alone.
        heartbeat_write: one connection, for the heartbeat alone.
        heartbeat_read: reading heartbeats, and the tablet's look at its server.
        admin: what the daemon asks for an operator.
        dba: operators' own statements.
        app: the same with the application's account.
        executor: the queue and its engines.
        vexec: the SELECTs of VExec.
        throttler: the metrics of our server.
        replicas_sql: the metrics of replicas without a daemon, by address.
        primary_sql: the position of a primary without one; None: it has one.
    """

    lease: Pool
    heartbeat_write: Pool
    heartbeat_read: Pool
    admin: Pool
    dba: Pool
    app: Pool
    executor: Pool
    vexec: Pool
    throttler: Pool
    replicas_sql: Mapping[str, Pool]
    primary_sql: Pool | None

    def all(self) -> tuple[Pool, ...]:
        """Return each of them."""
        found = (getattr(self, field.name) for field in fields(self))
        single = tuple(pool for pool in found if isinstance(pool, Pool))
        return (*single, *self.replicas_sql.values())


@dataclass(frozen=True)
class Components:
    """What the daemon consists of.

    Attributes:
        lease: whether this daemon, and no other one, acts for the server.
        tablet: role and health.
        queue: migrations and their leavings.
        watch: news of migrations.
        throttling: the answer behind `/throttler/check`, and what it reads.
        admin: operators' statements.
        tracker: measures lag.
        primary: the daemon that heartbeats come from.
        clock: what all of them measure by.
        watcher: the replicas' daemons.
        topology: the tablets of the whole cluster; empty until our own ports are known.
        access: who calls us.
        peers: how we call other daemons.
        logins: who we are on the server.
        renewal: takes up what these three read from files.
        pools: connections, to be opened first and closed last.
        registry: the vars of all of them.
    """

    lease: Lease
    tablet: Tablet
    queue: Queue
    watch: Watch
    throttling: Throttling
    admin: TabletAdmin
    tracker: ReplTracker
    primary: PrimaryDaemon
    clock: Clock
    watcher: ReplicaWatcher
    topology: StaticTopology
    access: Access
    peers: Peers
    logins: Logins
    renewal: Renewal
    pools: Pools
    registry: Registry

    def background(self) -> tuple[tuple[str, Coroutine[Any, Any, None]], ...]:
        """Return what runs as long as the daemon, by name."""
        return (
            ("lease", self.lease.run()),
            ("heartbeat", self.tracker.run()),
            ("replica watcher", self.watcher.run()),
            *self.throttling.background(),
            ("executor", self.queue.executor.run()),
            ("sweeper", self.queue.sweeper.run()),
            ("watch of migrations", self.watch.run()),
            ("tablet", self.tablet.run()),
            ("reminder", self._remind()),
            ("renewal of certificates", self.renewal.run()),
        )

    async def _remind(self) -> None:
        """Say again why the tablet does not serve: the first line may be long gone."""
        while True:
            await asyncio.sleep(_REMIND_SECONDS)
            health = self.tablet.health
            if health.health_error:
                logger.warning("still %s: %s", health.state_name, health.health_error)

    def reload(self, config: Config) -> None:
        """Take over the settings that may change while running."""
        self.throttling.reload(config)
        self.queue.reload(config)
        self.logins.reconfigure(config)
        self.renewal.reload()


def build_components(config: Config, http: Address) -> Components:
    """Make everything; nothing is connected or started yet.

    Args:
        config: the settings.
        http: where the tools reach us.

    Raises:
        TabletdError: INVALID_CONFIG, a file that it names cannot be read.
    """
    clock, registry = SystemClock(), _process_registry()
    logins = Logins(config)
    pools = _build_pools(config, logins, registry)
    lease = _build_lease(config, pools, registry)
    access, peers = Access(access_settings(config), registry), Peers(peer_settings(config))
    topology = _build_topology(config, clock, peers)
    primary = _build_primary(config, pools, topology, clock)
    tracker = _build_tracker(config, pools, lease, primary, clock, registry)
    watcher = ReplicaWatcher(_watcher_settings(config), clock=clock, peers=peers)
    throttling = build_throttling(
        config,
        ThrottlerPools(rules=pools.admin, own=pools.throttler, sql=pools.replicas_sql),
        tracker=tracker,
        watcher=watcher,
        topology=topology,
        clock=clock,
        registry=registry,
    )
    queue = build_queue(
        config,
        http,
        pools.executor,
        pools.vexec,
        tools_password=lambda: logins.tools_password,
        throttler=throttling.throttler,
        app_rules=throttling.app_rules,
        clock=clock,
        registry=registry,
        fence=lease,
    )
    _tie(lease, queue.executor)
    watch = _build_watch(pools, queue, clock)
    listeners: list[RoleListener] = [*throttling.listeners(), queue.executor, queue.sweeper, watch]
    return Components(
        lease=lease,
        tablet=_build_tablet(config, pools, tracker, listeners, clock, lease, registry),
        queue=queue,
        watch=watch,
        throttling=throttling,
        admin=_build_admin(pools, config.database),
        tracker=tracker,
        primary=primary,
        clock=clock,
        watcher=watcher,
        topology=topology,
        access=access,
        peers=peers,
        logins=logins,
        renewal=Renewal([*access.renewable, peers, logins], access.remind),
        pools=pools,
        registry=registry,
    )


def _build_primary(
    config: Config, pools: Pools, topology: StaticTopology, clock: Clock
) -> PrimaryDaemon:
    server = None if pools.primary_sql is None else SqlPrimary(pools.primary_sql, clock)
    return PrimaryDaemon(topology, keyspace=config.keyspace, shard=config.shard, server=server)


def _build_tracker(
    config: Config,
    pools: Pools,
    lease: Lease,
    primary: PrimaryDaemon,
    clock: Clock,
    registry: Registry,
) -> ReplTracker:
    return ReplTracker(
        write_pool=pools.heartbeat_write,
        read_pool=pools.heartbeat_read,
        settings=_heartbeat_settings(config, TabletAlias.parse(config.tablet_alias)),
        clock=clock,
        registry=registry,
        fence=lease,
        daemon=primary,
    )


def _build_topology(config: Config, clock: Clock, peers: Peers) -> StaticTopology:
    return StaticTopology(
        Layout(()),
        clock=clock,
        health_check_interval_seconds=config.health_check_interval,
        peers=peers,
    )


def _build_lease(config: Config, pools: Pools, registry: Registry) -> Lease:
    lease = Lease(
        pools.lease,
        tablet=config.tablet_alias,
        registry=registry,
        duration_seconds=config.lease_duration,
    )
    # What migrations and rules change on the server; what operators ask for by themselves is free.
    pools.executor.guard = pools.admin.guard = lease.check
    return lease


def _tie(lease: Lease, executor: Executor) -> None:
    lease.on_taken, lease.on_lost = executor.begin_anew, executor.let_go
    lease.in_use = lambda: bool(executor.busy)


def _build_tablet(
    config: Config,
    pools: Pools,
    tracker: ReplTracker,
    listeners: Sequence[RoleListener],
    clock: Clock,
    lease: Lease,
    registry: Registry,
) -> Tablet:
    return Tablet(
        alias=TabletAlias.parse(config.tablet_alias),
        keyspace=config.keyspace,
        shard=config.shard,
        database=config.database,
        pool=pools.heartbeat_read,
        repl_tracker=tracker,
        listeners=listeners,
        settings=_tablet_settings(config),
        registry=registry,
        clock=clock,
        lease=lease,
    )


def _build_admin(pools: Pools, database: str) -> TabletAdmin:
    return TabletAdmin(pool=pools.admin, dba_pool=pools.dba, app_pool=pools.app, database=database)


def _build_watch(pools: Pools, queue: Queue, clock: Clock) -> Watch:
    watch = Watch(MigrationReader(pools.executor, queue.executor.backlog), clock=clock)
    queue.executor.on_write(watch.wake)
    return watch


def _build_pools(config: Config, logins: Logins, registry: Registry) -> Pools:
    logins.warn_of_plain_text()
    running_max = max(config.max_concurrent_migrations, config.max_concurrent_online_ddl)

    def pool(name: str, size_max: int, *, raw: bool = False) -> Pool:
        made = Pool(logins.dba, name=name, size_max=size_max, raw=raw, registry=registry)
        return logins.feed(made, lambda: logins.dba)

    app = Pool(logins.app, name="AppPool", size_max=_CALLS_POOL_SIZE, raw=True, registry=registry)
    return Pools(
        lease=pool("LeasePool", 1),
        heartbeat_write=pool("HeartbeatWritePool", 1),
        heartbeat_read=pool("HeartbeatReadPool", 2),
        admin=pool("AdminPool", 4),
        dba=pool("DbaPool", _CALLS_POOL_SIZE, raw=True),
        app=logins.feed(app, lambda: logins.app),
        executor=pool("ExecutorPool", 6 + 2 * running_max),
        vexec=pool("VExecPool", _CALLS_POOL_SIZE, raw=True),
        throttler=pool("ThrottlerPool", 1),
        replicas_sql={
            address: _distant_pool(logins, address, f"ReplicaPool{number}", size_max=2)
            for number, address in enumerate(config.replicas_sql, 1)
        },
        primary_sql=_distant_pool(logins, config.primary_sql, "PrimaryPool")
        if config.primary_sql
        else None,
    )


def _distant_pool(logins: Logins, address: str, name: str, *, size_max: int = 1) -> Pool:
    pool = Pool(logins.at(address), name=name, size_max=size_max)
    return logins.feed(pool, lambda: logins.at(address))


def _heartbeat_settings(config: Config, alias: TabletAlias) -> HeartbeatSettings:
    return HeartbeatSettings(
        keyspace=config.keyspace,
        shard=config.shard,
        tablet_uid=alias.uid,
        mode=TrackerMode(config.replication_tracker_mode),
        interval_seconds=bounded_interval_seconds(config.heartbeat_interval),
        writes=WriteMode(config.heartbeat_writes),
        lease_seconds=config.heartbeat_lease,
    )


def _watcher_settings(config: Config) -> WatcherSettings:
    return WatcherSettings(
        addresses=config.replicas,
        keyspace=config.keyspace,
        shard=config.shard,
        health_check_interval_seconds=config.health_check_interval,
    )


def _tablet_settings(config: Config) -> TabletSettings:
    types = {"auto": None, "primary": TabletType.PRIMARY, "replica": TabletType.REPLICA}
    return TabletSettings(
        type=types[config.tablet_type],
        health_check_interval_seconds=config.health_check_interval,
        degraded_threshold_seconds=config.degraded_threshold,
        unhealthy_threshold_seconds=config.unhealthy_threshold,
        replication_stopped_grace_seconds=config.replication_stopped_grace,
        serving_state_grace_seconds=config.serving_state_grace_period,
    )


def _process_registry() -> Registry:
    registry = Registry()
    started = time.monotonic()
    loop = asyncio.get_running_loop()
    registry.gauge("BuildVersion", "version of tabletd", lambda: __version__)
    registry.gauge("Pid", "process id", os.getpid)
    registry.gauge("UptimeSeconds", "seconds since the start", lambda: time.monotonic() - started)
    registry.gauge("Tasks", "tasks of the event loop", lambda: len(asyncio.all_tasks(loop)))
    return registry
