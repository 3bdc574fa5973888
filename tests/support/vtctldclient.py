"""Vitess's own client, as its users run it: a command, its output and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import grpc

from tabletd.sandbox.releases import tools_directory
from tabletd_pb import vtctldata_pb2 as pb
from tabletd_pb.vtctlservice_pb2_grpc import VtctldStub
from tests.support.two_shards import KEYSPACE, SHARDS
from tests.support.waiting import PATIENCE_SECONDS, eventually_blocking

VERSIONS: Final = ("0.21", "0.23")
_ENDED: Final = frozenset({"COMPLETE", "FAILED", "CANCELLED"})
_LONGEST_SECONDS: Final = 60
_Migrations = list[pb.SchemaMigration]


def program(version: str) -> Path:
    """Return where `scripts/setup.sh` puts a release of the client."""
    return tools_directory() / f"vtctldclient-{version}.0" / "vtctldclient"


def missing_program(version: str) -> str:
    """Return why a release cannot be run here, '' when it can."""
    if os.access(program(version), os.X_OK):
        return ""
    return f"no vtctldclient {version}: run scripts/setup.sh vtctldclient-{version}"


@dataclass(frozen=True)
class Answer:
    """What one run of the client left.

    Attributes:
        code: its exit code.
        output: what it printed.
        error: what it printed to stderr.
    """

    code: int
    output: str
    error: str


class VtctldClient:
    """One release of the client that calls one vtctld; every method blocks.

    Args:
        version: "0.21" or "0.23".
        server: host and port of the vtctld.
        directory: where it may leave its logs.
        flags: for every command, such as those for TLS.
    """

    def __init__(
        self, version: str, server: str, directory: Path, *, flags: Sequence[str] = ()
    ) -> None:
        self.version = version
        self._server = server
        self._command = [str(program(version)), "--server", server, *flags]
        self._environment = {**os.environ, "TMPDIR": str(directory)}

    def try_run(self, *arguments: str) -> Answer:
        """Run a command, whatever its exit code."""
        done = subprocess.run(
            [*self._command, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=_LONGEST_SECONDS,
            env=self._environment,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def run(self, *arguments: str) -> str:
        """Run a command that must succeed; return what it printed."""
        answer = self.try_run(*arguments)
        assert answer.code == 0, answer
        return answer.output

    def refused(self, *arguments: str) -> str:
        """Run a command that must fail; return what it printed to stderr."""
        answer = self.try_run(*arguments)
        assert answer.code == 1, answer
        return answer.error

    def apply(self, *sql: str, strategy: str = "direct", context: str = "") -> list[str]:
        """Apply statements; return the uuids that were printed."""
        return self.run(*apply_arguments(*sql, strategy=strategy, context=context)).split()

    def submit(self, sql: str, strategy: str, context: str = "") -> str:
        """Submit one migration; return its uuid."""
        (uuid,) = self.apply(sql, strategy=strategy, context=context)
        return uuid

    def verb(self, verb: str, uuid: str = "all") -> dict[str, str]:
        """Run a subcommand of OnlineDDL; return the affected rows by shard, as printed."""
        affected: dict[str, str] = json.loads(self.run("OnlineDDL", verb, KEYSPACE, uuid))[
            "rows_affected_by_shard"
        ]
        return affected

    def show(self, what: str = "all", *flags: str) -> list[dict[str, Any]]:
        """Return the migrations that `show --json` prints."""
        rows: list[dict[str, Any]] = json.loads(
            self.run("OnlineDDL", "show", "--json", *flags, KEYSPACE, what)
        )["migrations"]
        return rows

    def show_table(self, what: str = "all", *flags: str) -> list[dict[str, str]]:
        """Return the rows of the table that `show` prints, by the names in its head."""
        printed = self.run("OnlineDDL", "show", *flags, KEYSPACE, what)
        cells = [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in printed.splitlines()
            if line.startswith("|")
        ]
        head, *lines = cells or [[]]
        rows: list[dict[str, str]] = []
        for line in lines:
            row = dict(zip(head, line, strict=True))
            if row["migration_uuid"]:
                rows.append(row)
            else:
                # Long texts go on in the next line of their column.
                for name, more in row.items():
                    rows[-1][name] = f"{rows[-1][name]} {more}".rstrip()
        return rows

    def statuses(self, uuid: str) -> list[str]:
        """Return the status of a migration on each shard."""
        return [row["status"] for row in self.show(uuid)]

    def wait(self, uuid: str, status: str) -> list[dict[str, Any]]:
        """Wait until a migration has a status on both shards; return its rows in their order.

        Raises:
            AssertionError: it has not, or it has ended otherwise.
        """
        wanted = pb.SchemaMigration.Status.Value(status)

        def is_there(rows: _Migrations) -> bool:
            seen = {row.status for row in rows}
            return seen == {wanted} or bool({*map(pb.SchemaMigration.Status.Name, seen)} & _ENDED)

        def is_over(rows: _Migrations) -> bool:
            return all(pb.SchemaMigration.Status.Name(row.status) in _ENDED for row in rows)

        self._eventually(uuid, is_over if status in _ENDED else is_there, status)
        rows = sorted(self.show(uuid), key=lambda row: str(row["shard"]))
        assert [row["status"] for row in rows] == [status] * len(SHARDS), rows
        return rows

    def wait_until_ready(self, uuid: str) -> None:
        """Wait until both shards could complete a migration."""
        self._eventually(uuid, lambda rows: all(row.ready_to_complete for row in rows), "ready")
        assert all(row["ready_to_complete"] for row in self.show(uuid))

    def _eventually(self, uuid: str, condition: Callable[[_Migrations], bool], what: str) -> None:
        """Ask without the program, whose start takes its time from what is looked at."""
        request = pb.GetSchemaMigrationsRequest(keyspace=KEYSPACE, uuid=uuid)
        with grpc.insecure_channel(self._server) as channel:
            stub = cast(Any, VtctldStub)(channel)

            def is_so() -> bool:
                rows = list(stub.GetSchemaMigrations(request, timeout=PATIENCE_SECONDS).migrations)
                return len(rows) == len(SHARDS) and condition(rows)

            eventually_blocking(is_so, what=f"{uuid} is {what}")


def apply_arguments(*sql: str, strategy: str, context: str = "") -> list[str]:
    """Return the arguments that submit statements."""
    return [
        "ApplySchema",
        f"--ddl-strategy={strategy}",
        *(["--migration-context", context] if context else []),
        *(argument for statement in sql for argument in ("--sql", statement)),
        KEYSPACE,
    ]


def on_each_shard(affected: int) -> dict[str, str]:
    """Return what a subcommand prints when it affected so many rows on each shard."""
    return dict.fromkeys(SHARDS, str(affected))
