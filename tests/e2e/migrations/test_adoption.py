"""The daemon ends, the tool does not: the next daemon goes on with it."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tabletd.sandbox.servers import free_port
from tabletd.sandbox.vexec_client import Record, VExecClient
from tests.support.daemons import (
    EACH_TOOL,
    KEYSPACE,
    Case,
    LiveTable,
    TabletPair,
    command,
    connected,
    copying,
    from_starter,
    kill,
    live_table,
)
from tests.support.waiting import eventually

ADD_COLUMN = "ALTER TABLE orders ADD COLUMN extra INT NULL"
RESTARTS = 20
# Of these at least so many while rows are still copied.
RESTARTS_IN_THE_COPY = 5


@dataclass(frozen=True)
class Seen:
    """One run of a tool, as the machine and the server see it."""

    processes: tuple[tuple[int, float], ...]
    accounts: tuple[str, ...]
    tables: tuple[str, ...]


def seen(tablets: TabletPair) -> Seen:
    """Look who is at work now: more than one of each would be a second run."""
    server = tablets.servers.primary
    accounts = server.query(
        "SELECT DISTINCT user FROM information_schema.processlist WHERE user LIKE 'tabletd\\_%%'"
    )
    tables = server.query(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = %s "
        "AND (table_name LIKE '%%\\_gho' OR table_name LIKE '%%\\_new')",
        (KEYSPACE,),
    )
    return Seen(
        tuple(sorted((process.pid, process.create_time()) for process in tablets.tools())),
        tuple(sorted(str(row[0]) for row in accounts)),
        tuple(sorted(str(row[0]) for row in tables)),
    )


@dataclass(frozen=True)
class Progress:
    """How far a migration is, by its row."""

    rows_copied: int
    is_copied: bool
    liveness: str

    def is_beyond(self, before: Progress) -> bool:
        """Whether it went on: copied more, or gives signs of life where all is copied."""
        if self.is_copied and before.is_copied:
            return self.liveness > before.liveness
        return self.is_copied or self.rows_copied > before.rows_copied


async def progress(client: VExecClient, migration_uuid: str) -> Progress:
    record = await client.migration(migration_uuid)
    assert record["migration_status"] == "running", record
    return Progress(
        int(record["rows_copied"] or 0),
        record["ready_to_complete"] == "1" or float(record["progress"] or 0) >= 100,
        record["liveness_timestamp"] or "",
    )


@pytest.mark.timeout(600)
async def test_one_run_of_each_tool_outlives_twenty_restarts_of_its_daemon(
    mysql57_tablets: TabletPair, mariadb_tablets: TabletPair
) -> None:
    cases = [Case(mysql57_tablets, "gh-ost"), Case(mariadb_tablets, "pt-osc")]
    for case in cases:
        await from_starter(TabletPair.heal, case.tablets)
    async with asyncio.TaskGroup() as group:
        for case in cases:
            group.create_task(outlives_restarts(case))


async def outlives_restarts(case: Case) -> None:
    tablets = case.tablets
    async with live_table(tablets, "orders", 2_000, transactions_per_second=20) as table:
        async with connected(tablets.primary) as client:
            uuid = await begin(case, client, f"--postpone-completion {case.slow}")
            done = await progress(client, uuid)
        first = await asyncio.to_thread(seen, tablets)
        assert (len(first.processes), len(first.accounts), len(first.tables)) == (1, 1, 1)
        in_the_copy = 0
        for number in range(RESTARTS):
            in_the_copy += not done.is_copied
            way = tablets.primary.kill if number % 2 else tablets.primary.terminate
            await asyncio.to_thread(way)
            if number % 3 == 0:
                move(tablets)
            await tablets.restart_primary()
            done = await gone_on(tablets, uuid, done, f"progress after restart {number + 1}")
            assert await asyncio.to_thread(seen, tablets) == first
        assert in_the_copy >= RESTARTS_IN_THE_COPY
        await command(tablets, uuid, "complete")
        record = await completes(tablets, table, uuid)
        assert launches(record["log_file"]) == ["dry run", "run"]


def move(tablets: TabletPair) -> None:
    """Have the primary's daemon answer its tools at another address from its next start on."""
    daemon, port = tablets.primary, free_port()
    configuration = daemon.directory / "tabletd.toml"
    before = configuration.read_text()
    after = before.replace(f'http_port = "{daemon.http_port}"', f'http_port = "{port}"')
    assert after != before
    configuration.write_text(after)
    tablets.primary = replace(daemon, http_port=port)


async def gone_on(tablets: TabletPair, uuid: str, before: Progress, what: str) -> Progress:
    """Wait until a migration is beyond where it was; return where it is then."""
    async with connected(tablets.primary) as client:
        now = before

        async def is_beyond() -> bool:
            nonlocal now
            now = await progress(client, uuid)
            return now.is_beyond(before)

        await eventually(is_beyond, what=what)
    return now


@contextmanager
def configured_with(tablets: TabletPair, line: str) -> Generator[None]:
    """Add a line to what the primary's daemon reads as its configuration, for a block."""
    configuration = tablets.primary.directory / "tabletd.toml"
    before = configuration.read_text()
    configuration.write_text(f"{before}{line}\n")
    try:
        yield
    finally:
        configuration.write_text(before)


async def begin(case: Case, client: VExecClient, options: str) -> str:
    """Submit a migration and wait until its tool copies rows."""
    migration_uuid = await client.submit("orders", ADD_COLUMN, case.strategy, options=options)
    await copying(client, migration_uuid)
    return migration_uuid


async def completes(tablets: TabletPair, table: LiveTable, migration_uuid: str) -> Record:
    """Wait until a migration has changed its table and nothing else; return its row."""
    async with connected(tablets.primary) as client:
        record = await client.wait(migration_uuid, until={"complete"})
    await table.equals_its_book()
    await tablets.leaves_no_trace(migration_uuid)
    return record


def launches(log_file: str | None) -> list[str]:
    """Return what the daemons started, in order: each start has a heading in the log."""
    lines = Path(log_file or "").read_text(errors="replace").splitlines()
    return [
        line.removeprefix("# tabletd: ").partition(":")[0]
        for line in lines
        if line.startswith("# tabletd: ")
    ]


@pytest.mark.parametrize("case", EACH_TOOL, indirect=True)
async def test_the_tool_pauses_while_no_daemon_answers_and_then_goes_on(
    case: Case, client: VExecClient
) -> None:
    tablets = case.tablets
    async with live_table(tablets, "orders", 20_000) as table:
        await table.settle()
        migration_uuid = await begin(case, client, case.slow)
        before = await asyncio.to_thread(seen, tablets)
        shadow = before.tables[0]

        await asyncio.to_thread(tablets.primary.pause)
        copied = await stands_still(tablets, shadow)
        await asyncio.to_thread(tablets.primary.resume)
        await eventually(lambda: shadow_rows(tablets, shadow) > copied, what="it goes on")

        await asyncio.to_thread(tablets.primary.kill)
        copied = await stands_still(tablets, shadow)
        await tablets.restart_primary()
        await eventually(lambda: shadow_rows(tablets, shadow) > copied, what="it goes on")

        assert await asyncio.to_thread(seen, tablets) == before
        async with connected(tablets.primary) as again:
            assert await again.cancel(migration_uuid) == 1
        await tablets.leaves_no_trace(migration_uuid)


def shadow_rows(tablets: TabletPair, name: str) -> int:
    return int(tablets.servers.primary.scalar(f"SELECT COUNT(*) FROM {KEYSPACE}.`{name}`"))


async def stands_still(tablets: TabletPair, name: str) -> int:
    """Wait until no row has been copied for three seconds; return how many there are."""
    loop = asyncio.get_running_loop()
    last, since = -1, loop.time()

    def is_quiet() -> bool:
        nonlocal last, since
        now = shadow_rows(tablets, name)
        if now != last:
            last, since = now, loop.time()
        return loop.time() - since > 3

    await eventually(is_quiet, what="the tool pauses")
    return last


@pytest.mark.parametrize("case", EACH_TOOL, indirect=True)
async def test_a_held_migration_stays_held_over_a_restart_and_completes_when_it_is_let_go(
    case: Case, client: VExecClient
) -> None:
    tablets = case.tablets
    async with live_table(tablets, "orders", 500) as table:
        migration_uuid = await client.submit(
            "orders", ADD_COLUMN, case.strategy, options="--postpone-completion"
        )

        async def is_ready() -> bool:
            record = await client.migration(migration_uuid)
            return record["ready_to_complete"] == "1"

        await eventually(is_ready, what="it is ready")
        before = await asyncio.to_thread(seen, tablets)
        await asyncio.to_thread(tablets.primary.kill)
        await table.keeps_being_written()
        await tablets.restart_primary()
        async with connected(tablets.primary) as again:
            await eventually(lambda: adopted(tablets, migration_uuid), what="it is taken over")
            await table.keeps_being_written()
            assert await asyncio.to_thread(seen, tablets) == before
            await command(tablets, migration_uuid, "complete")
            await again.wait(migration_uuid, until={"complete"})
        await table.equals_its_book()
        await tablets.leaves_no_trace(migration_uuid)


def adopted(tablets: TabletPair, migration_uuid: str) -> bool:
    return f"migration {migration_uuid}: its tool is taken over" in tablets.primary.log.read_text()


@pytest.mark.parametrize("case", EACH_TOOL, indirect=True)
async def test_a_tool_that_ended_with_its_daemon_is_settled_by_the_next(
    case: Case, client: VExecClient
) -> None:
    tablets = case.tablets
    async with live_table(tablets, "orders", 1_500) as table:
        migration_uuid = await begin(case, client, case.brief)
        await asyncio.to_thread(tablets.primary.kill)
        kill(tablets.tool_processes())
        await tablets.restart_primary()
        record = await completes(tablets, table, migration_uuid)
    assert launches(record["log_file"]) == ["dry run", "run"]


@asynccontextmanager
async def told_to(tablets: TabletPair, on_stop: str) -> AsyncGenerator[None]:
    """Change what the primary's daemon does with its tools when it is stopped, for a block."""
    with configured_with(tablets, f"on_stop = {json.dumps(on_stop)}"):
        tablets.primary.identity.signal(signal.SIGHUP)
        changed = "configuration reread; changed: on_stop"
        await eventually(lambda: changed in tablets.primary.log_tail(), what=changed)
        yield


@pytest.mark.parametrize("case", EACH_TOOL[:1], indirect=True)
async def test_with_cancel_the_tool_is_ended_with_its_daemon_and_the_migration_starts_again(
    case: Case, client: VExecClient
) -> None:
    tablets = case.tablets
    async with live_table(tablets, "orders", 1_500) as table:
        migration_uuid = await begin(case, client, case.brief)
        async with told_to(tablets, "cancel"):
            await asyncio.to_thread(tablets.primary.terminate)
        assert await asyncio.to_thread(tablets.traces) == []
        await tablets.restart_primary()
        await completes(tablets, table, migration_uuid)


@pytest.mark.parametrize("case", EACH_TOOL[1:], indirect=True)
async def test_with_wait_the_daemon_ends_when_its_migrations_have_and_begins_no_other(
    case: Case, client: VExecClient
) -> None:
    tablets = case.tablets
    async with live_table(tablets, "orders", 4_000) as table:
        running = await client.submit("orders", ADD_COLUMN, case.strategy, options=case.brief)
        waiting = await client.submit("orders", "ALTER TABLE orders ADD KEY (note)", case.strategy)
        await copying(client, running)
        async with told_to(tablets, "wait"):
            tablets.primary.identity.signal(signal.SIGTERM)
            await eventually(
                lambda: f"waiting for migration {running}" in tablets.primary.log_tail()
            )
            assert (await client.migration(running))["migration_status"] == "running"
            await eventually(lambda: not tablets.primary.is_running, what="it ends")
        rows = tablets.servers.primary.query(
            "SELECT migration_uuid, migration_status FROM _vt.schema_migrations"
        )
        states = {str(uuid): str(status) for uuid, status in rows}
        assert (states[running], states[waiting]) == ("complete", "queued")
        await tablets.restart_primary()
        await completes(tablets, table, waiting)
