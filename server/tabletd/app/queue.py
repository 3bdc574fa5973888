"""The queue of migrations, its engines and what clears up behind them."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from tabletd.app.address import Address
from tabletd.clock import Clock
from tabletd.config import Config
from tabletd.executor.admission import Admission
from tabletd.executor.commands import ThrottlerDoor
from tabletd.executor.engines.build import build_engines, build_inspectors
from tabletd.executor.engines.settings import EngineSettings
from tabletd.executor.engines.workspace import prune
from tabletd.executor.executor import Executor, ExecutorSettings
from tabletd.executor.explain import Explainer
from tabletd.executor.gc import GarbageCollector, GCSettings, parse_lifecycle
from tabletd.executor.queue_limit import QueueLimit
from tabletd.executor.store import Store
from tabletd.executor.strategy import Strategy
from tabletd.executor.sweeper import SWEEP_SECONDS_MAX, Sweeper
from tabletd.lease import Fence
from tabletd.mysql.pool import Pool
from tabletd.telemetry.vars import Registry
from tabletd.throttler import AppRules, Throttler


@dataclass(frozen=True)
class Queue:
    """The executor and what clears up behind it.

    Attributes:
        executor: takes and runs migrations.
        gc: removes their old tables.
        pruner: removes their old logs and directories.
        explainer: says what a migration would do.
        sweeper: removes what no live migration owns.
    """

    executor: Executor
    gc: GarbageCollector
    pruner: Pruner
    explainer: Explainer
    sweeper: Sweeper

    def reload(self, config: Config) -> None:
        """Take over the settings that may change while running."""
        self.gc.settings = _gc_settings(config)
        self.pruner.retention_seconds = config.log_retention


class Pruner:
    """Removes the logs of finished migrations, and directories that a run left, by age.

    Args:
        settings: tell where they are.
        retention_seconds: the age; may be set anew at any time.
    """

    def __init__(self, settings: EngineSettings, retention_seconds: float) -> None:
        self._settings = settings
        self.retention_seconds = retention_seconds

    async def prune(self, in_use: Collection[str]) -> None:
        """Remove what is old enough; unfinished runs, whose directories are given, are spared."""
        self._settings.check_lease()
        await asyncio.to_thread(
            prune,
            self._settings,
            in_use,
            retention_seconds=self.retention_seconds,
            now_seconds=time.time(),
        )


def build_queue(
    config: Config,
    http: Address,
    pool: Pool,
    raw_pool: Pool,
    *,
    tools_password: Callable[[], str],
    throttler: Throttler,
    app_rules: AppRules,
    clock: Clock,
    registry: Registry,
    fence: Fence,
) -> Queue:
    """Make all of it; nothing is begun yet.

    Args:
        config: the settings.
        http: where the tools report to and ask for the throttler.
        pool: the daemon's own connections.
        raw_pool: connections for the SELECTs of VExec.
        tools_password: gives the password of `migration_user`.
        throttler: tells the clearing up when replicas lag, and rows why a tool waits.
        app_rules: changed by statements.
        clock: handed on.
        registry: gets the executor's counters.
        fence: keeps this daemon from acting while another one does.
    """
    engine_settings = replace(
        _engine_settings(config, http, tools_password), check_lease=fence.check
    )
    store = Store(pool, tablet=config.tablet_alias, fence=fence)
    pruner = Pruner(engine_settings, config.log_retention)
    gc = GarbageCollector(
        store=store,
        pool=pool,
        settings=_gc_settings(config),
        clock=clock,
        may_purge=lambda: throttler.check("tabletd:table-gc", low_priority=True).is_ok,
        prune=pruner.prune,
    )
    executor = Executor(
        pool=pool,
        raw_pool=raw_pool,
        tablet_alias=config.tablet_alias,
        engines=build_engines(
            pool,
            replace(
                engine_settings,
                retain_artifacts_seconds=lambda: gc.settings.retain_artifacts_seconds,
            ),
        ),
        settings=_executor_settings(config),
        clock=clock,
        registry=registry,
        gc=gc,
        throttling=throttler,
        throttler=ThrottlerDoor(app_rules, throttler.show_status),
        fence=fence,
        admit=_admission(config, store, pool, registry).check,
    )
    executor.init_db_config(config.keyspace, config.shard, config.database)
    sweeper = _build_sweeper(config, pool, store, executor, gc, engine_settings, registry)
    explainer = _build_explainer(pool, executor, engine_settings)
    return Queue(executor, gc, pruner, explainer, sweeper)


def _build_sweeper(
    config: Config,
    pool: Pool,
    store: Store,
    executor: Executor,
    gc: GarbageCollector,
    settings: EngineSettings,
    registry: Registry,
) -> Sweeper:
    return Sweeper(
        pool=pool,
        store=store,
        settings=settings,
        schemas={config.database, *config.allowed_schemas},
        keep=gc.keep,
        check_writable=executor.check_writable,
        busy=lambda: executor.busy,
        registry=registry,
        interval_seconds=min(config.gc_check_interval, SWEEP_SECONDS_MAX),
    )


def _build_explainer(pool: Pool, executor: Executor, settings: EngineSettings) -> Explainer:
    return Explainer(
        pool=pool,
        queue=executor,
        inspectors=build_inspectors(pool, settings),
        online=executor.settings.default_online_strategy,
    )


def _engine_settings(
    config: Config, http: Address, tools_password: Callable[[], str]
) -> EngineSettings:
    directory = state_directory(config)

    return EngineSettings(
        tablet_alias=config.tablet_alias,
        run_directory=directory / "runs",
        log_directory=directory / "logs",
        gh_ost_path=tool_program(config.gh_ost_path, "gh-ost"),
        pt_osc_path=tool_program(config.pt_osc_path, "pt-online-schema-change"),
        callback_url=lambda: f"http://{config.callback_address or http.local_address}",
        allow_unsafe_cutover=config.allow_unsafe_cutover,
        migration_user=config.migration_user or "",
        migration_password=tools_password,
        probe_seconds=config.probe_timeout,
        verify=config.verify,
        verify_load=config.verify_load_percent / 100,
    )


def _admission(config: Config, store: Store, pool: Pool, registry: Registry) -> Admission:
    return Admission(
        pool,
        allows_unsafe_cutover=config.allow_unsafe_cutover,
        limit=QueueLimit(store, config.queued_migrations_max, registry),
    )


def _executor_settings(config: Config) -> ExecutorSettings:
    online = config.default_online_strategy
    return ExecutorSettings(
        allowed_schemas=config.allowed_schemas,
        check_interval_seconds=config.migration_check_interval,
        max_concurrent=config.max_concurrent_migrations,
        max_concurrent_online_ddl=config.max_concurrent_online_ddl,
        stale_seconds=config.stale_migration_minutes * 60.0,
        default_online_strategy=Strategy(online) if online else None,
        enable_online_ddl=config.enable_online_ddl,
    )


def _gc_settings(config: Config) -> GCSettings:
    return GCSettings(
        retain_artifacts_seconds=config.retain_artifacts,
        lifecycle=parse_lifecycle(",".join(config.table_gc_lifecycle)),
        check_interval_seconds=config.gc_check_interval,
    )


def state_directory(config: Config) -> Path:
    """Return where runs and logs are kept; the next daemon of this tablet must find them again."""
    if config.run_directory is not None:
        return config.run_directory.absolute()
    base = os.environ.get("XDG_STATE_HOME")
    state = Path(base) if base else Path("~/.local/state").expanduser()
    return state.absolute() / "tabletd" / config.tablet_alias


def tool_program(configured: Path | None, name: str) -> str:
    """Return where a tool is looked for: what is configured, else what is on PATH."""
    program = str(configured or name)
    found = shutil.which(program)
    # Tools work in directories of their own.
    return os.path.abspath(found) if found is not None else program
