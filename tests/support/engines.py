"""An engine that does what a test tells it, and an executor around it on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tabletd.clock import SystemClock
from tabletd.executor.commands import ThrottlerDoor
from tabletd.executor.controls import LiveControls
from tabletd.executor.engines.base import Adopted, Engine, Outcome, RunControls, RunRecord
from tabletd.executor.executor import Executor, ExecutorSettings
from tabletd.executor.gc import GarbageCollector
from tabletd.executor.hooks import token_hash
from tabletd.executor.migration import Migration, Strategy
from tabletd.executor.names import random_hash
from tabletd.executor.states import Status
from tabletd.executor.submit import Submission
from tabletd.lease import Fence
from tabletd.mysql.pool import Pool
from tabletd.telemetry.vars import Registry
from tests.support.pools import pool_of
from tests.support.servers import RealServer
from tests.support.waiting import eventually

ALIAS = "zone1-0000000101"
TOKEN = "secret of the run"


@dataclass(slots=True)
class FakeRun:
    """One run of a `FakeEngine`, steered by the test.

    Attributes:
        migration: as the engine got it.
        record: as the engine got it.
        stop: as the engine got it.
        controls: as the engine got it.
        begun: set once the run is written into the row.
        cleaning: set when the tool has ended, before it is cleaned up.
        may_clean: cleared by a test that wants to hold the cleaning up.
        outcome: set by the test to end the tool.
    """

    migration: Migration
    record: RunRecord
    stop: asyncio.Event
    controls: RunControls
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    cleaning: asyncio.Event = field(default_factory=asyncio.Event)
    may_clean: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: asyncio.Future[Outcome] = field(default_factory=asyncio.Future[Outcome])

    def finish(
        self, status: Status = Status.COMPLETE, message: str = "", old_table: str = ""
    ) -> None:
        """Let the tool end."""
        self.outcome.set_result(Outcome(status, message, old_table))


Script = Callable[[FakeRun], Awaitable[Outcome]]


async def steered(run: FakeRun) -> Outcome:
    """Run until the test says how it ends, or until it is stopped."""
    await begin(run)
    run.begun.set()
    return await until_told(run)


async def until_told(run: FakeRun) -> Outcome:
    """Go on with a run that is begun, until it is to end."""
    stopped = asyncio.ensure_future(run.stop.wait())
    ends: set[asyncio.Future[Any]] = {stopped, run.outcome}
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    run.cleaning.set()
    await run.may_clean.wait()
    await run.record.end()
    return run.outcome.result() if run.outcome.done() else Outcome(Status.CANCELLED)


async def begin(run: FakeRun) -> None:
    """Write the run into its row."""
    uuid = run.migration.migration_uuid
    await run.record.begin(
        nonce=random_hash(),
        engine=run.migration.engine_strategy,
        directory=f"/nowhere/{uuid}",
        account="",
        token_hash=token_hash(TOKEN),
        log_path=f"localhost:/nowhere/{uuid}",
        log_file=f"/nowhere/{uuid}/migration.log",
    )


async def completed(run: FakeRun) -> Outcome:
    """End well at once."""
    await begin(run)
    await run.record.end()
    return Outcome(Status.COMPLETE)


class FakeEngine:
    """Implements `Engine` by a script."""

    def __init__(self, strategy: Strategy, script: Script = steered) -> None:
        self._strategy = strategy
        self.script = script
        self.recovery: Callable[[FakeRun], Awaitable[Outcome | None]] = cleaned_up
        self.is_at_work = False
        self.runs: list[FakeRun] = []
        self.adoptions: list[FakeRun] = []
        self.recoveries: list[FakeRun] = []

    @property
    def strategy(self) -> Strategy:
        return self._strategy

    async def run(
        self,
        migration: Migration,
        record: RunRecord,
        stop: asyncio.Event,
        controls: RunControls,
    ) -> Outcome:
        run = FakeRun(migration, record, stop, controls)
        run.may_clean.set()
        self.runs.append(run)
        return await self.script(run)

    async def adopt(self, migration: Migration, record: RunRecord) -> Adopted | None:
        """Go on by the script of `steered` where a test says that the tool is at work."""

        async def go_on(stop: asyncio.Event, controls: RunControls) -> Outcome:
            run = FakeRun(migration, record, stop, controls)
            run.may_clean.set()
            self.adoptions.append(run)
            return await until_told(run)

        return go_on if self.is_at_work else None

    async def recover(self, migration: Migration, record: RunRecord) -> Outcome | None:
        run = FakeRun(migration, record, asyncio.Event(), LiveControls())
        self.recoveries.append(run)
        return await self.recovery(run)

    async def next_run(self, number: int = 1) -> FakeRun:
        """Wait for the n-th run and until it is written into its row."""
        await eventually(lambda: len(self.runs) >= number)
        run = self.runs[number - 1]
        await asyncio.wait_for(run.begun.wait(), 60)
        return run


async def cleaned_up(run: FakeRun) -> Outcome | None:
    """Find nothing lasting of a left run."""
    await run.record.end()
    return None


@dataclass(slots=True)
class ExecutorInTest:
    """An executor, its engines, and the server under it."""

    executor: Executor
    engine: FakeEngine
    engines: Mapping[Strategy, FakeEngine]
    server: RealServer
    database: str
    pool: Pool
    registry: Registry

    def row(self, migration_uuid: str) -> dict[str, object]:
        """Return the row as the server has it."""
        (row,) = self.server.records(
            "SELECT * FROM _vt.schema_migrations WHERE migration_uuid = %s", (migration_uuid,)
        )
        return row

    async def until(self, migration_uuid: str, status: Status) -> dict[str, object]:
        """Wait until the row has a status, and return it."""
        await eventually(lambda: self.row(migration_uuid)["migration_status"] == status)
        return self.row(migration_uuid)


@asynccontextmanager
async def executor_on(
    server: RealServer,
    database: str,
    *,
    settings: ExecutorSettings | None = None,
    script: Script = steered,
    tablet: str = ALIAS,
    gc: Callable[[Pool], GarbageCollector] | None = None,
    primary: bool = True,
    throttler: ThrottlerDoor | None = None,
    fence: Fence | None = None,
    admit: Callable[[Pool, Registry], Callable[[Submission], Awaitable[None]]] | None = None,
) -> AsyncGenerator[ExecutorInTest]:
    """Run an executor with fake engines on a server; closed at the end."""
    fakes = {strategy: FakeEngine(strategy, script) for strategy in Strategy}
    engines: dict[Strategy, Engine] = dict(fakes)
    registry = Registry()
    async with pool_of(server) as pool, pool_of(server, raw=True) as raw_pool:
        executor = Executor(
            pool=pool,
            raw_pool=raw_pool,
            tablet_alias=tablet,
            engines=engines,
            settings=settings or ExecutorSettings(close_grace_seconds=5.0),
            clock=SystemClock(),
            registry=registry,
            gc=gc(pool) if gc else None,
            throttler=throttler,
            fence=fence,
            admit=admit(pool, registry) if admit else None,
        )
        executor.init_db_config("ks", "0", database)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(executor.run())
            await executor.open()
            if primary:
                await executor.make_primary()
            try:
                yield ExecutorInTest(
                    executor, fakes[Strategy.GH_OST], fakes, server, database, pool, registry
                )
            finally:
                await executor.close()
                task.cancel()
