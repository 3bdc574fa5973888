"""Two daemons beside one server, as after an upgrade that forgot the first one."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tabletd.sandbox.accounts import create_daemon_account
from tabletd.sandbox.daemons import Daemon, start_daemon
from tests.support.logs import daemon_logs, tool_log
from tests.support.processes import DIES_WITH_US
from tests.support.servers import RealServer
from tests.support.waiting import PATIENCE_SECONDS, eventually, eventually_blocking

KEYSPACE: Final = "shop"
ALIAS: Final = "zone1-0000000100"
LEASE_SECONDS: Final = 4.0
_SETTINGS: Final = {
    "heartbeat_interval": "250ms",
    "health_check_interval": "1s",
    "lease_duration": f"{LEASE_SECONDS}s",
    "migration_check_interval": "1s",
    "retain_artifacts": "0s",
    "table_gc_lifecycle": "drop",
    "gc_check_interval": "1s",
    "shutdown_grace": "2s",
}


class TwoDaemons:
    """Daemons of one configuration, but for their ports; the schema and keyspace are `shop`.

    Attributes:
        server: the server.
        first: the daemon that was started first; it acts.
        second: the one that waits.
    """

    def __init__(
        self,
        server: RealServer,
        directory: Path,
        *,
        first_settings: Mapping[str, str],
        second_alias: str = ALIAS,
    ) -> None:
        self.server = server
        server.script(f"CREATE DATABASE {KEYSPACE} CHARACTER SET utf8mb4")
        create_daemon_account(server.server, keyspace=KEYSPACE)
        self._run_directory = directory / "run"
        self._common = {**_SETTINGS, "run_directory": str(self._run_directory)}
        self.first = self._start(directory / "first", first_settings, ALIAS)
        eventually_blocking(lambda: variables(self.first)["LeaseHeld"], what="the first one acts")
        self.second = self._start(directory / "second", {}, second_alias)

    def _start(self, directory: Path, settings: Mapping[str, str], alias: str) -> Daemon:
        return start_daemon(
            self.server.server,
            directory,
            alias=alias,
            keyspace=KEYSPACE,
            settings={**self._common, **settings},
            launcher=DIES_WITH_US,
        )

    def stop(self) -> None:
        """End both."""
        for daemon in (self.first, self.second):
            daemon.resume()
            daemon.terminate()

    def logs(self) -> dict[str, str]:
        """Return the ends of both logs, and of what the last tool wrote."""
        logs = daemon_logs({"first": self.first, "second": self.second})
        return {**logs, **tool_log(self._run_directory)}

    def make_table(self, name: str, rows: int) -> None:
        """Make a table of some rows, a power of two."""
        doubling = f"INSERT INTO {name} (note) SELECT note FROM {name}"
        self.server.script(
            f"CREATE TABLE {name} (id INT AUTO_INCREMENT PRIMARY KEY, note VARCHAR(40) NOT NULL)",
            f"INSERT INTO {name} (note) VALUES ('a note')",
            *[doubling] * (rows.bit_length() - 1),
            # Else pt-osc, which asks for an estimate, may copy all of them at once.
            f"ANALYZE TABLE {name}",
            database=KEYSPACE,
        )

    def columns(self, table: str) -> list[str]:
        """Return the names of a table's columns."""
        rows = self.server.query(f"SHOW COLUMNS FROM `{table}`", database=KEYSPACE)
        return [str(row[0]) for row in rows]

    def queue(self) -> list[dict[str, Any]]:
        """Return all rows of the queue."""
        return self.server.records("SELECT * FROM _vt.schema_migrations ORDER BY id")


def variables(daemon: Daemon) -> dict[str, Any]:
    """Return what a daemon shows at /debug/vars; blocks."""
    with urllib.request.urlopen(f"http://{daemon.http}/debug/vars", timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


async def acts(daemon: Daemon, within_seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
    """Wait until a daemon acts for its server; return its variables."""

    async def found() -> dict[str, Any] | None:
        seen = await asyncio.to_thread(variables, daemon)
        return seen if seen["LeaseHeld"] else None

    return await eventually(found, within_seconds, "it acts") or {}


async def waits(daemon: Daemon, within_seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
    """Wait until a daemon knows that another one acts; return its variables."""

    async def found() -> dict[str, Any] | None:
        seen = await asyncio.to_thread(variables, daemon)
        return seen if seen["LeaseHolder"] and not seen["LeaseHeld"] else None

    return await eventually(found, within_seconds, "it waits") or {}
