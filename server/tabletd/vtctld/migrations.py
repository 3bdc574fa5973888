"""Migrations of a keyspace: listed over all shards, and controlled on each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, Protocol

from tabletd.errors import Reason, TabletdError
from tabletd.executor.names import is_online_ddl_uuid
from tabletd.topology import TabletPlace, Topology
from tabletd.vtctld.fan_out import FanOut
from tabletd.vtctld.schema_migration import (
    ROWS_MAX,
    Cells,
    Listing,
    merge,
    missing,
    read_listing,
    to_message,
)
from tabletd.vtctld.tablets import TabletClients
from tabletd_pb import query_pb2, tabletmanagerdata_pb2, vtctldata_pb2, vtrpc_pb2

_ROWS_AT_A_TIME: Final = 500
_LISTING: Final = "listing migrations"
EXECUTE_ROWS_MAX: Final = 10  # what vtctld asks for: these statements answer with a count


class Verb(StrEnum):
    """What can be done to migrations; the value is its spelling in the statement."""

    CANCEL = "cancel"
    CLEANUP = "cleanup"
    COMPLETE = "complete"
    FORCE_CUTOVER = "force_cutover"
    LAUNCH = "launch"
    RETRY = "retry"


class OwnRows(Protocol):
    """Reads rows from the server beside this daemon, without a message in between."""

    async def __call__(self, sql: str, rows_max: int, /) -> Sequence[Cells]: ...


class Migrations:
    """Lists and controls.

    Args:
        topology: the shards.
        fan_out: calls their primaries.
        clients: connections to them.
        own_alias: the tablet in this process.
        own_rows: reads from its server.
    """

    def __init__(
        self,
        *,
        topology: Topology,
        fan_out: FanOut,
        clients: TabletClients,
        own_alias: str = "",
        own_rows: OwnRows | None = None,
    ) -> None:
        self._topology = topology
        self._fan_out = fan_out
        self._clients = clients
        self._own_alias = own_alias
        self._own_rows = own_rows

    async def command(
        self, verb: Verb, keyspace: str, uuid: str, caller: vtrpc_pb2.CallerID | None = None
    ) -> dict[str, int]:
        """Do something to one migration, or to all that it can be done to.

        Args:
            verb: what.
            keyspace: whose shards.
            uuid: a migration, or `all` in any case.
            caller: in whose name.

        Returns:
            migrations affected, by shard; a shard without any has 0.

        Raises:
            TabletdError: INVALID_REQUEST for what is no UUID; what the tablets say, by shard.
        """
        sql = command_statement(verb, uuid)
        return await self.on_primaries(sql, keyspace, what=f"{verb} of {uuid}", caller=caller)

    async def on_primaries(
        self, sql: str, keyspace: str, *, what: str, caller: vtrpc_pb2.CallerID | None = None
    ) -> dict[str, int]:
        """Run a statement on every shard's primary as a query of the tablet.

        Returns:
            rows affected, by shard.

        Raises:
            TabletdError: TOPOLOGY_NOT_FOUND, NO_PRIMARY; what the tablets say, by shard.
        """
        request = tabletmanagerdata_pb2.ExecuteQueryRequest(
            query=sql.encode(), max_rows=EXECUTE_ROWS_MAX, caller_id=caller
        )

        async def run(tablet: TabletPlace) -> int:
            answer = await self._clients.call(
                tablet, lambda stub: stub.manager.ExecuteQuery, request
            )
            return answer.result.rows_affected

        outcome = await self._fan_out.each(await self._fan_out.primaries(keyspace), run)
        return dict(outcome.all_or_raise(what))

    async def listing(
        self, request: vtctldata_pb2.GetSchemaMigrationsRequest
    ) -> list[vtctldata_pb2.SchemaMigration]:
        """Return the migrations that are asked for, ordered and limited over all shards.

        A keyspace that does not exist has none, as in Vitess.

        Raises:
            TabletdError: INVALID_REQUEST; NO_PRIMARY; RESULT_TOO_LARGE for more than 10,000 rows
                of a shard; what the tablets say, by shard.
        """
        listing = read_listing(request)
        if request.keyspace not in self._topology.layout.keyspaces:
            return []
        primaries = await self._fan_out.primaries(request.keyspace)

        async def read(tablet: TabletPlace) -> Sequence[Cells]:
            return await self._rows(tablet, listing.select)

        outcome = await self._fan_out.each(primaries, read)
        rows = await self._completed(outcome.all_or_raise(_LISTING), listing, primaries)
        messages: list[vtctldata_pb2.SchemaMigration] = []
        for number, (shard, cells) in enumerate(merge(rows, listing), 1):
            messages.append(to_message(cells, primaries[shard]))
            if number % _ROWS_AT_A_TIME == 0:
                await asyncio.sleep(0)  # heartbeats do not wait for a long history
        return messages

    async def _completed(
        self,
        rows: Mapping[str, Sequence[Cells]],
        listing: Listing,
        primaries: Mapping[str, TabletPlace],
    ) -> Mapping[str, Sequence[Cells]]:
        """Add the rows of the answer's migrations that a shard was not asked for by its order."""
        lacking = missing(rows, listing)
        if not lacking:
            return rows

        async def read(tablet: TabletPlace) -> Sequence[Cells]:
            return await self._rows(tablet, listing.select_also(lacking[tablet.shard]))

        outcome = await self._fan_out.each({shard: primaries[shard] for shard in lacking}, read)
        more = outcome.all_or_raise(_LISTING)
        return {shard: [*found, *more.get(shard, ())] for shard, found in rows.items()}

    async def _rows(self, tablet: TabletPlace, sql: str) -> Sequence[Cells]:
        if self._own_rows is not None and tablet.alias == self._own_alias:
            return await self._own_rows(sql, ROWS_MAX)
        request = tabletmanagerdata_pb2.ExecuteFetchAsDbaRequest(
            query=sql.encode(), max_rows=ROWS_MAX
        )
        answer = await self._clients.call(
            tablet, lambda stub: stub.manager.ExecuteFetchAsDba, request
        )
        return [row_cells(row) for row in answer.result.rows]


def command_statement(verb: Verb, uuid: str) -> str:
    """Return the statement for a verb.

    Raises:
        TabletdError: INVALID_REQUEST. Text: Vitess.
    """
    if uuid.lower() == "all" and verb is not Verb.RETRY:
        return f"alter vitess_migration {verb} all"
    if not is_online_ddl_uuid(uuid.lower()):
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"Not a valid migration ID in {verb.upper()}: {uuid[:100]}",
            hint="a UUID of hexadecimal digits with underscores: 8_4_4_4_12"
            + ("" if verb is Verb.RETRY else ", or `all`"),
        )
    return f"alter vitess_migration '{uuid.lower()}' {verb}"


def row_cells(row: query_pb2.Row) -> Cells:
    """Return the cells of a row; None is NULL."""
    cells: list[bytes | None] = []
    values, position = row.values, 0
    for length in row.lengths:
        if length < 0:
            cells.append(None)
        else:
            cells.append(values[position : position + length])
            position += length
    return cells
