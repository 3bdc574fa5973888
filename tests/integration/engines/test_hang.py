"""A tool that stands still for ever."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final

import pymysql
import pytest

from tabletd.executor.engines.run_planner import PASSWORD_FILE
from tabletd.executor.engines.swap_lock import SwapLock
from tabletd.executor.migration import Strategy
from tabletd.executor.states import Status
from tabletd.processes.runner import Run, attach
from tests.integration.engines.rig import Rig, Running
from tests.support.waiting import eventually

_ATTEMPT: Final = "INFO Grabbing voluntary lock: gh-ost.26.lock"


@pytest.mark.parametrize(
    ("hung_before", "status", "what_now"),
    [(1, Status.QUEUED, "the migration starts again"), (2, Status.FAILED, "for the third time")],
)
async def test_a_gh_ost_that_hangs_after_an_attempt_to_cut_over_is_ended_and_tried_thrice(
    mysql_rig: Rig, hung_before: int, status: Status, what_now: str
) -> None:
    async with _copying(mysql_rig) as (running, run):
        for number in range(hung_before):
            earlier = f"{running.record.migration.migration_uuid}-{number}.log"
            (run.log_file.parent / earlier).write_text("2026 INFO\n# tabletd: gh-ost hung (...)\n")
        _hang(running, run, _ATTEMPT)
        outcome = await running.task
    assert outcome.status is status
    assert "gh-ost hung after an attempt to cut over" in outcome.message
    assert what_now in outcome.message
    assert "# tabletd: gh-ost hung after" in run.log_file.read_text()
    assert running.record.ended
    assert mysql_rig.leftovers() == []


async def test_a_gh_ost_that_gave_up_and_does_not_end_fails_with_its_cause(mysql_rig: Rig) -> None:
    async with _copying(mysql_rig) as (running, run):
        _hang(running, run, "ERROR migration aborted: Duplicate entry '7'")
        outcome = await running.task
    assert outcome.status is Status.FAILED
    assert outcome.message == (
        "Duplicate entry '7' (gh-ost hung after it had given up; it was ended)"
    )
    assert running.record.ended
    assert mysql_rig.leftovers() == []


async def test_a_gh_ost_that_waits_for_the_server_does_not_hang(
    mysql_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = mysql_rig
    looks: list[bool] = []
    look = SwapLock.has_statement_under_way

    async def noted(lock: SwapLock) -> bool:
        looks.append(await look(lock))
        return looks[-1]

    monkeypatch.setattr(SwapLock, "has_statement_under_way", noted)
    async with _copying(rig) as (running, run):
        _hang(running, run, _ATTEMPT)
        waiting = pymysql.connect(
            host="127.0.0.1",
            port=rig.server.port,
            user=running.record.migration.run_account.partition("@")[0],
            password=(_directory(running) / PASSWORD_FILE).read_text(),
        )
        number = int(waiting.thread_id())  # type: ignore[no-untyped-call]
        statement = asyncio.create_task(asyncio.to_thread(_sleep, waiting))
        await eventually(lambda: looks.count(True) >= 2, what="it is seen to wait twice")
        assert not running.task.done()
        await rig.pool.execute(f"KILL QUERY {number}")
        await statement
        outcome = await running.task
    assert outcome.status is Status.QUEUED, outcome
    assert looks[-1] is False
    assert rig.leftovers() == []


@asynccontextmanager
async def _copying(rig: Rig) -> AsyncGenerator[tuple[Running, Run]]:
    """Have a slow gh-ost at work that may stand still for a second."""
    rig.create_orders()
    async with rig.running(
        Strategy.GH_OST,
        "ALTER TABLE orders ADD COLUMN extra INT",
        "--chunk-size=10 --nice-ratio=50",
        hang_seconds=1.0,
        stop_grace_seconds=0.5,
    ) as running:
        run = await attach(_directory(running) / "run")
        assert run is not None
        yield running, run


def _hang(running: Running, run: Run, last_words: str) -> None:
    """Freeze a gh-ost, deaf on its socket, with a last line in its log."""
    os.kill(run.tool.pid, signal.SIGSTOP)
    (_directory(running) / "gh-ost.sock").unlink()
    with run.log_file.open("a") as log:
        log.write(f"2026-11-23 11:00:00 {last_words}\n")


def _directory(running: Running) -> Path:
    return Path(running.record.migration.run_directory)


def _sleep(connection: Any) -> None:
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("SELECT SLEEP(600)")
