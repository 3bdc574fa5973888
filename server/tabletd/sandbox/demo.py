"""The demo: lag, and a schema change by each real tool, on throw-away servers under load.

It ends with a proof, and succeeds only when that holds.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import time
import urllib.request
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Final, cast

import grpc
import grpc.aio
import psutil
from rich.console import Console

from tabletd.errors import Reason, TabletdError
from tabletd.mysql.pool import Pool
from tabletd.mysql.settings import MySQLSettings
from tabletd.sandbox.book import Book
from tabletd.sandbox.daemons import gh_ost_path
from tabletd.sandbox.demo_board import Board, Phase, Track
from tabletd.sandbox.demo_proof import Expectation, Finding, account_names, prove
from tabletd.sandbox.ledger import sandbox_names, sandboxes_directory
from tabletd.sandbox.releases import ReleaseName, find_release
from tabletd.sandbox.removal import stop_sandbox
from tabletd.sandbox.sandbox import Sandbox, SandboxRequest, start_sandbox
from tabletd.sandbox.vexec_client import VExecClient, describe, vexec_client
from tabletd.sandbox.workload import Workload, load

_TABLE: Final = "orders"
_COLUMN: Final = "priority"
_STATEMENT: Final = f"ALTER TABLE {_TABLE} ADD COLUMN {_COLUMN} INT NOT NULL DEFAULT 0"
_NAME_PREFIX: Final = "demo-"
_WATCH_SECONDS: Final = 3.0
_GO_ON_SECONDS: Final = 2.0
_MIGRATION_SECONDS: Final = 120.0
_LAG_INTERVAL_SECONDS: Final = 0.25
_TICK_SECONDS: Final = 0.2
_TRANSACTIONS_PER_SECOND: Final = 150.0
_WRITERS: Final = 4
_LOG_LINES: Final = 12
# Old tables and logs are kept for a day by default; the proof wants to see them gone.
_SETTINGS: Final = {
    "heartbeat_interval": "250ms",
    "retain_artifacts": "0s",
    "table_gc_lifecycle": "drop",
    "gc_check_interval": "1s",
    "log_retention": "0s",
}


@dataclass(frozen=True)
class _Plan:
    """One pair of the demo."""

    server: ReleaseName
    title: str
    strategy: str


_PLANS: Final = (
    _Plan(ReleaseName.MARIADB, "MariaDB, pt-online-schema-change", "pt-osc"),
    _Plan(ReleaseName.MYSQL_57, "MySQL 5.7, gh-ost", "gh-ost"),
)


def run_demo(rows: int) -> bool:
    """Run the demo on the terminal.

    Args:
        rows: rows of the table on each pair.

    Returns:
        whether the proof holds.
    """
    console = Console()
    started = time.monotonic()
    console.print(
        f"[bold]tabletd demo[/bold]: {_STATEMENT}, while it is written to", highlight=False
    )
    previous = signal.signal(signal.SIGTERM, _end_by_signal)
    _remove_leftovers()
    try:
        tracks = [
            (plan, Track(plan.title, rows)) for plan in _PLANS if _can_be_shown(plan, console)
        ]
        with Board(console, [track for _, track in tracks]) as board:
            findings = asyncio.run(_run_tracks(tracks, board))
    except KeyboardInterrupt:
        console.print("\nInterrupted: the servers and daemons are ended and removed.")
        raise
    finally:
        _remove_own()
        signal.signal(signal.SIGTERM, previous)
    findings["after the demo"] = [_nothing_is_left()]
    holds = _report(console, findings)
    _print_figures(console, [track for _, track in tracks])
    seconds = time.monotonic() - started
    verdict = "Nothing was lost, nothing is left." if holds else "The proof does NOT hold."
    console.print(f"\n[bold]{verdict}[/bold] {seconds:.0f} s in all.", highlight=False)
    return holds


def _print_figures(console: Console, tracks: Sequence[Track]) -> None:
    console.print("\n[bold]Figures[/bold]", highlight=False)
    for track in tracks:
        lags_ms = track.lags_ms or [0.0]
        migration = (
            f"migration {track.migration_seconds:.1f} s" if track.percent else "no migration"
        )
        console.print(
            f"{track.title}: {track.rows:,} rows; {migration}, {track.migration_commits:,} commits "
            f"meanwhile; lag {statistics.median(lags_ms):.1f} ms in the median, "
            f"{max(lags_ms):.1f} ms at most",
            highlight=False,
            soft_wrap=True,
        )


def _end_by_signal(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _can_be_shown(plan: _Plan, console: Console) -> bool:
    """Tell whether server and tool are here; say what is skipped, and why."""
    reason = ""
    try:
        find_release(plan.server)
    except TabletdError as error:
        if plan.server is ReleaseName.MARIADB:
            raise
        reason = str(error)
    if not reason and plan.strategy == "gh-ost" and gh_ost_path() is None:
        reason = "gh-ost is not installed (run scripts/setup.sh gh-ost in a checkout)"
    if reason:
        console.print(f"skipped: {plan.title}: {reason}", highlight=False, soft_wrap=True)
    return not reason


async def _run_tracks(tracks: list[tuple[_Plan, Track]], board: Board) -> dict[str, list[Finding]]:
    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(_tick(board), name="board")
        running = [
            group.create_task(_try_track(plan, track), name=track.title) for plan, track in tracks
        ]
        await asyncio.wait(running)
        ticking.cancel()
    return {track.title: task.result() for (_, track), task in zip(tracks, running, strict=True)}


async def _tick(board: Board) -> None:
    while True:
        board.tick()
        await asyncio.sleep(_TICK_SECONDS)


async def _try_track(plan: _Plan, track: Track) -> list[Finding]:
    """Run one pair; what goes wrong on it is its finding, and the other pair goes on."""
    request = SandboxRequest(_own_name(plan), plan.server, replicas=1, settings=_SETTINGS)
    log_tail = "(no daemon was started)"
    try:
        sandbox = await asyncio.to_thread(start_sandbox, request)
        try:
            return await _run_track(sandbox, plan, track)
        finally:
            log_tail = sandbox.primary.daemon.log_tail(_LOG_LINES)
    except* (TabletdError, grpc.aio.AioRpcError) as errors:
        reasons = "; ".join(_reason(error) for error in _leaves(errors))
        failed_in = track.phase
        track.phase = Phase.FAILED
    return [Finding(failed_in, False, f"{reasons}\nThe log of its tabletd ends with:\n{log_tail}")]


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(cast(BaseExceptionGroup[BaseException], error))
        else:
            yield error


def _reason(error: BaseException) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return str(error)


async def _run_track(sandbox: Sandbox, plan: _Plan, track: Track) -> list[Finding]:
    settings = MySQLSettings(unix_socket=str(sandbox.primary.server.socket))
    pool = Pool(settings, name="demo", size_max=_WRITERS + 1)
    await pool.open()
    try:
        track.phase = Phase.LOADING
        book = await load(
            pool, sandbox.keyspace, _TABLE, track.rows, lambda rows: _loaded(track, rows)
        )
        accounts = await asyncio.to_thread(account_names, sandbox.primary.server)
        async with _writers(pool, sandbox, book, track), _watched_lag(sandbox, track):
            track.phase = Phase.WATCHING
            await asyncio.sleep(_WATCH_SECONDS)
            track.phase = Phase.MIGRATING
            await _migrate(sandbox, plan, track)
            track.phase = Phase.SETTLING
            await asyncio.sleep(_GO_ON_SECONDS)
        track.phase = Phase.PROVING
        expected = Expectation(_TABLE, _COLUMN, book, accounts)
        findings = await prove(sandbox, expected, track.saw_compared)
        track.phase = Phase.DONE
        return findings
    finally:
        await pool.close()


def _loaded(track: Track, rows: int) -> None:
    track.rows_loaded = rows


@asynccontextmanager
async def _writers(pool: Pool, sandbox: Sandbox, book: Book, track: Track) -> AsyncGenerator[None]:
    workload = Workload(
        pool,
        sandbox.keyspace,
        _TABLE,
        book,
        writers=_WRITERS,
        transactions_per_second=_TRANSACTIONS_PER_SECOND,
    )
    stop = asyncio.Event()

    async def count() -> None:
        while not stop.is_set():
            track.commits = workload.counts.committed
            await asyncio.sleep(_TICK_SECONDS)
        track.commits = workload.counts.committed

    async with asyncio.TaskGroup() as group:
        group.create_task(workload.run(stop), name="writers")
        group.create_task(count(), name="count of commits")
        try:
            yield
        finally:
            stop.set()


@asynccontextmanager
async def _watched_lag(sandbox: Sandbox, track: Track) -> AsyncGenerator[None]:
    """Show the lag that the replica's daemon measures, as its counters publish it."""
    url = f"http://{sandbox.replicas[0].daemon.http}/debug/vars"

    def read() -> float | None:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return float(json.load(answer)["HeartbeatCurrentLagNs"]) / 1e6
        except (OSError, ValueError, KeyError):
            return None

    async def watch() -> None:
        while True:
            lag_ms = await asyncio.to_thread(read)
            if lag_ms is not None:
                track.lags_ms.append(lag_ms)
            await asyncio.sleep(_LAG_INTERVAL_SECONDS)

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch(), name="lag")
        yield
        watching.cancel()


async def _migrate(sandbox: Sandbox, plan: _Plan, track: Track) -> None:
    async with vexec_client(sandbox.primary.daemon.grpc, sandbox.keyspace) as client:
        started, commits = time.monotonic(), track.commits
        migration_uuid = await client.submit(_TABLE, _STATEMENT, plan.strategy)
        try:
            async with asyncio.timeout(_MIGRATION_SECONDS):
                await _follow(client, migration_uuid, track)
        except TimeoutError:
            record = await client.migration(migration_uuid)
            raise TabletdError(
                Reason.TIMEOUT,
                f"{track.title}: not done in {_MIGRATION_SECONDS} s: {describe(record)}",
            ) from None
        track.migration_seconds = time.monotonic() - started
        track.migration_commits = track.commits - commits


async def _follow(client: VExecClient, migration_uuid: str, track: Track) -> None:
    status: str | None = None
    text = ""
    async for record in client.watch(migration_uuid):
        status = record["migration_status"]
        text = describe(record)
        track.percent = float(record.get("progress") or 0)
        track.eta_seconds = int(record.get("eta_seconds") or -1)
        track.stage = record.get("stage") or ""
        track.waiting = record.get("reason_throttled") or ""
    if status != "complete":
        raise TabletdError(Reason.TOOL_FAILED, f"{track.title}: the migration ended: {text}")


def _own_name(plan: _Plan) -> str:
    return f"{_NAME_PREFIX}{os.getpid()}-{plan.strategy}"


def _remove_own() -> None:
    for name in sandbox_names():
        if name.startswith(f"{_NAME_PREFIX}{os.getpid()}-"):
            stop_sandbox(name)


def _remove_leftovers() -> None:
    """Remove what a demo that was killed has left."""
    for name in sandbox_names():
        owner = name.removeprefix(_NAME_PREFIX).split("-")[0]
        if name.startswith(_NAME_PREFIX) and owner.isdigit() and not psutil.pid_exists(int(owner)):
            stop_sandbox(name)


def _nothing_is_left() -> Finding:
    mark = str(sandboxes_directory() / f"{_NAME_PREFIX}{os.getpid()}-")
    found = [name for name in sandbox_names() if name.startswith(f"{_NAME_PREFIX}{os.getpid()}-")]
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if any(mark in word for word in process.cmdline()):
                found.append(f"process {process.pid}")
    return Finding("no server, daemon or file left", not found, ", ".join(found) or "none")


def _report(console: Console, findings: dict[str, list[Finding]]) -> bool:
    for title, found in findings.items():
        console.print(title, style="bold", highlight=False)
        for finding in found:
            mark = "[green]ok[/green]    " if finding.holds else "[red]FAILED[/red]"
            console.print(f"  {mark} {finding.what}: ", end="", highlight=False)
            console.print(finding.details, markup=False, highlight=False, soft_wrap=True)
    return all(finding.holds for found in findings.values() for finding in found)
