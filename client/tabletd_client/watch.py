"""A watch over all shards of a keyspace that survives restarts and moved primaries."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import grpc
import grpc.aio

from tabletd_client.connection import Connections
from tabletd_client.convert import watched_migration
from tabletd_client.errors import Reason, TabletdClientError, from_rpc_error
from tabletd_client.models import (
    Changed,
    Disconnected,
    Event,
    Migration,
    Removed,
    UpToDate,
)
from tabletd_client.places import Place, Places
from tabletd_pb import migrations_pb2
from tabletd_pb.migrations_pb2_grpc import MigrationsStub

# The server gives a sign of life every 5 s.
_SILENCE_SECONDS_MAX: Final = 20.0
_PAUSE_SECONDS_MIN: Final = 0.2
_PAUSE_SECONDS_MAX: Final = 5.0
_EVENTS_WAITING_MAX: Final = 256

Show = Callable[[str], Awaitable[Sequence[Migration]]]


@dataclass(frozen=True, slots=True)
class WatchFilter:
    """Which migrations are watched; a migration has to match all that is set."""

    uuids: tuple[str, ...] = ()
    context: str = ""
    pending_only: bool = False


@asynccontextmanager
async def watch_keyspace(
    keyspace: str,
    shards: Sequence[str],
    wanted: WatchFilter,
    *,
    connections: Connections,
    places: Places,
    show: Show,
    timeout_seconds: float,
) -> AsyncGenerator[AsyncIterator[Event]]:
    """Watch shards until the block is left.

    Args:
        keyspace: of the shards.
        shards: what is watched, each over a connection of its own to its primary.
        wanted: which migrations.
        connections: sends the credentials.
        places: finds the primaries, again after each loss.
        show: reads the migrations of a UUID.
        timeout_seconds: for each call but the stream itself.

    Yields:
        the events of all shards, as they come. It raises a `TabletdClientError` when a shard
        refuses for good.
    """
    events: asyncio.Queue[Event | TabletdClientError] = asyncio.Queue(_EVENTS_WAITING_MAX)

    async def stream() -> AsyncIterator[Event]:
        while True:
            event = await events.get()
            if isinstance(event, TabletdClientError):
                raise event
            yield event

    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(
                ShardWatch(
                    keyspace,
                    shard,
                    wanted,
                    connections=connections,
                    places=places,
                    show=show,
                    timeout_seconds=timeout_seconds,
                    tell=events.put,
                ).run(),
                name=f"watch {keyspace}/{shard}",
            )
            for shard in shards
        ]
        try:
            yield stream()
        except Exception as error:  # the group would wrap what the caller's block raised
            failure = error
        finally:
            for task in tasks:
                task.cancel()
    if failure is not None:
        raise failure


class ShardWatch:
    """The watch of one shard; see `watch_keyspace`.

    Args:
        tell: takes each event, and the error that ends the watch.
    """

    def __init__(
        self,
        keyspace: str,
        shard: str,
        wanted: WatchFilter,
        *,
        connections: Connections,
        places: Places,
        show: Show,
        timeout_seconds: float,
        tell: Callable[[Event | TabletdClientError], Awaitable[None]],
    ) -> None:
        self._keyspace = keyspace
        self._shard = shard
        self._wanted = wanted
        self._connections = connections
        self._places = places
        self._show = show
        self._timeout_seconds = timeout_seconds
        self._tell = tell
        self._known: dict[str, Migration] = {}
        # Told of before a reset, and not since.
        self._stale: set[str] = set()
        self._series = ""
        self._sequence = 0
        self._failures = 0

    async def run(self) -> None:
        """Watch; returns when the shard refuses for good."""
        while True:
            try:
                await self._listen()
            except TabletdClientError as error:
                if not error.passing:
                    await self._tell(error)
                    return
                await self._lose(error)
            await asyncio.sleep(self._pause_seconds())

    async def _listen(self) -> None:
        place = await self._places.primary(
            self._keyspace, self._shard, timeout_seconds=self._timeout_seconds
        )
        request = migrations_pb2.WatchRequest(
            uuids=self._wanted.uuids,
            migration_context=self._wanted.context,
            pending_only=self._wanted.pending_only,
            resume_series=self._series,
            resume_after=self._sequence,
        )
        call = MigrationsStub(place.channel).Watch(request, metadata=self._connections.metadata)
        try:
            up_to_date = False
            while True:
                message = await self._read(call, place)
                self._series, self._sequence = message.series, message.sequence
                if message.HasField("up_to_date"):
                    self._failures = 0
                    await self._settle_stale()
                    if not up_to_date:
                        await self._tell(UpToDate(self._keyspace, self._shard))
                    up_to_date = True
                else:
                    await self._take(message)
        finally:
            call.cancel()

    async def _read(
        self,
        call: grpc.aio.UnaryStreamCall[migrations_pb2.WatchRequest, migrations_pb2.WatchResponse],
        place: Place,
    ) -> migrations_pb2.WatchResponse:
        try:
            async with asyncio.timeout(_SILENCE_SECONDS_MAX):
                message = await call.read()
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, place.address) from None
        except TimeoutError:
            raise TabletdClientError(
                Reason.NOT_REACHABLE,
                f"{place.address} was silent for {_SILENCE_SECONDS_MAX:g} s",
            ) from None
        if not isinstance(message, migrations_pb2.WatchResponse):
            raise TabletdClientError(Reason.SHUTTING_DOWN, f"{place.address} ended the stream")
        return message

    async def _take(self, message: migrations_pb2.WatchResponse) -> None:
        if message.HasField("reset"):
            self._stale = set(self._known)
        elif message.HasField("migration"):
            await self._change(watched_migration(message.migration))
        elif message.HasField("removed"):
            await self._remove(message.removed.uuid)

    async def _change(self, migration: Migration) -> None:
        self._stale.discard(migration.uuid)
        if self._known.get(migration.uuid) != migration:
            self._known[migration.uuid] = migration
            await self._tell(Changed(migration))

    async def _remove(self, uuid: str) -> None:
        self._stale.discard(uuid)
        if self._known.pop(uuid, None) is not None:
            await self._tell(Removed(uuid, self._keyspace, self._shard))

    async def _settle_stale(self) -> None:
        """Tell what became of the migrations that a whole state no longer names."""
        for uuid in tuple(self._stale):
            # Whoever asked for pending ones still has to hear of an end during the outage.
            found = await self._show(uuid) if self._wanted.pending_only else ()
            here = [migration for migration in found if migration.shard == self._shard]
            if here:
                await self._change(here[0])
            else:
                await self._remove(uuid)

    async def _lose(self, error: TabletdClientError) -> None:
        if not self._failures:
            await self._tell(Disconnected(self._keyspace, self._shard, error.reason, error.message))
        self._failures += 1

    def _pause_seconds(self) -> float:
        grown = _PAUSE_SECONDS_MIN * 2.0 ** min(self._failures - 1, 10)
        return min(_PAUSE_SECONDS_MAX, grown) * random.uniform(0.8, 1.2)
