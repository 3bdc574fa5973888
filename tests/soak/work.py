"""Small migrations, and clients that come and go."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any, Final, cast

import grpc.aio

from tabletd.sandbox.daemons import Daemon
from tabletd.sandbox.vexec_client import vexec_client
from tabletd_pb import migrations_pb2 as pb
from tabletd_pb import migrations_pb2_grpc

# Else all channels of a process to one address share a connection.
_OWN_CONNECTION: Final = (("grpc.use_local_subchannel_pool", 1),)


async def one_round(daemon: Daemon, keyspace: str, table: str, *, clients: int) -> int:
    """Create a table, alter it with pt-osc and drop it, while clients watch and poll.

    Returns:
        how many migrations were carried out.

    Raises:
        TabletdError: a migration did not end as it should.
    """
    async with asyncio.TaskGroup() as group:
        watchers = [group.create_task(_watch_and_poll(daemon, keyspace)) for _ in range(clients)]
        async with vexec_client(daemon.grpc, keyspace) as client:
            for action, statement, strategy in (
                ("create", f"CREATE TABLE {table} (id INT PRIMARY KEY)", "direct"),
                ("alter", f"ALTER TABLE {table} ADD COLUMN note VARCHAR(20)", "pt-osc"),
                ("drop", f"DROP TABLE {table}", "direct"),
            ):
                uuid = await client.submit(table, statement, strategy, ddl_action=action)
                await client.wait(uuid, until={"complete"}, within_seconds=120)
        for watcher in watchers:
            watcher.cancel()
    # A cancelled stream is part of a cycle that holds its connection open until it is collected.
    gc.collect()
    return 3


async def _watch_and_poll(daemon: Daemon, keyspace: str) -> None:
    """Follow the stream and ask once a second, each client on a connection of its own."""
    async with (
        grpc.aio.insecure_channel(daemon.grpc, options=_OWN_CONNECTION) as channel,
        vexec_client(daemon.grpc, keyspace) as client,
    ):
        stub = cast(Any, migrations_pb2_grpc.MigrationsStub)(channel)
        stream = cast("AsyncIterator[pb.WatchResponse]", stub.Watch(pb.WatchRequest()))

        async def poll() -> None:
            while True:
                await client.vexec("SELECT * FROM _vt.schema_migrations WHERE id < 10")
                await asyncio.sleep(1)

        async with asyncio.TaskGroup() as group:
            group.create_task(poll())
            async for _ in stream:
                pass
