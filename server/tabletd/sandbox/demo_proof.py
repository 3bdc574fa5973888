"""The proof at the demo's end: the change is there, no row is wrong, nothing is left over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from tabletd.mysql.pool import Pool
from tabletd.mysql.settings import MySQLSettings
from tabletd.sandbox.book import Book
from tabletd.sandbox.sandbox import Sandbox, stray_processes
from tabletd.sandbox.servers import Server
from tabletd.sandbox.workload import verify_table

_CLEANED_UP_WITHIN_SECONDS: Final = 20.0
_CAUGHT_UP_WITHIN_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: what has to hold.
        holds: whether it does.
        details: what was found.
    """

    what: str
    holds: bool
    details: str


@dataclass(frozen=True)
class Expectation:
    """What a pair has to look like after its migration.

    Attributes:
        table: the migrated table.
        column: the column that the migration added.
        book: what the writers saw committed.
        accounts: the primary's accounts before the migration.
    """

    table: str
    column: str
    book: Book
    accounts: frozenset[str]


def account_names(server: Server) -> frozenset[str]:
    """Return every account of a server."""
    return frozenset(server.sql("SELECT CONCAT(user, '@', host) FROM mysql.user").splitlines())


async def prove(
    sandbox: Sandbox, expected: Expectation, on_read: Callable[[str, int], None]
) -> list[Finding]:
    """Look at everything that has to hold; the writers have stopped.

    Args:
        sandbox: where.
        expected: what has to be there.
        on_read: told the role of the server and how many of its rows were read.
    """
    primary, replica = sandbox.primary.server, sandbox.replicas[0].server
    caught_up = await _within(
        _CAUGHT_UP_WITHIN_SECONDS, lambda: [] if _executed(replica) == _executed(primary) else ["-"]
    )
    findings = [_column_is_there(sandbox, expected)]
    findings.append(await _table_equals_book(sandbox, primary, expected, "primary", on_read))
    if caught_up:
        findings.append(Finding("the replica has every transaction", False, _executed(replica)))
    else:
        findings.append(await _table_equals_book(sandbox, replica, expected, "replica", on_read))
    for what, look in _leftovers(sandbox, expected).items():
        found = await _within(_CLEANED_UP_WITHIN_SECONDS, look)
        findings.append(Finding(f"no {what} left", not found, ", ".join(found) or "none"))
    return findings


def _column_is_there(sandbox: Sandbox, expected: Expectation) -> Finding:
    columns = sandbox.primary.server.sql(
        "SELECT column_name FROM information_schema.columns WHERE "
        f"table_schema = '{sandbox.keyspace}' AND table_name = '{expected.table}' "
        "ORDER BY ordinal_position"
    ).splitlines()
    holds = expected.column in columns
    return Finding(f"column {expected.column} is there", holds, f"columns {', '.join(columns)}")


async def _table_equals_book(
    sandbox: Sandbox,
    server: Server,
    expected: Expectation,
    role: str,
    on_read: Callable[[str, int], None],
) -> Finding:
    pool = Pool(MySQLSettings(unix_socket=str(server.socket)), name=f"demo proof {role}")
    await pool.open()
    try:
        verdict = await verify_table(
            pool, sandbox.keyspace, expected.table, expected.book, partial(on_read, role)
        )
    finally:
        await pool.close()
    return Finding(f"every row on the {role} is what was committed", verdict.holds, str(verdict))


def _leftovers(sandbox: Sandbox, expected: Expectation) -> dict[str, Callable[[], list[str]]]:
    server, schema = sandbox.primary.server, sandbox.keyspace
    runs = sandbox.primary.daemon.run_directory / "runs"

    def triggers() -> list[str]:
        return server.sql(
            "SELECT trigger_name FROM information_schema.triggers "
            f"WHERE trigger_schema = '{schema}'"
        ).splitlines()

    def tables() -> list[str]:
        return server.sql(
            "SELECT table_name FROM information_schema.tables "
            f"WHERE table_schema = '{schema}' AND table_name <> '{expected.table}'"
        ).splitlines()

    def accounts() -> list[str]:
        return sorted(account_names(server) - expected.accounts)

    def directories() -> list[str]:
        return sorted(path.name for path in runs.iterdir()) if runs.is_dir() else []

    def processes() -> list[str]:
        return stray_processes(sandbox)

    return {
        "trigger": triggers,
        "other table": tables,
        "account": accounts,
        "directory": directories,
        "process": processes,
    }


async def _within(seconds: float, look: Callable[[], list[str]]) -> list[str]:
    """Look until nothing is found or the time is over; return what was found last."""
    deadline = time.monotonic() + seconds
    while True:
        found = await asyncio.to_thread(look)
        if not found or time.monotonic() > deadline:
            return found
        await asyncio.sleep(_POLL_SECONDS)


def _executed(server: Server) -> str:
    variable = "gtid_current_pos" if server.release.is_mariadb else "gtid_executed"
    return server.sql(f"SELECT @@global.{variable}")
