"""An executor with its real engines on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabletd.clock import SystemClock
from tabletd.executor.directives import annotate
from tabletd.executor.engines.build import build_engines
from tabletd.executor.engines.settings import EngineSettings
from tabletd.executor.executor import Executor, ExecutorSettings
from tabletd.executor.names import create_uuid, parse_gc_table_name
from tabletd.executor.states import TERMINAL, Status
from tabletd.sandbox.daemons import gh_ost_path
from tabletd.telemetry.vars import Registry
from tests.support.engines import ALIAS
from tests.support.pools import pool_of
from tests.support.processes import end_processes
from tests.support.servers import RealServer
from tests.support.waiting import eventually

Row = dict[str, Any]


@dataclass(slots=True)
class RealQueue:
    """A queue that does what it is told; every migration is waited for."""

    executor: Executor
    server: RealServer
    schema: str

    async def submit(
        self, sql: str, *, strategy: str = "mysql", options: str = "", context: str = ""
    ) -> str:
        """Put a statement into the queue and return its uuid."""
        uuid = create_uuid()
        annotated = annotate(
            sql,
            migration_uuid=uuid,
            migration_context=context,
            mysql_table="",
            strategy=strategy,
            options=options,
        )
        await self.executor.execute_statement(annotated)
        return uuid

    async def run(self, sql: str, *, strategy: str = "mysql", options: str = "") -> Row:
        """Run a statement to its end, whichever that is, and return its row."""
        return await self.end_of(await self.submit(sql, strategy=strategy, options=options))

    async def complete(self, sql: str, *, strategy: str = "mysql", options: str = "") -> Row:
        """Run a statement that is to complete, and return its row."""
        row = await self.run(sql, strategy=strategy, options=options)
        assert row["migration_status"] == Status.COMPLETE, row["message"]
        return row

    async def fail(self, sql: str, *, strategy: str = "mysql", options: str = "") -> str:
        """Run a statement that is to fail, and return why it did."""
        row = await self.run(sql, strategy=strategy, options=options)
        assert row["migration_status"] == Status.FAILED, row
        return str(row["message"])

    async def revert(self, row: Row) -> Row:
        """Revert a migration, which is to succeed, and return the row of the REVERT."""
        return await self.complete(f"revert vitess_migration '{row['migration_uuid']}'")

    async def cannot_revert(self, row: Row) -> str:
        """Revert a migration that cannot be, and return why not."""
        return await self.fail(f"revert vitess_migration '{row['migration_uuid']}'")

    async def end_of(self, uuid: str) -> Row:
        """Wait for the end of a migration and return its row."""
        await eventually(lambda: self.row(uuid)["migration_status"] in TERMINAL, what="its end")
        return self.row(uuid)

    def row(self, uuid: str) -> Row:
        """Return the row as the server has it."""
        sql = "SELECT * FROM _vt.schema_migrations WHERE migration_uuid = %s"
        return self.server.records(sql, (uuid,))[0]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement in the schema."""
        return self.server.query(sql, database=self.schema)

    def tables(self) -> set[str]:
        """Return the names of tables and views that are nobody's artifacts."""
        names = {str(name) for (name,) in self.query("SHOW TABLES")}
        return {name for name in names if parse_gc_table_name(name) is None}

    def kept(self) -> set[str]:
        """Return the names of the tables and views that are kept."""
        return {str(name) for (name,) in self.query("SHOW TABLES")} - self.tables()

    def columns(self, table: str) -> list[str]:
        """Return the names of a table's columns."""
        return [str(row[0]) for row in self.query(f"SHOW COLUMNS FROM `{table}`")]


def real_engine_settings(directory: Path, tablet_alias: str) -> EngineSettings:
    """Return settings of engines with the real tools, which tell nobody what they do."""
    return EngineSettings(
        tablet_alias=tablet_alias,
        run_directory=directory / "run",
        log_directory=directory / "log",
        gh_ost_path=str(gh_ost_path()),
        pt_osc_path="/usr/bin/pt-online-schema-change",
        callback_url=lambda: "",
        progress_interval_seconds=0.1,
    )


@asynccontextmanager
async def real_queue(server: RealServer, schema: str, tmp_path: Path) -> AsyncGenerator[RealQueue]:
    """Run an executor with real engines as root."""
    settings = real_engine_settings(tmp_path, ALIAS)
    async with pool_of(server, size_max=8) as pool, pool_of(server, raw=True) as raw_pool:
        executor = Executor(
            pool=pool,
            raw_pool=raw_pool,
            tablet_alias=ALIAS,
            engines=build_engines(pool, settings),
            settings=ExecutorSettings(close_grace_seconds=5.0),
            clock=SystemClock(),
            registry=Registry(),
        )
        executor.init_db_config("ks", "0", schema)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(executor.run())
            await executor.open()
            await executor.make_primary()
            try:
                yield RealQueue(executor, server, schema)
            finally:
                await executor.close()
                task.cancel()
                await asyncio.to_thread(end_processes, settings.run_directory)
