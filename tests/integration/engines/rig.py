"""What the tests of the engines share: a record that remembers, migrations, leftovers."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from tabletd.errors import LostRace
from tabletd.executor.controls import LiveControls, Wanted
from tabletd.executor.engines.base import Engine, Outcome, Progress
from tabletd.executor.engines.build import build_engines
from tabletd.executor.engines.settings import EngineSettings
from tabletd.executor.migration import Migration, Strategy
from tabletd.mysql.pool import Pool
from tabletd.mysql.tls import Tls
from tests.support.pools import pool_of
from tests.support.processes import commands_in, end_processes
from tests.support.real_queue import real_engine_settings
from tests.support.servers import RealServer
from tests.support.waiting import SHORTLY_SECONDS, eventually

POSTPONED: Final = Wanted(postpone_completion=True)


@dataclass
class Record:
    """Implements `RunRecord`: keeps what the row would hold, and remembers the way there."""

    migration: Migration
    stages: list[str] = field(default_factory=list[str])
    messages: list[str] = field(default_factory=list[str])
    reported: list[Progress] = field(default_factory=list[Progress])
    is_ready: bool = False
    was_ready: list[bool] = field(default_factory=list[bool])
    attempts: int = 0
    ended: bool = False
    is_lost: bool = False

    async def begin(self, **columns: str) -> None:
        names = {
            "nonce": "run_nonce",
            "engine": "run_engine",
            "directory": "run_directory",
            "account": "run_account",
            "token_hash": "run_token_hash",
        }
        changes = {names.get(name, name): value for name, value in columns.items()}
        self.migration = replace(self.migration, **changes)  # type: ignore[arg-type]

    async def begin_anew(self) -> None:
        self.migration = replace(self.migration, run_nonce="", run_engine="")

    async def add_artifacts(self, *tables: str) -> None:
        names = dict.fromkeys((*self.migration.artifacts, *tables))
        self.migration = replace(self.migration, artifacts=tuple(names))

    async def remove_artifacts(self, *tables: str) -> None:
        names = tuple(name for name in self.migration.artifacts if name not in tables)
        self.migration = replace(self.migration, artifacts=names)

    async def note(self, *, special_plan: str, ddl_action: str) -> None:
        self.migration = replace(self.migration, special_plan=special_plan, ddl_action=ddl_action)

    async def stage(self, stage: str, message: str = "") -> None:
        self.stages.append(stage)
        if message:
            self.messages.append(message)

    async def progress(self, progress: Progress) -> None:
        if self.is_lost:
            raise LostRace("the row has gone on")
        self.reported.append(progress)
        if self.stages[-1:] != [progress.stage]:
            self.stages.append(progress.stage)

    async def ready_to_complete(self, is_ready: bool) -> None:
        self.is_ready = is_ready
        self.was_ready.append(is_ready)

    async def cutover_attempts(self, attempts: int) -> None:
        self.attempts = max(self.attempts, attempts)

    async def end(self) -> None:
        self.ended = True


@dataclass
class Rig:
    """One server, the engines on it, one schema."""

    server: RealServer
    pool: Pool
    settings: EngineSettings
    schema: str

    def engine(self, strategy: Strategy, **settings: Any) -> Engine:
        return build_engines(self.pool, replace(self.settings, **settings))[strategy]

    def migration(
        self, strategy: Strategy, statement: str, table: str = "orders", options: str = ""
    ) -> Migration:
        return Migration(
            id=1,
            migration_uuid=str(uuid.uuid1()).replace("-", "_"),
            keyspace="ks",
            shard="0",
            mysql_schema=self.schema,
            mysql_table=table,
            migration_statement=statement,
            strategy=strategy,
            options=options,
            ddl_action="alter",
        )

    async def run(
        self,
        strategy: Strategy,
        statement: str,
        table: str = "orders",
        options: str = "",
        **settings: Any,
    ) -> tuple[Outcome, Record]:
        """Run a migration to its end."""
        migration = self.migration(strategy, statement, table, options)
        record = Record(migration)
        outcome = await self.engine(strategy, **settings).run(
            migration, record, asyncio.Event(), LiveControls()
        )
        return outcome, record

    @asynccontextmanager
    async def running(
        self,
        strategy: Strategy,
        statement: str,
        options: str,
        wanted: Wanted | None = None,
        until: Callable[[Record], bool] | None = None,
        **settings: Any,
    ) -> AsyncGenerator[Running]:
        """Start a migration and wait until it copies rows; the run is ended at the latest here.

        Args:
            strategy: of the migration.
            statement: its statement.
            options: its options.
            wanted: what is wanted of the run when it starts.
            until: what is waited for instead.
            settings: of the engine.
        """
        migration = self.migration(strategy, statement, options=options)
        controls = LiveControls(wanted)
        record = Record(migration)
        stop = asyncio.Event()
        engine = self.engine(strategy, **settings)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(engine.run(migration, record, stop, controls))
            try:
                is_there = until or _copies
                await eventually(
                    lambda: task.done() or is_there(record),
                    what="it is there",
                    pause_seconds_max=SHORTLY_SECONDS,
                )
                assert not task.done(), task.result()
                yield Running(engine, record, stop, task, controls)
            finally:
                stop.set()

    def create_orders(self, rows: int = 5000, *, is_analyzed: bool = True) -> None:
        """Make a table of orders with codes that are unique.

        One that is not analyzed may be copied all at once: pt-osc asks the server for an estimate.
        """
        self.server.script(
            "CREATE TABLE orders (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, "
            "code VARCHAR(40) NOT NULL, amount DECIMAL(12,2) NOT NULL, note VARCHAR(120)) "
            "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
            "INSERT INTO orders (code, amount, note) WITH_NUMBERS".replace(
                "WITH_NUMBERS", _numbers(rows)
            ),
            *(["ANALYZE TABLE orders"] if is_analyzed else []),
            database=self.schema,
        )

    def columns(self, table: str = "orders") -> list[str]:
        return [
            str(name)
            for (name,) in self.server.query(
                "SELECT column_name FROM information_schema.columns WHERE table_schema = %s "
                "AND table_name = %s ORDER BY ordinal_position",
                (self.schema, table),
            )
        ]

    def tables(self) -> set[str]:
        return {str(name) for (name,) in self.server.query("SHOW TABLES", database=self.schema)}

    def leftovers(self, *allowed_tables: str) -> list[str]:
        """Return what is left of any run: nothing, if all is well."""
        left = [f"table {name}" for name in self.tables() - {"orders", *allowed_tables}]
        triggers = self.server.query("SHOW TRIGGERS", database=self.schema)
        left += [f"trigger {row[0]}" for row in triggers]
        accounts = self.server.query("SELECT user FROM mysql.user WHERE user LIKE 'tabletd\\_%%'")
        left += [f"account {user}" for (user,) in accounts]
        if self.settings.run_directory.is_dir():
            left += [f"directory {path}" for path in self.settings.run_directory.iterdir()]
        left += [f"process {line}" for line in self.processes()]
        return left

    def processes(self) -> list[str]:
        """Return the command lines of all processes that have to do with this rig's runs."""
        return list(commands_in(self.settings.run_directory).values())


@dataclass
class Running:
    """A migration in the middle of its run."""

    engine: Engine
    record: Record
    stop: asyncio.Event
    task: asyncio.Task[Outcome]
    controls: LiveControls


async def abandon(
    rig: Rig,
    strategy: Strategy,
    options: str,
    callback_url: Callable[[], str] = lambda: "",
    table: str = "orders",
) -> Migration:
    """Start a migration and let its daemon die in the middle of the copy; returns the row."""
    statement = f"ALTER TABLE {table} ADD COLUMN extra INT"
    migration = rig.migration(strategy, statement, table, options)
    record = Record(migration)
    engine = rig.engine(strategy, callback_url=callback_url)
    task = asyncio.ensure_future(engine.run(migration, record, asyncio.Event(), LiveControls()))
    await eventually(
        lambda: task.done() or _copies(record),
        what="rows are copied",
        pause_seconds_max=SHORTLY_SECONDS,
    )
    assert not task.done(), task.result()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert not record.ended
    return record.migration


def is_ready(record: Record) -> bool:
    """Whether the run says that it is ready to complete."""
    return record.is_ready


def _copies(record: Record) -> bool:
    return any(progress.rows_copied > 0 for progress in record.reported)


def _numbers(rows: int) -> str:
    digits = "(SELECT 0 d" + "".join(f" UNION ALL SELECT {digit}" for digit in range(1, 10)) + ")"
    places = [f"place_{place}" for place in range(len(str(rows - 1)))]
    tables = ", ".join(f"{digits} {name}" for name in places)
    number = " + ".join(f"{10**power} * {name}.d" for power, name in enumerate(places))
    return (
        f"SELECT CONCAT('code-', {number}), {number} / 7, REPEAT('x', 40) "
        f"FROM {tables} WHERE {number} < {rows}"
    )


@asynccontextmanager
async def rig_on(
    server: RealServer, schema: str, tmp_path: Path, tls: Tls | None = None
) -> AsyncGenerator[Rig]:
    """Make a rig as root; at its end no tool is at work any more."""
    settings = real_engine_settings(tmp_path, "zone1-0000000100")
    async with pool_of(server, size_max=8, tls=tls) as pool:
        try:
            yield Rig(server=server, pool=pool, settings=settings, schema=schema)
        finally:
            await asyncio.to_thread(end_processes, settings.run_directory)
