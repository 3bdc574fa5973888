"""Drive migrations of one tablet by its VExec call, as an orchestrator of that time would."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import grpc
import grpc.aio

from tabletd.errors import Reason, TabletdError
from tabletd_pb import query_pb2, tabletmanagerdata_pb2, tabletmanagerservice_pb2_grpc

_TABLE: Final = "_vt.schema_migrations"
_CALL_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.1
TERMINAL: Final = frozenset({"complete", "failed", "cancelled"})

Record = dict[str, str | None]
"""One row by column name; each value is the server's own text."""


@dataclass(frozen=True)
class VExecResult:
    """What a VExec call answered: rows of a SELECT, or the count of rows changed."""

    records: list[Record]
    rows_affected: int


def literal(text: str) -> str:
    """Write a text as an SQL string."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def new_migration_uuid() -> str:
    """Make a migration's uuid: version 1, with underscores."""
    return str(uuid.uuid1()).replace("-", "_")


class VExecClient:
    """Submits, watches and commands migrations of one tablet.

    All methods raise `grpc.aio.AioRpcError` with the daemon's status.

    Args:
        channel: to the daemon of a primary.
        keyspace: its keyspace, whose name is that of its schema.
    """

    def __init__(self, channel: grpc.aio.Channel, keyspace: str) -> None:
        self.tablet_manager = tabletmanagerservice_pb2_grpc.TabletManagerStub(channel)
        self._keyspace = keyspace

    async def vexec(self, query: str, *, timeout_seconds: float = _CALL_SECONDS) -> VExecResult:
        """Send one statement on `_vt.schema_migrations`."""
        request = tabletmanagerdata_pb2.VExecRequest(
            query=query, workflow="schema-migration", keyspace=self._keyspace
        )
        response: tabletmanagerdata_pb2.VExecResponse = await self.tablet_manager.VExec(
            request, timeout=timeout_seconds
        )
        return VExecResult(records_of(response.result), response.result.rows_affected)

    async def submit(
        self,
        table: str,
        statement: str,
        strategy: str,
        *,
        options: str = "",
        migration_uuid: str | None = None,
        ddl_action: str = "alter",
    ) -> str:
        """Queue a migration by the v9 template; return its uuid."""
        migration_uuid = migration_uuid or new_migration_uuid()
        values = [
            *(migration_uuid, self._keyspace, "0", self._keyspace, table, statement, strategy),
            *(options, ddl_action),
        ]
        await self.vexec(
            f"INSERT IGNORE INTO {_TABLE} (migration_uuid, keyspace, shard, mysql_schema, "
            "mysql_table, migration_statement, strategy, options, ddl_action, "
            "requested_timestamp, migration_context, migration_status) VALUES ("
            f"{', '.join(map(literal, values))}, FROM_UNIXTIME({int(time.time())}), "
            f"{literal('sandbox:' + migration_uuid)}, 'queued')"
        )
        return migration_uuid

    async def migration(self, migration_uuid: str) -> Record:
        """Read one migration's row.

        Raises:
            TabletdError: MIGRATION_NOT_FOUND.
        """
        found = await self.vexec(
            f"SELECT * FROM {_TABLE} WHERE migration_uuid = {literal(migration_uuid)}"
        )
        if not found.records:
            raise TabletdError(Reason.MIGRATION_NOT_FOUND, f"no migration {migration_uuid}")
        return found.records[0]

    async def watch(
        self, migration_uuid: str, *, until: Collection[str] = TERMINAL
    ) -> AsyncIterator[Record]:
        """Yield the row again and again, last in one of the statuses waited for."""
        while True:
            record = await self.migration(migration_uuid)
            yield record
            if record["migration_status"] in until:
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def wait(
        self,
        migration_uuid: str,
        *,
        until: Collection[str] = TERMINAL,
        within_seconds: float = 120.0,
    ) -> Record:
        """Wait until the migration is in one of the statuses, and return its row.

        Raises:
            TabletdError: TIMEOUT with what the row says, or ILLEGAL_TRANSITION when it ended in
                a status that was not waited for.
        """
        record: Record = {}
        try:
            async with asyncio.timeout(within_seconds):
                async for seen in self.watch(migration_uuid, until={*until, *TERMINAL}):
                    record = seen
        except TimeoutError:
            raise TabletdError(Reason.TIMEOUT, f"waited for {until}; {describe(record)}") from None
        if record["migration_status"] not in until:
            raise TabletdError(Reason.ILLEGAL_TRANSITION, f"waited for {until}; {describe(record)}")
        return record

    async def cancel(self, migration_uuid: str) -> int:
        """Cancel one migration; return how many rows that changed."""
        return await self._command("cancel", f" AND migration_uuid = {literal(migration_uuid)}")

    async def retry(self, migration_uuid: str) -> int:
        """Queue a failed or cancelled migration again; return how many rows that changed."""
        return await self._command("retry", f" AND migration_uuid = {literal(migration_uuid)}")

    async def cancel_all(self) -> int:
        """Cancel every pending migration; return how many rows that changed."""
        return await self._command("cancel-all", "")

    async def _command(self, command: str, condition: str) -> int:
        result = await self.vexec(
            f"UPDATE {_TABLE} SET migration_status = {literal(command)} "
            f"WHERE mysql_schema = {literal(self._keyspace)}{condition}"
        )
        return result.rows_affected


def describe(record: Record) -> str:
    """Say in one line where a migration stands."""
    names = ("migration_status", "stage", "progress", "message", "reason_throttled")
    return ", ".join(f"{name}={record[name]!r}" for name in names if record.get(name))


def records_of(result: query_pb2.QueryResult) -> list[Record]:
    """Turn a result's packed rows into dictionaries of text."""
    names = [field.name for field in result.fields]
    return [_unpack(names, row) for row in result.rows]


def _unpack(names: list[str], row: query_pb2.Row) -> Record:
    record: Record = {}
    start = 0
    for name, length in zip(names, row.lengths, strict=True):
        if length < 0:
            record[name] = None
            continue
        record[name] = row.values[start : start + length].decode(errors="replace")
        start += length
    return record


@asynccontextmanager
async def vexec_client(address: str, keyspace: str) -> AsyncGenerator[VExecClient]:
    """Connect to a daemon's gRPC port for the length of a block."""
    async with grpc.aio.insecure_channel(address) as channel:
        yield VExecClient(channel, keyspace)
