"""One run: a stage, writers, a migration, its faults, the verdict."""

from __future__ import annotations

import asyncio
import json
import pickle
import time
import traceback
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc.aio
import pymysql

from tabletd.errors import TabletdError
from tabletd.mysql.errors import MySQLError
from tabletd.mysql.pool import Pool
from tabletd.mysql.settings import MySQLSettings
from tabletd.sandbox.book import Book
from tabletd.sandbox.servers import LOOPBACK
from tabletd.sandbox.vexec_client import VExecClient, new_migration_uuid, vexec_client
from tabletd.sandbox.workload import Workload, load
from tests.faults.acts import Missed
from tests.faults.phases import TERMINAL, is_reached
from tests.faults.plan import FaultPlan, Plan
from tests.faults.processes import ProcessWatch
from tests.faults.stage import (
    KEYSPACE,
    TABLE,
    WRITER,
    Stage,
    discard,
    new_directory,
    open_stage,
)
from tests.faults.verdict import Verdict, settled
from tests.support.waiting import eventually

ROWS: Final = 2_000
_PHASE_SECONDS_MAX: Final = 60.0
_PHASE_LOOK_SECONDS: Final = 0.1
_SUBMIT_SECONDS_MAX: Final = 60.0
RUN_SECONDS_MAX: Final = 600.0
_CLIENT_PAUSE_SECONDS: Final = 0.25
_CLIENT_CALL_SECONDS: Final = 2.0
_OPTIONS: Final = {
    "gh-ost": "--chunk-size=50 --nice-ratio=2",
    "pt-osc": "--chunk-size=50 --chunk-time=0 --sleep=0.05",
}
# What a full disk, or a connection that somebody ended, makes of a writer's statement.
_WRITERS_ERRNOS: Final = frozenset(
    {3, 5, 20, 28, 1021, 1026, 1030, 1114, 1180, 1196, 1197, 1317, 1598, 1634, 3100}
)


@dataclass
class Report:
    """How a run went.

    Attributes:
        plan: what it was.
        status: the migration's end.
        seconds: of the whole run.
        complaints: what is wrong; empty: all is well.
        missed: the faults that found nothing to hurt.
        message: of the migration.
        directory: where everything is kept; None: nothing is.
    """

    plan: Plan
    status: str = "unknown"
    seconds: float = 0.0
    complaints: list[str] = field(default_factory=list[str])
    missed: list[str] = field(default_factory=list[str])
    message: str = ""
    directory: Path | None = None

    @property
    def is_good(self) -> bool:
        return not self.complaints

    def __str__(self) -> str:
        lines = [f"{self.plan} -> {self.status} in {self.seconds:.1f} s"]
        lines += [f"    missed: {text}" for text in self.missed]
        lines += [f"    WRONG: {text}" for text in self.complaints]
        if self.complaints and self.message:
            lines.append(f"    message: {self.message}")
        if self.directory is not None:
            lines.append(f"    kept: {self.directory}")
        return "\n".join(lines)


async def run(plan: Plan, *, keep: bool = False) -> Report:
    """Carry a plan out; what is there to look at stays where something is wrong.

    Args:
        plan: what is to be done.
        keep: keep everything in any case.
    """
    report = Report(plan)
    directory = await asyncio.to_thread(new_directory)
    began = time.monotonic()
    try:
        async with asyncio.timeout(RUN_SECONDS_MAX):
            await _carry_out(report, directory)
    except Exception:
        report.complaints.append(f"the run broke off: {traceback.format_exc()}")
    report.seconds = time.monotonic() - began
    if keep or not report.is_good:
        report.directory = directory.with_name(directory.name.replace("faults-", "kept-", 1))
        (directory / "report.txt").write_text(f"{report}\n")
        await asyncio.to_thread(directory.rename, report.directory)
    else:
        await asyncio.to_thread(discard, directory)
    return report


async def _carry_out(report: Report, directory: Path) -> None:
    plan = report.plan
    needs = frozenset[Any]().union(*(fault.kind.needs for fault in plan.faults))
    async with open_stage(directory, plan.tool, plan.server, needs=needs, seed=plan.seed) as stage:
        book = await _loaded(stage)
        former = await asyncio.to_thread(stage.definition)
        altered = await asyncio.to_thread(stage.expected_definition, plan.alteration)
        stage.migration_uuid = new_migration_uuid()
        watch = ProcessWatch(directory)
        try:
            async with _watched(watch), _written(stage, book, plan.seed, report):
                status, row = await _migrated(stage, plan, report)
        finally:
            _write_down(directory, book)
        report.status, report.message = status, str(row.get("message") or "")
        verdict = Verdict(stage, plan, book, watch, (former, altered))
        has_begun = len(report.missed) < len(plan.faults)
        report.complaints += await verdict.find(status, row, has_begun=has_begun)
        if report.complaints:
            (directory / "row.json").write_text(json.dumps(row, indent=2, default=str))


def _write_down(directory: Path, book: Book) -> None:
    (directory / "book.pickle").write_bytes(pickle.dumps(book))


async def _loaded(stage: Stage) -> Book:
    pool = Pool(MySQLSettings(unix_socket=stage.primary.server.socket), name="Load")
    await pool.open()
    try:
        return await load(pool, KEYSPACE, TABLE, ROWS)
    finally:
        await pool.close()


@asynccontextmanager
async def _watched(watch: ProcessWatch) -> AsyncGenerator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(watch.run())
        try:
            yield
        finally:
            task.cancel()


@asynccontextmanager
async def _written(stage: Stage, book: Book, seed: int, report: Report) -> AsyncGenerator[None]:
    """Let writers write for the length of a block, and for some commits before and after it."""
    user, password = WRITER
    settings = MySQLSettings(host=LOOPBACK, port=stage.writers.port, user=user, password=password)
    pool = Pool(settings, name="Writers", size_max=6)
    workload = Workload(
        pool,
        KEYSPACE,
        TABLE,
        book,
        transactions_per_second=100.0,
        seed=seed,
        tolerates=_is_a_faults_doing,
    )
    stop = asyncio.Event()

    async def write() -> None:
        try:
            await workload.run(stop)
        except* TabletdError as errors:
            report.complaints.append(f"writers: {errors.exceptions}")

    async def more_commits() -> None:
        wanted = workload.counts.committed + 10
        with suppress(AssertionError):
            await eventually(lambda: workload.counts.committed >= wanted or writing.done())
            return
        report.complaints.append("the writers get nothing committed")

    await pool.open()
    try:
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(write())
            await more_commits()
            try:
                yield
                await more_commits()
            finally:
                stop.set()
    finally:
        await pool.close()


def _is_a_faults_doing(error: TabletdError) -> bool:
    return isinstance(error, MySQLError) and error.errno in _WRITERS_ERRNOS


async def _migrated(stage: Stage, plan: Plan, report: Report) -> tuple[str, dict[str, Any]]:
    """Submit the migration, let the faults happen, and wait for its end."""
    address = f"{LOOPBACK}:{stage.primary.grpc.port}"
    former = await asyncio.to_thread(stage.definition)
    async with vexec_client(address, KEYSPACE) as client, asyncio.TaskGroup() as group:
        looking = group.create_task(_look(client, stage))
        try:
            await _submitted(client, stage, plan)
            async with asyncio.TaskGroup() as faults:
                for fault in plan.faults:
                    faults.create_task(_happen(stage, fault, former, report))
            return await settled(stage)
        finally:
            looking.cancel()


async def _submitted(client: VExecClient, stage: Stage, plan: Plan) -> None:
    statement = f"ALTER TABLE {TABLE} {plan.alteration}"
    async with asyncio.timeout(_SUBMIT_SECONDS_MAX):
        await client.submit(
            TABLE,
            statement,
            plan.tool,
            options=_OPTIONS[plan.tool],
            migration_uuid=stage.migration_uuid,
        )


async def _look(client: VExecClient, stage: Stage) -> None:
    """Look at the migration all the time, as a client does who is not told of faults."""
    while True:
        with suppress(grpc.aio.AioRpcError, TabletdError, TimeoutError):
            async with asyncio.timeout(_CLIENT_CALL_SECONDS):
                await client.migration(stage.migration_uuid)
        await asyncio.sleep(_CLIENT_PAUSE_SECONDS)


async def _happen(stage: Stage, fault: FaultPlan, former: str, report: Report) -> None:
    """Wait for the moment of a fault, begin it, and end it."""
    await _moment(stage, fault, former)
    try:
        await fault.kind.begin(stage)
    except Missed as missed:
        report.missed.append(f"{fault.kind.name}: {missed}")
        return
    try:
        await asyncio.sleep(fault.lasts_seconds)
    finally:
        await fault.kind.end(stage)


async def _moment(stage: Stage, fault: FaultPlan, former: str) -> None:
    def has_come() -> bool:
        try:
            row = stage.row()
            is_swapped = stage.definition() != former
        except (pymysql.MySQLError, OSError):
            return False  # another fault is at it
        is_over = row is not None and row["migration_status"] in TERMINAL
        return is_over or is_reached(fault.phase, fault.fraction, row, is_swapped=is_swapped)

    # Where another fault keeps the migration from getting there, this one comes without waiting.
    with suppress(TimeoutError):
        async with asyncio.timeout(_PHASE_SECONDS_MAX):
            while not await asyncio.to_thread(has_come):
                await asyncio.sleep(_PHASE_LOOK_SECONDS)
    await asyncio.sleep(fault.jitter_seconds)
