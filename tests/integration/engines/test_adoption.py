"""A run that is let go, or whose daemon died, and the engine of the next daemon."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from tabletd.executor.controls import LiveControls
from tabletd.executor.engines.base import Detached, Outcome
from tabletd.executor.migration import Migration, Strategy
from tabletd.executor.states import Status
from tabletd.processes.runner import attach
from tests.integration.engines.callbacks import CallbackServer, callback_server
from tests.integration.engines.rig import Record, Rig, abandon
from tests.support.waiting import eventually

PT_OSC = Strategy.PT_OSC
ADD_COLUMN = "ALTER TABLE orders ADD COLUMN extra INT"
BRIEF = {
    Strategy.GH_OST: "--chunk-size=200 --nice-ratio=3",
    Strategy.PT_OSC: "--chunk-size 200 --sleep 0.05",
}
SLOW = {
    Strategy.GH_OST: "--chunk-size=20 --nice-ratio=20",
    Strategy.PT_OSC: "--chunk-size 50 --chunk-time 0 --sleep 0.2",
}


@dataclass
class Leaving(Record):
    """Lets the run go as soon as a stage begins with some words."""

    controls: LiveControls = field(default_factory=LiveControls)
    words: str = ""

    async def stage(self, stage: str, message: str = "") -> None:
        await super().stage(stage, message)
        if stage.endswith(self.words):
            self.controls.let_go()


@pytest.mark.parametrize("words", ["validating", "dry run", "run"])
async def test_a_run_that_is_let_go_is_gone_on_with_from_where_it_stands(
    tool_and_rig: tuple[Strategy, Rig], words: str
) -> None:
    strategy, rig = tool_and_rig
    rig.create_orders(2000)
    migration = rig.migration(strategy, ADD_COLUMN, options=BRIEF[strategy])
    record = Leaving(migration, words=f": {words}")
    with pytest.raises(Detached):
        await rig.engine(strategy).run(migration, record, asyncio.Event(), record.controls)
    assert not record.ended

    left = running(record.migration)
    again = Record(left)
    go_on = await rig.engine(strategy).adopt(left, again)
    assert go_on is not None
    outcome = await go_on(asyncio.Event(), LiveControls())
    assert outcome.status is Status.COMPLETE, outcome.message
    assert again.ended
    assert "extra" in rig.columns()
    assert rig.leftovers(outcome.old_table) == []
    assert headings(left) == ["dry run", "run"]


def running(left: Migration) -> Migration:
    return replace(left, status=Status.RUNNING, tablet="zone1-0000000100")


def headings(left: Migration) -> list[str]:
    """Return which phases were started, by the log."""
    lines = Path(left.log_file).read_text(errors="replace").splitlines()
    return [
        line.removeprefix("# tabletd: ").partition(":")[0]
        for line in lines
        if line.startswith("# tabletd: ")
    ]


async def test_a_run_that_was_taken_over_can_be_cancelled(
    tool_and_rig: tuple[Strategy, Rig],
) -> None:
    strategy, rig = tool_and_rig
    rig.create_orders()
    async with callback_server() as server:
        left = running(await abandon(rig, strategy, SLOW[strategy], lambda: server.url))
        again = Record(left)
        engine = rig.engine(strategy, callback_url=lambda: server.url)
        go_on = await engine.adopt(left, again)
        assert go_on is not None
        stop = asyncio.Event()
        stop.set()
        outcome = await go_on(stop, LiveControls())
    assert outcome.status is Status.CANCELLED
    assert again.ended
    assert rig.leftovers() == []


async def test_rows_that_an_earlier_daemon_could_not_prove_are_named_at_the_end(
    mysql_rig: Rig,
) -> None:
    rig = mysql_rig
    rig.create_orders(2000)
    async with callback_server() as server:
        brief = BRIEF[Strategy.GH_OST]
        left = running(await abandon(rig, Strategy.GH_OST, brief, lambda: server.url))
        proof = {"after": None, "rows": 0, "unproven": ["id = 7: differs in amount"]}
        (Path(left.run_directory) / "proof.json").write_text(
            json.dumps({**proof, "more_unproven": 30, "verdict": None})
        )
        engine = rig.engine(Strategy.GH_OST, callback_url=lambda: server.url)
        go_on = await engine.adopt(left, Record(left))
        assert go_on is not None
        outcome = await go_on(asyncio.Event(), LiveControls())
    assert outcome.status is Status.COMPLETE, outcome
    told = "not proven, since they never stood still: id = 7: differs in amount and 30 more"
    assert told in outcome.message


@pytest.mark.parametrize("what", ["killed", "no plan", "no process", "refused by now"])
async def test_a_run_that_cannot_be_gone_on_with_is_left_to_be_settled(
    mariadb_rig: Rig, what: str
) -> None:
    rig = mariadb_rig
    rig.create_orders()
    async with callback_server() as server:
        left = running(
            await abandon(rig, PT_OSC, "--chunk-size 50 --sleep 0.2", lambda: server.url)
        )
        directory = Path(left.run_directory)
        run = await attach(directory / "run")
        assert run is not None
        if what == "killed":
            os.kill(run.tool.pid, signal.SIGKILL)
            await run.wait()
        elif what == "refused by now":
            left = replace(left, options="--sleep 0.2 --of-another-version 5")
        elif what == "no plan":
            (directory / "plan.json").unlink()
        else:
            await run.terminate(grace_seconds=5)
            (directory / "run/process.json").unlink()
        engine = rig.engine(PT_OSC, callback_url=lambda: server.url)
        assert await engine.adopt(left, Record(left)) is None
        record = Record(left)
        assert await engine.recover(left, record) is None
    assert record.ended
    assert rig.leftovers() == []


async def test_a_tool_asks_and_reports_where_the_next_daemon_answers(
    tool_and_rig: tuple[Strategy, Rig],
) -> None:
    strategy, rig = tool_and_rig
    rig.create_orders(600)
    async with callback_server() as former:
        left = running(await abandon(rig, strategy, SLOW[strategy], lambda: former.url))
    async with callback_server() as server:
        server.throttle_status = 429
        again = Record(left)
        go_on = await rig.engine(strategy, callback_url=lambda: server.url).adopt(left, again)
        assert go_on is not None

        async def is_seen_through() -> Outcome:
            return await go_on(asyncio.Event(), LiveControls())

        async with asyncio.TaskGroup() as group:
            run = group.create_task(is_seen_through())
            waits = partial(says_why_it_waits, again, "429", "replica r1 lags 9 s")
            await eventually(
                lambda: run.done() or waits(),
                what="the tool waits for what it is told at the new address",
            )
            assert not run.done(), run.result()
            server.throttle_status = 200
        outcome = run.result()
    assert outcome.status is Status.COMPLETE, outcome.message
    assert was_asked(server, "/schema-migration/report-status")
    assert {one.token for one in server.requests if "report" in one.path} == {
        one.token for one in former.requests if "report" in one.path
    }
    assert headings(left) == ["dry run", "run"]
    assert rig.leftovers(outcome.old_table) == []


def was_asked(server: CallbackServer, path: str) -> bool:
    return any(request.path == path for request in server.requests)


def says_why_it_waits(record: Record, *words: str) -> bool:
    reasons = [progress.throttle_reason for progress in record.reported]
    return any(word in reason for reason in reasons for word in words)


async def test_nothing_in_the_stored_plan_is_a_secret(mariadb_rig: Rig) -> None:
    rig = mariadb_rig
    rig.create_orders()
    async with callback_server() as server:
        left = running(
            await abandon(rig, PT_OSC, "--chunk-size 50 --sleep 0.2", lambda: server.url)
        )
        directory = Path(left.run_directory)
        plan = (directory / "plan.json").read_text()
        password = (directory / "account").read_text()
        token = (directory / "callback").read_text().partition("token=")[2].strip()
        assert password not in plan
        assert token not in plan
        assert (directory / "plan.json").stat().st_mode & 0o777 == 0o600
        await rig.engine(PT_OSC).recover(left, Record(left))
