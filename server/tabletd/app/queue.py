"""The queue of migrations, its engines and what clears up behind them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tabletd.app.address import Address
from tabletd.clock import Clock
from tabletd.config import Config
from tabletd.executor.engines.build import build_engines
from tabletd.executor.engines.settings import EngineSettings
from tabletd.executor.executor import Executor, ExecutorSettings
from tabletd.executor.gc import GarbageCollector, GCSettings, parse_lifecycle
from tabletd.executor.store import Store
from tabletd.mysql.pool import Pool
from tabletd.telemetry.vars import Registry
from tabletd.throttler import Throttler


def build_executor(
    config: Config,
    http: Address,
    pool: Pool,
    raw_pool: Pool,
    *,
    throttler: Throttler,
    clock: Clock,
    registry: Registry,
) -> tuple[Executor, GarbageCollector]:
    """Make the executor and what clears up behind it.

    Args:
        config: the settings.
        http: where the tools report to and ask for the throttler.
        pool: the daemon's own connections.
        raw_pool: connections for the SELECTs of VExec.
        throttler: tells the clearing up when replicas lag.
        clock: handed on.
        registry: gets the executor's counters.
    """
    directory = _state_directory(config)
    engines = build_engines(
        pool,
        EngineSettings(
            tablet_alias=config.tablet_alias,
            run_directory=directory / "runs",
            log_directory=directory / "logs",
            gh_ost_path=_program(config.gh_ost_path, "gh-ost"),
            pt_osc_path=_program(config.pt_osc_path, "pt-online-schema-change"),
            callback_url=lambda: http.local_url,
            allow_unsafe_cutover=config.allow_unsafe_cutover,
            migration_user=config.migration_user or "",
            migration_password=config.secret("migration_password"),
        ),
    )
    gc = GarbageCollector(
        store=Store(pool, tablet=config.tablet_alias),
        pool=pool,
        settings=gc_settings(config),
        clock=clock,
        may_purge=lambda: throttler.check("tabletd:table-gc", low_priority=True).is_ok,
    )
    executor = Executor(
        pool=pool,
        raw_pool=raw_pool,
        tablet_alias=config.tablet_alias,
        engines=engines,
        settings=ExecutorSettings(
            allowed_schemas=config.allowed_schemas,
            check_interval_seconds=config.migration_check_interval,
            max_concurrent=config.max_concurrent_migrations,
            stale_seconds=config.stale_migration_minutes * 60.0,
        ),
        clock=clock,
        registry=registry,
        gc=gc,
    )
    executor.init_db_config(config.keyspace, config.shard, config.database)
    return executor, gc


def gc_settings(config: Config) -> GCSettings:
    """Return how long old tables are kept, and their way out."""
    return GCSettings(
        retain_artifacts_seconds=config.retain_artifacts,
        lifecycle=parse_lifecycle(",".join(config.table_gc_lifecycle)),
        check_interval_seconds=config.gc_check_interval,
    )


def _state_directory(config: Config) -> Path:
    """Return where runs and logs are kept; the next daemon of this tablet must find them again."""
    if config.run_directory is not None:
        return config.run_directory.absolute()
    base = os.environ.get("XDG_STATE_HOME")
    state = Path(base) if base else Path("~/.local/state").expanduser()
    return state.absolute() / "tabletd" / config.tablet_alias


def _program(configured: Path | None, name: str) -> str:
    return str(configured) if configured is not None else shutil.which(name) or name
