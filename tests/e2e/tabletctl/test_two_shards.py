"""The client and the command against daemons of two real servers; docs/client.md, README.md."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest

import tabletd_client
from tabletd.sandbox.releases import ReleaseName, find_release
from tabletd_client import (
    Changed,
    Client,
    Disconnected,
    Event,
    Status,
    TabletdClientError,
    UpToDate,
    Way,
)
from tests.support.servers import RealServer
from tests.support.two_shards import KEYSPACE, SHARDS, TwoShards
from tests.support.waiting import PATIENCE_SECONDS, eventually

ROOT: Final = Path(__file__).parents[3]
PAGE: Final = ROOT / "docs" / "client.md"
PROGRAMS: Final = [
    program
    for page in (PAGE, ROOT / "README.md")
    for program in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.S | re.M)
]
CONSOLES: Final = re.findall(r"^```console\n(.*?)^```", PAGE.read_text(), re.S | re.M)


@pytest.fixture(scope="module")
def shards(
    mariadb_server: RealServer, servers_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TwoShards]:
    second = RealServer(find_release(ReleaseName.MARIADB), servers_directory / "client-shard")
    try:
        two = TwoShards((mariadb_server, second), tmp_path_factory.mktemp("shards"))
        try:
            two.script(
                "CREATE TABLE orders (id int PRIMARY KEY)", "INSERT INTO orders VALUES (1), (2)"
            )
            yield two
        finally:
            two.stop()
    finally:
        second.stop()


@pytest.fixture
async def client(shards: TwoShards) -> AsyncIterator[Client]:
    async with tabletd_client.connect(shards.daemons["-80"].grpc) as connected:
        yield connected


async def _run(shards: TwoShards, *command: str) -> tuple[int, str]:
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_SECONDS,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TABLETCTL_SERVER": shards.daemons["-80"].grpc,
        },
    )
    return done.returncode, done.stdout


def _of_this_fleet(text: str, shards: TwoShards) -> str:
    return text.replace("127.0.0.1:16100", shards.daemons["-80"].grpc).replace(
        '"commerce"', f'"{KEYSPACE}"'
    )


async def _wait_for(
    events: AsyncIterator[Event], shards_to_see: set[str], is_it: Status | None, flag: str = ""
) -> None:
    """Read events until a migration stands somewhere on all shards."""
    seen: set[str] = set()
    async with asyncio.timeout(60):
        async for event in events:
            if isinstance(event, Changed):
                migration = event.migration
                assert migration.status is not Status.FAILED, migration.message
                if (is_it in (None, migration.status)) and (not flag or getattr(migration, flag)):
                    seen.add(migration.shard)
            if seen >= shards_to_see:
                return


async def test_a_postponed_migration_is_watched_and_completed_shard_by_shard(
    client: Client, shards: TwoShards
) -> None:
    submission = await client.apply(
        KEYSPACE, "ALTER TABLE orders ADD COLUMN a int", strategy="pt-osc --postpone-completion"
    )
    (uuid,) = submission.uuids
    async with client.watch(KEYSPACE, uuids=[uuid]) as events:
        await _wait_for(events, set(SHARDS), Status.RUNNING, "ready_to_complete")
        assert (await client.complete(KEYSPACE, uuid, shards=["-80"])).by_shard == {
            "-80": 1,
            "80-": 0,
        }
        await _wait_for(events, {"-80"}, Status.COMPLETE)
        assert shards.columns("orders") == [{"id", "a"}, {"id"}]
        await client.complete(KEYSPACE, uuid)
        await _wait_for(events, {"80-"}, Status.COMPLETE)
    assert shards.columns("orders") == [{"id", "a"}] * 2
    logs = await client.logs(KEYSPACE, uuid)
    assert [log.shard for log in logs] == list(SHARDS)
    assert all("Successfully altered" in log.text for log in logs)
    shown = await client.show(KEYSPACE, uuid=uuid)
    assert {one.status for one in shown} == {Status.COMPLETE}
    shards.script("ALTER TABLE orders DROP COLUMN a")


async def test_a_plan_says_which_way_each_shard_would_take(
    client: Client, shards: TwoShards
) -> None:
    plans = await client.explain(
        KEYSPACE, "ALTER TABLE orders ADD COLUMN planned int", strategy="pt-osc"
    )
    assert [(plan.shard, plan.way) for plan in plans] == [(shard, Way.PT_OSC) for shard in SHARDS]
    assert all(plan.evidence and not plan.refusals for plan in plans)
    code, text = await _run(shards, "tabletctl", "explain", "ALTER TABLE nowhere ADD x int")
    assert (code, "refused" in text) == (1, True), text


async def test_a_direct_change_and_its_refusal_have_their_exit_codes(shards: TwoShards) -> None:
    assert await _run(shards, "tabletctl", "apply", "ALTER TABLE orders ADD COLUMN c int") == (
        0,
        "done at once\n",
    )
    code, text = await _run(shards, "tabletctl", "apply", "ALTER TABLE nowhere ADD COLUMN c int")
    assert (code, text.startswith("tabletctl: ")) == (1, True)
    shards.script("ALTER TABLE orders DROP COLUMN c")


async def test_a_migration_that_fails_is_told_with_why(shards: TwoShards) -> None:
    code, text = await _run(
        shards, "tabletctl", "apply", "--wait", "--strategy=mysql", "ALTER TABLE orders ADD id int"
    )
    assert code == 1, text
    assert "failed" in text
    assert "id" in text.splitlines()[-1]


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
async def test_the_programs_of_the_pages_run(shards: TwoShards, number: int) -> None:
    code, text = await _run(shards, sys.executable, "-c", _of_this_fleet(PROGRAMS[number], shards))
    assert code == 0, text
    assert text


async def test_the_commands_of_the_page_run(client: Client, shards: TwoShards) -> None:
    async def nothing_is_at_work() -> bool:
        return all(one.status.ended for one in await client.show(KEYSPACE))

    await eventually(nothing_is_at_work, what="what the programs of the pages submitted has ended")
    lines = [line for text in CONSOLES for line in text.splitlines()]
    assert all(line.startswith("$ ") for line in lines)
    script = "\n".join(line.removeprefix("$ ") for line in lines if "watch" not in line)
    code, text = await _run(shards, "bash", "-ec", _of_this_fleet(script, shards))
    assert code == 0, text


# The last one: the daemon that it starts ends with the thread that started it.
async def test_a_watch_goes_on_over_the_restart_of_a_daemon(
    client: Client, shards: TwoShards
) -> None:
    async with client.watch(KEYSPACE) as events:
        up_to_date = 0
        async with asyncio.timeout(60):
            while up_to_date < len(SHARDS):
                up_to_date += isinstance(await anext(events), UpToDate)
        await asyncio.to_thread(shards.daemons["80-"].terminate)
        async with asyncio.timeout(60):
            while not isinstance(event := await anext(events), Disconnected):
                pass
        assert event.shard == "80-"
        await asyncio.to_thread(shards.restart, "80-")

        async def is_found() -> bool:
            try:
                await client.show(KEYSPACE, limit=1)
            except TabletdClientError:
                return False
            return True

        await eventually(is_found, what="the shard is found again")
        submission = await client.apply(
            KEYSPACE, "ALTER TABLE orders ADD COLUMN b int", strategy="mysql"
        )
        assert submission.uuids
        await _wait_for(events, set(SHARDS), Status.COMPLETE)
