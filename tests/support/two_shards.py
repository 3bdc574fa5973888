"""Two shards, each one MariaDB with a daemon beside it, that know each other by a topology file."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc.aio

from tabletd.mysql.privileges import Feature
from tabletd.sandbox.accounts import create_daemon_account
from tabletd.sandbox.daemons import Daemon, restart_daemon, start_daemon
from tabletd.sandbox.ledger import is_serving
from tabletd.sandbox.servers import free_ports
from tabletd.sandbox.topology_file import TopologyEntry, write_topology
from tabletd_pb import vtctldata_pb2 as pb
from tabletd_pb.vtctlservice_pb2_grpc import VtctldStub
from tests.support.logs import daemon_logs
from tests.support.processes import DIES_WITH_US
from tests.support.servers import RealServer
from tests.support.waiting import PATIENCE_SECONDS, eventually, eventually_blocking

KEYSPACE: Final = "shop"
SHARDS: Final = ("-80", "80-")
_SETTINGS: Final = {
    "heartbeat_interval": "250ms",
    "health_check_interval": "1s",
    "retain_artifacts": "0s",
    "table_gc_lifecycle": "drop",
    "gc_check_interval": "1s",
    "shutdown_grace": "2s",
    "on_stop": "cancel",
}
_FINISHED: Final = frozenset(
    {pb.SchemaMigration.COMPLETE, pb.SchemaMigration.FAILED, pb.SchemaMigration.CANCELLED}
)


class TwoShards:
    """Two servers and their daemons; every method blocks.

    Args:
        servers: for the two shards.
        directory: of the daemons.
        also: what the daemons' account may do that is not usual.

    Attributes:
        servers: by shard.
        daemons: by shard.
        topology: the file that the daemons know each other by.
    """

    def __init__(
        self,
        servers: tuple[RealServer, RealServer],
        directory: Path,
        *,
        also: Collection[Feature] = (),
    ) -> None:
        self.servers = dict(zip(SHARDS, servers, strict=True))
        self.topology = directory / "topology.toml"
        numbers = free_ports(4)
        ports = {shard: (numbers[2 * n], numbers[2 * n + 1]) for n, shard in enumerate(SHARDS)}
        aliases = {shard: f"zone1-{100 * n:010d}" for n, shard in enumerate(SHARDS, 1)}
        for server in servers:
            server.reset()
            server.script(f"CREATE DATABASE {KEYSPACE} CHARACTER SET utf8mb4")
            create_daemon_account(server.server, keyspace=KEYSPACE, also=also)
        write_topology(
            self.topology,
            KEYSPACE,
            [
                TopologyEntry(aliases[shard], shard, *ports[shard], self.servers[shard].port)
                for shard in SHARDS
            ],
        )
        self.daemons: dict[str, Daemon] = {
            shard: start_daemon(
                self.servers[shard].server,
                directory / aliases[shard],
                alias=aliases[shard],
                keyspace=KEYSPACE,
                shard=shard,
                settings={**_SETTINGS, "topology_file": str(self.topology)},
                launcher=DIES_WITH_US,
                ports=ports[shard],
            )
            for shard in SHARDS
        }
        self.wait_until_serving()

    def wait_until_serving(self) -> None:
        """Wait until both tablets serve."""
        for daemon in self.daemons.values():
            eventually_blocking(partial(is_serving, daemon.http), what="tablets serve")

    def restart(self, shard: str) -> None:
        """Start the daemon of a shard again."""
        self.daemons[shard] = restart_daemon(self.daemons[shard])
        self.wait_until_serving()

    def script(self, *statements: str) -> None:
        """Run statements on both servers."""
        for server in self.servers.values():
            server.script(*statements, database=KEYSPACE)

    def columns(self, table: str) -> list[set[str]]:
        """Return the names of a table's columns on each shard."""
        sql = (
            "SELECT column_name FROM information_schema.columns "
            "WHERE table_schema = %s AND table_name = %s"
        )
        return [
            {str(name) for (name,) in server.query(sql, (KEYSPACE, table))}
            for server in self.servers.values()
        ]

    def logs(self) -> dict[str, str]:
        """Return the ends of the daemons' logs, and of what their last tools wrote."""
        return daemon_logs(self.daemons)

    def stop(self) -> None:
        """End both daemons."""
        for daemon in self.daemons.values():
            daemon.terminate()


class Client:
    """Calls the vtctld of one daemon.

    Attributes:
        stub: its methods.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.stub = VtctldStub(channel)

    async def apply(self, *sql: str, strategy: str = "direct", **fields: Any) -> list[str]:
        """Apply statements; return the migrations' uuids."""
        request = pb.ApplySchemaRequest(keyspace=KEYSPACE, sql=sql, ddl_strategy=strategy, **fields)
        return list((await self.stub.ApplySchema(request)).uuid_list)

    async def migrations(self, **filters: Any) -> list[pb.SchemaMigration]:
        """List migrations."""
        request = pb.GetSchemaMigrationsRequest(keyspace=KEYSPACE, **filters)
        return list((await self.stub.GetSchemaMigrations(request)).migrations)

    async def ended(
        self, uuid: str, within_seconds: float = PATIENCE_SECONDS
    ) -> list[pb.SchemaMigration]:
        """Wait until a migration has ended on both shards."""

        async def found() -> list[pb.SchemaMigration]:
            rows = await self.migrations(uuid=uuid)
            both = len(rows) == len(SHARDS)
            return rows if both and all(row.status in _FINISHED for row in rows) else []

        return await eventually(found, within_seconds, f"{uuid} ends")

    async def completed(
        self, uuid: str, within_seconds: float = PATIENCE_SECONDS
    ) -> list[pb.SchemaMigration]:
        """Wait until a migration is complete on both shards.

        Raises:
            AssertionError: it ended otherwise.
        """
        rows = await self.ended(uuid, within_seconds)
        assert {row.status for row in rows} == {pb.SchemaMigration.COMPLETE}, rows
        return rows
