"""The daemon: started in order, ended in order.

One TaskGroup holds every task of the daemon. A task that ends with an exception is a bug: it takes
the daemon down in good order, and the supervisor starts it again; the queue's state is in MySQL.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from tabletd import __version__
from tabletd.access.audit import AuditLog
from tabletd.app.access import access_settings, audit_path, listeners
from tabletd.app.address import Address
from tabletd.app.cluster import asker, build_own_vtctld, layout, rule_sync
from tabletd.app.components import Components, build_components
from tabletd.app.service_manager import ServiceManager
from tabletd.config import RELOADABLE, SECRETS, Config
from tabletd.errors import Reason, TabletdError
from tabletd.servicers.guard import Guard
from tabletd.servicers.health import follow_health, set_serving
from tabletd.servicers.lag import LagService
from tabletd.servicers.limits import CallLimits
from tabletd.servicers.migrations import Migrations
from tabletd.servicers.query import Query
from tabletd.servicers.server import SERVICE_NAMES, GrpcServer, build_server
from tabletd.servicers.tablet_manager import TabletManager
from tabletd.servicers.throttling import Throttling
from tabletd.servicers.vtctl import VtctlService
from tabletd.servicers.vtctld import VtctldService
from tabletd.telemetry.logging import configure_logging, hide_secrets, set_level
from tabletd.telemetry.otel import METRICS_CONTENT_TYPE, Telemetry
from tabletd.topology import Layout
from tabletd.vtctld.rule_sync import RuleSync
from tabletd.vtctld.vtctld import Vtctld
from tabletd.web.application import build_application
from tabletd.web.guard import PageGuard
from tabletd.web.ports import WebPorts
from tabletd.web.server import HttpServer, listen
from tabletd.web.turnstile import Turnstile

logger = logging.getLogger(__name__)

EXIT_CLEAN: Final = 0
EXIT_FAILED: Final = 1
EXIT_CONFIG: Final = 2


def serve(config: Config, *, reread: Callable[[], Config]) -> int:
    """Run the daemon until a signal ends it.

    Args:
        config: the settings.
        reread: loads them anew, for SIGHUP.

    Returns:
        The exit code: 0 after SIGTERM or SIGINT, 1 after a failure, 2 when it could not start for
        its configuration.
    """
    try:
        configure_logging(form=config.log_format, level=config.log_level)
        hide_secrets([config.secret(name) for name in SECRETS])
        telemetry = Telemetry(
            tablet_alias=config.tablet_alias, version=__version__, environment=os.environ
        )
        manager = ServiceManager.taken_from(os.environ)
        asyncio.run(_Daemon(config, reread, telemetry, manager).run())
    except TabletdError as error:
        logger.error("cannot start: %s", error)
        return EXIT_CONFIG if error.reason is Reason.INVALID_CONFIG else EXIT_FAILED
    except Exception:
        logger.exception("the daemon failed")
        return EXIT_FAILED
    return EXIT_CLEAN


class _Daemon:
    def __init__(
        self,
        config: Config,
        reread: Callable[[], Config],
        telemetry: Telemetry,
        manager: ServiceManager,
    ) -> None:
        self._config = config
        self._reread = reread
        self._telemetry = telemetry
        self._manager = manager
        self._stop = asyncio.Event()
        self._ports = (config.grpc_port, config.http_port)

    async def run(self) -> None:
        config = self._config
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._telemetry.close)
            access_settings(config)  # refuses what would let everybody in, before a port is open
            listener = stack.enter_context(listen(config.http_bind, config.http_port))
            http_address = Address(config.http_bind, listener.getsockname()[1])
            parts = build_components(config, http_address)
            for pool in parts.pools.all():
                await pool.open()
                stack.push_async_callback(pool.close)
            grpc, vtctld = self._grpc_server(parts)
            stack.push_async_callback(vtctld.clients.close)
            http = HttpServer(self._pages(parts, vtctld), listener)
            parts.primary.clients = vtctld.clients
            throttling = parts.throttling
            throttling.shard.ask = asker(config, vtctld.clients)
            sync = rule_sync(
                config, parts.topology, vtctld.clients, lambda: throttling.throttler.is_primary
            )
            throttling.app_rules.on_change = sync.wake
            self._ports = (grpc.port, http_address.port)
            parts.topology.replace(self._layout(parts))
            parts.watcher.on_named = partial(self._reload_topology, parts)
            parts.lease.address = str(Address(config.grpc_bind, grpc.port))
            self._telemetry.publish(parts.registry)
            await parts.queue.executor.open()
            self._take_signals(parts)
            await self._run(parts, grpc, http, sync, self._addresses(grpc, http_address))

    async def _run(
        self,
        parts: Components,
        grpc: GrpcServer,
        http: HttpServer,
        sync: RuleSync,
        facts: dict[str, object],
    ) -> None:
        await set_serving(grpc.health, SERVICE_NAMES, False)  # gRPC's own first word is SERVING
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(work, name=name)
                for name, work in (
                    *parts.background(),
                    ("throttle rules of the shard", sync.run()),
                    ("gRPC", grpc.keep_listening()),
                    ("health of gRPC", follow_health(parts.tablet, grpc.health, SERVICE_NAMES)),
                    ("watchdog of the service", self._manager.run()),
                    ("status of the service", self._manager.follow(parts.tablet)),
                )
            ]
            serving = tasks.create_task(http.run(), name="http")
            await grpc.server.start()
            watching = tasks.create_task(parts.topology.run(), name="topology")
            logger.info("serving", extra={"facts": facts})
            self._manager.ready()
            self._warn_of_a_changing_address()
            try:
                await self._stop.wait()
                if self._config.on_stop == "wait":
                    logger.info("no migration is begun any more; waiting for those that run")
                    with self._manager.patience():
                        await parts.queue.executor.finish()
            finally:
                watching.cancel()
                await self._end(parts, grpc, background)
                http.stop()
                await serving

    async def _end(
        self, parts: Components, grpc: GrpcServer, background: list[asyncio.Task[None]]
    ) -> None:
        """Stop in the order in which nobody misses what is gone already."""
        logger.info("stopping")
        self._manager.stopping()
        parts.tablet.begin_shutdown()
        await parts.watch.close()
        await set_serving(grpc.health, SERVICE_NAMES, False)
        await grpc.health.enter_graceful_shutdown()
        # No migration is begun from here on; the tools still report over HTTP while they are ended.
        await asyncio.gather(
            parts.queue.executor.close(detach=self._config.on_stop != "cancel"),
            grpc.server.stop(self._config.shutdown_grace),
        )
        await parts.tablet.stop()
        for task in background:
            task.cancel()
        await asyncio.wait(background)
        logger.info("stopped")

    def _warn_of_a_changing_address(self) -> None:
        if self._config.http_port == 0 and self._config.on_stop == "detach":
            logger.warning(
                "http_port is 0: the next daemon will listen elsewhere, where tools that run now "
                "cannot find it; it will end them and start their migrations again. Set http_port"
            )

    def _grpc_server(self, parts: Components) -> tuple[GrpcServer, Vtctld]:
        config = self._config
        manager = TabletManager(
            tablet=parts.tablet,
            executor=parts.queue.executor,
            admin=parts.admin,
            throttler=parts.throttling.throttler,
        )
        throttling = Throttling(
            app_rules=parts.throttling.app_rules, keyspace=config.keyspace, shard=config.shard
        )
        lag = LagService(tablet=parts.tablet, tracker=parts.tracker, clock=parts.clock)
        vtctld = build_own_vtctld(
            config,
            parts.topology,
            manager=manager,
            throttling=throttling,
            lag=lag,
            rows=parts.pools.vexec,
            peers=parts.peers,
        )
        server = build_server(
            tablet_manager=manager,
            query=Query(tablet=parts.tablet, executor=parts.queue.executor, admin=parts.admin),
            throttling=throttling,
            migrations=Migrations(
                watch=parts.watch,
                explainer=parts.queue.explainer,
                sweeper=parts.queue.sweeper,
            ),
            lag=lag,
            vtctld=VtctldService(vtctld),
            vtctl=VtctlService(vtctld.commands),
            listeners=listeners(config, parts.access),
            limits=CallLimits(
                calls_max=config.grpc_calls_max,
                streams_max=config.grpc_streams_max,
                caller_calls_max=config.grpc_calls_max_per_caller,
                caller_streams_max=config.grpc_streams_max_per_caller,
                changes_per_second=config.grpc_changes_per_second,
            ),
            registry=parts.registry,
            tracing=self._telemetry.is_tracing,
            durations=self._telemetry.rpc_durations,
            guard=Guard(parts.access, AuditLog(audit_path(config), config.tablet_alias)),
        )
        return server, vtctld

    def _pages(self, parts: Components, vtctld: Vtctld) -> Turnstile:
        config = self._config
        return Turnstile(
            PageGuard(
                build_application(self._web_ports(parts, vtctld)),
                access=parts.access,
                open_pages=config.http_open_pages,
                insecure=config.insecure_listen,
            )
        )

    def _web_ports(self, parts: Components, vtctld: Vtctld) -> WebPorts:
        config = self._config
        return WebPorts(
            tablet=parts.tablet,
            reports=parts.queue.executor,
            throttler=parts.throttling.throttler,
            registry=parts.registry,
            metrics_page=self._telemetry.prometheus_page,
            metrics_content_type=METRICS_CONTENT_TYPE,
            recent_migrations=parts.admin.recent_migrations,
            mysql_address=parts.pools.admin.settings.address,
            lease_state=parts.lease.state,
            shard_lag=partial(vtctld.lag.of, config.keyspace, config.shard),
            version=__version__,
        )

    def _addresses(self, grpc: GrpcServer, http: Address) -> dict[str, object]:
        config = self._config
        return {
            "tablet": config.tablet_alias,
            "keyspace": config.keyspace,
            "shard": config.shard,
            "grpc": str(Address(config.grpc_bind, grpc.port)),
            **{
                f"grpc_{number}": str(Address(config.grpc_bind, port))
                for number, port in enumerate(grpc.further_ports, 2)
            },
            "http": str(http),
            "pid": os.getpid(),
            "version": __version__,
        }

    def _take_signals(self, parts: Components) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop_signal, number)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload_signal, parts)

    def _on_stop_signal(self, number: signal.Signals) -> None:
        if self._stop.is_set():
            logger.warning("second %s: exiting at once", number.name)
            os._exit(EXIT_FAILED)
        logger.info("received %s", number.name)
        self._stop.set()

    def _on_reload_signal(self, parts: Components) -> None:
        self._manager.reloading()
        self._reload(parts)
        self._manager.ready()

    def _reload(self, parts: Components) -> None:
        """Take over what can be changed while running, and say what cannot."""
        try:
            fresh = self._reread()
        except TabletdError as error:
            logger.error("configuration is unchanged: %s", error)
            return
        changed = [
            key for key in Config.model_fields if getattr(fresh, key) != getattr(self._config, key)
        ]
        taken = [key for key in changed if key in RELOADABLE]
        left = [key for key in changed if key not in RELOADABLE]
        self._config = self._config.model_copy(update={key: getattr(fresh, key) for key in taken})
        set_level(self._config.log_level)
        parts.reload(self._config)
        self._reload_topology(parts)
        logger.info("configuration reread; changed: %s", ", ".join(taken) or "nothing")
        if left:
            logger.warning("not changed before a restart: %s", ", ".join(left))

    def _layout(self, parts: Components) -> Layout:
        return layout(self._config, *self._ports, parts.watcher.names())

    def _reload_topology(self, parts: Components) -> None:
        try:
            parts.topology.replace(self._layout(parts))
        except TabletdError as error:
            logger.error("the topology is unchanged: %s", error)
