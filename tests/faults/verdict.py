"""What must hold after a run, whatever happened in it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

import grpc.aio
import pymysql

from tabletd.errors import TabletdError
from tabletd.mysql.pool import Pool
from tabletd.mysql.settings import MySQLSettings
from tabletd.sandbox.book import Book
from tabletd.sandbox.ledger import is_serving
from tabletd.sandbox.servers import LOOPBACK
from tabletd.sandbox.vexec_client import vexec_client
from tabletd.sandbox.workload import verify_table
from tests.faults.general_log import overlapping_runs
from tests.faults.kinds import GONE
from tests.faults.phases import TERMINAL, is_over
from tests.faults.plan import Plan
from tests.faults.processes import ProcessWatch, processes_of
from tests.faults.stage import KEYSPACE, TABLE, Host, Stage

# A statement may wait for a row's lock for 50 s.
SETTLED_SECONDS: Final = 90.0
# One that moves, but begins again and again.
_MOVING_SECONDS_MAX: Final = 300.0
_GONE_SECONDS: Final = 20.0
_CLEAN_SECONDS: Final = 60.0
_SERVES_SECONDS: Final = 60.0
_CATCH_UP_SECONDS: Final = 120.0
_LOOK_SECONDS: Final = 0.25
# gh-ost ends so, and nothing is lost, where a unique value moves across the rows that it copies.
_MOVED_UNIQUE_VALUE: Final = re.compile(
    "because of SQL warnings: .Warning: Duplicate entry|gh-ost met a unique value that moved"
)
# What the log of a run says that the tool itself brought to nothing, whatever else happened.
_CAME_TO_NOTHING: Final = re.compile("# tabletd: gh-ost (?:met a unique value that moved|hung)")
_FORMER_TABLE: Final = re.compile(r"table _(?:orders_old|\w+_del) on \w+")


async def settled(stage: Stage) -> tuple[str, dict[str, Any]]:
    """Wait until the migration has ended, for as long as it moves.

    Returns:
        its status, `gone` where there is no row, or what it stands still in; and its row.
    """
    moved_at = began = time.monotonic()
    missing_since: float | None = None
    seen: tuple[object, ...] = ()
    row: dict[str, Any] = {}
    while True:
        now = time.monotonic()
        try:
            found = await asyncio.to_thread(stage.row)
        except (pymysql.MySQLError, OSError):
            found = row
        if found is None:
            missing_since = missing_since or now
            if now - missing_since > _GONE_SECONDS:
                return GONE, {}
        elif found:
            row, missing_since = found, None
            if is_over(row):
                return str(row["migration_status"]), row
            steps = (row["migration_status"], row["rows_copied"], row.get("stage"), row["retries"])
            if steps != seen:
                seen, moved_at = steps, now
        if now - moved_at > SETTLED_SECONDS or now - began > _MOVING_SECONDS_MAX:
            return f"{row.get('migration_status')}, standing still", row
        await asyncio.sleep(_LOOK_SECONDS)


class Verdict:
    """Everything that is wrong after a run, found by `find`.

    Args:
        stage: where it was.
        plan: what it was.
        book: what the writers saw committed; they have stopped.
        watch: who looked at the processes meanwhile.
        definitions: the table's former one, and what the migration was to make of it.
    """

    def __init__(
        self,
        stage: Stage,
        plan: Plan,
        book: Book,
        watch: ProcessWatch,
        definitions: tuple[str, str],
    ) -> None:
        self._stage = stage
        self._plan = plan
        self._book = book
        self._watch = watch
        self._definitions = definitions
        self.complaints: list[str] = []

    async def find(self, status: str, row: Mapping[str, Any], *, has_begun: bool) -> list[str]:
        """Look at everything.

        Args:
            status: as `settled` says.
            row: the migration's, as it was last seen.
            has_begun: any fault found something to hurt.
        """
        await self._daemons_serve()
        await self._nothing_is_left(status)
        self._the_end_is_one_that_may_be(status, row, has_begun=has_begun)
        await self._both_servers_are_right(status)
        await self._no_two_runs_at_a_time()
        self._the_run_went_on()
        return self.complaints

    def _complain(self, text: str) -> None:
        self.complaints.append(text)

    def _the_end_is_one_that_may_be(
        self, status: str, row: Mapping[str, Any], *, has_begun: bool
    ) -> None:
        message = str(row.get("message") or "")
        kinds = [fault.kind for fault in self._plan.faults]
        possible = {"complete"}.union(*(kind.ends for kind in kinds)) if has_begun else {"complete"}
        if status == "failed" and _MOVED_UNIQUE_VALUE.search(message):
            possible.add(status)
            kinds = []
        if status not in possible:
            self._complain(f"it ended {status}, not {' or '.join(sorted(possible))}: {message}")
        elif status == "failed" and kinds:
            words = [kind.words for kind in kinds if "failed" in kind.ends]
            if not message or not any(re.search(word, message) for word in words):
                self._complain(f"the message does not name what happened: {message!r}")
        if status in TERMINAL and row.get("completed_timestamp") is None:
            self._complain("completed_timestamp is not set")

    async def _both_servers_are_right(self, status: str) -> None:
        try:
            await asyncio.to_thread(self._stage.replica.server.catch_up, _CATCH_UP_SECONDS)
        except (AssertionError, pymysql.MySQLError) as error:
            self._complain(f"replication: {error}")
        former, altered = self._definitions
        wanted = {"complete": {altered}, GONE: {former, altered}}.get(status, {former})
        for host in self._stage.hosts:
            found = await asyncio.to_thread(self._stage.definition, host)
            if found not in wanted:
                name = {former: "the former", altered: "the altered"}.get(found, found)
                self._complain(f"{host.name}: {status}, but the table has {name} definition")
            await self._rows_are_those_of_the_book(host)

    async def _rows_are_those_of_the_book(self, host: Host) -> None:
        pool = Pool(MySQLSettings(unix_socket=host.server.socket), name="Verdict")
        await pool.open()
        try:
            verdict = await verify_table(pool, KEYSPACE, TABLE, self._book)
        except TabletdError as error:
            self._complain(f"{host.name}: the table cannot be read: {error}")
            return
        finally:
            await pool.close()
        if not verdict.holds:
            self._complain(f"{host.name}: {verdict}")

    async def _no_two_runs_at_a_time(self) -> None:
        self.complaints += [f"two tools at once: {text}" for text in self._watch.doubles[:1]]
        for host in self._stage.hosts:
            found = await asyncio.to_thread(overlapping_runs, host.general_log)
            self.complaints += [f"{host.name}: two runs at once: {text}" for text in found]

    def _the_run_went_on(self) -> None:
        if not all(fault.kind.keeps_run for fault in self._plan.faults):
            return
        # The log of each run stays.
        runs = [
            log
            for host in self._stage.hosts
            for log in (host.run_directory / "logs").glob("*")
            if _CAME_TO_NOTHING.search(log.read_text(errors="replace")) is None
        ]
        if len(runs) > 1:
            self._complain(f"{len(runs)} runs were begun: the first was to go on")

    async def _daemons_serve(self) -> None:
        for host in self._stage.hosts:
            if not host.daemon.is_running:
                self._complain(f"the daemon beside {host.name} is not running")
            elif not await _within(_SERVES_SECONDS, partial(_serves, host.daemon.http)):
                self._complain(f"the daemon beside {host.name} does not serve")
        # gRPC itself waits, longer each time, before it tries an address again that was away.
        address = f"{LOOPBACK}:{self._stage.primary.grpc.port}"
        if not await _within(_SERVES_SECONDS, partial(_answers, address)):
            self._complain("a client is not answered")

    async def _nothing_is_left(self, status: str) -> None:
        traces: list[str] = []

        async def is_clean() -> bool:
            traces[:] = await asyncio.to_thread(self._traces)
            # The former table is data. Without a row none says that it may go; and where the clock
            # was set back after the end, its retention of no time is not over for an hour.
            if status == GONE or await asyncio.to_thread(self._ended_in_the_future):
                traces[:] = [text for text in traces if not _FORMER_TABLE.fullmatch(text)]
            return not traces

        # What replication has not brought yet is nobody's leftover; that it comes is seen later.
        with suppress(AssertionError, pymysql.MySQLError):
            await asyncio.to_thread(self._stage.replica.server.catch_up, _CATCH_UP_SECONDS)
        seconds = _CLEAN_SECONDS if status in TERMINAL or status == GONE else 0.0
        if not await _within(seconds, is_clean):
            self._complain(f"left behind: {', '.join(traces)}")

    def _ended_in_the_future(self) -> bool:
        """Say whether the migration's end is ahead of the clock of the server, which counts."""
        found = self._stage.primary.server.query(
            "SELECT COUNT(*) FROM _vt.schema_migrations WHERE completed_timestamp > NOW()"
        )
        return bool(found[0][0])

    def _traces(self) -> list[str]:
        found: list[str] = []
        for host in self._stage.hosts:
            triggers = host.server.query(
                "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = %s",
                (KEYSPACE,),
            )
            tables = host.server.query(
                "SELECT table_name FROM information_schema.tables "
                "WHERE table_schema = %s AND table_name <> %s",
                (KEYSPACE, TABLE),
            )
            accounts = self._stage.account_names(host) - self._stage.accounts
            found += [f"trigger {name} on {host.name}" for (name,) in triggers]
            found += [f"table {name} on {host.name}" for (name,) in tables]
            found += [f"account {name} on {host.name}" for name in sorted(accounts)]
            runs = host.run_directory / "runs"
            if runs.is_dir():
                found += [f"directory {path.name}" for path in sorted(runs.iterdir())]
        found += [
            f"process {' '.join(process.command)[:120]}"
            for process in processes_of(self._stage.directory)
            if process.is_tool or process.is_wrapper
        ]
        row = self._stage.row()
        if row is not None and row["run_nonce"]:
            found.append(f"run_nonce {row['run_nonce']}")
        return found


async def _serves(http: str) -> bool:
    return await asyncio.to_thread(is_serving, http)


async def _answers(address: str) -> bool:
    try:
        async with vexec_client(address, KEYSPACE) as client:
            await client.vexec("SELECT * FROM _vt.schema_migrations")
    except (grpc.aio.AioRpcError, TabletdError):
        return False
    return True


async def _within(seconds: float, condition: Callable[[], Awaitable[bool]]) -> bool:
    """Ask until it holds or the time is over; a server that is away is no answer."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if await condition():
                return True
        except (pymysql.MySQLError, OSError):
            pass
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_LOOK_SECONDS)
