"""The asynchronous client."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Final, Protocol, Self

from tabletd_client.arguments import (
    ALL,
    at_once,
    checked_uuid,
    not_found,
    shards_clause,
    to_duration,
    uuid_or_all,
)
from tabletd_client.connection import (
    Connections,
    Method,
    PasswordCredentials,
    RequestT,
    ResponseT,
    TlsOptions,
)
from tabletd_client.convert import from_status, listed_migration, to_plan
from tabletd_client.lag import tablet_lag
from tabletd_client.leftovers import TabletLeftovers, tablet_leftovers
from tabletd_client.logs import read_log
from tabletd_client.models import (
    Affected,
    Changed,
    Event,
    Migration,
    MigrationLog,
    Order,
    Plan,
    Removed,
    Status,
    Submission,
    Tablet,
    TabletLag,
)
from tabletd_client.places import Places
from tabletd_client.watch import WatchFilter, watch_keyspace
from tabletd_pb import migrations_pb2, topodata_pb2, vtctldata_pb2, vtrpc_pb2, vttime_pb2
from tabletd_pb.migrations_pb2_grpc import MigrationsStub
from tabletd_pb.vtctlservice_pb2_grpc import VtctldStub

# A direct change runs within the call.
_APPLY_SECONDS: Final = 3600.0
# Each leftover may wait some seconds for a table's lock.
_FIX_SECONDS: Final = 600.0
_ALL_APPS: Final = "online-ddl"
_ORDERS: Final[Mapping[Order, vtctldata_pb2.QueryOrdering.ValueType]] = {
    Order.ASCENDING: vtctldata_pb2.ASCENDING,
    Order.DESCENDING: vtctldata_pb2.DESCENDING,
}


class _RowsAffected(Protocol):
    @property
    def rows_affected_by_shard(self) -> Mapping[str, int]: ...


def _by_shard(response: _RowsAffected) -> dict[str, int]:
    """Return the counts in the order of shards; a map of protobuf has none."""
    return dict(sorted(response.rows_affected_by_shard.items()))


def connect(
    address: str,
    *,
    tls: TlsOptions | None = None,
    credentials: PasswordCredentials | None = None,
    caller: str = "",
    timeout_seconds: float = 30.0,
) -> Client:
    """Make a client of the daemon at an address, for `async with`.

    Nothing is sent before the first call.

    Args:
        address: `host:port` of the gRPC port of any tablet: each knows the others.
        tls: None: plain text.
        credentials: None: none are sent.
        caller: in whose name, for the server's log.
        timeout_seconds: how long each call may take that is not given a time of its own.
    """
    return Client(
        address, tls=tls, credentials=credentials, caller=caller, timeout_seconds=timeout_seconds
    )


class Client:
    """Submits, watches and steers schema migrations; see `connect`.

    Every method raises a `TabletdClientError`: NOT_REACHABLE and TIMEOUT when there was no answer,
    else the server's own reason. `all` may stand for a UUID where a method says so.
    """

    def __init__(
        self,
        address: str,
        *,
        tls: TlsOptions | None = None,
        credentials: PasswordCredentials | None = None,
        caller: str = "",
        timeout_seconds: float = 30.0,
    ) -> None:
        self.address = address
        self._connections = Connections(tls, credentials)
        self._places = Places(self._connections, address)
        self._caller = vtrpc_pb2.CallerID(principal=caller) if caller else None
        self._timeout_seconds = timeout_seconds

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._connections.close()

    async def keyspaces(self) -> list[str]:
        """Return the names of the keyspaces."""
        response = await self._call(self._vtctld.GetKeyspaces, vtctldata_pb2.GetKeyspacesRequest())
        return [keyspace.name for keyspace in response.keyspaces]

    async def tablets(self, keyspace: str = "") -> list[Tablet]:
        """Return the tablets of a keyspace, or all, in the order of their aliases."""
        return await self._places.tablets(keyspace, timeout_seconds=self._timeout_seconds)

    async def lag(
        self, keyspace: str = "", *, with_history: bool = False, timeout_seconds: float = 5.0
    ) -> list[TabletLag]:
        """Return what each tablet says of its lag; one that is silent says why in `error`.

        Args:
            keyspace: empty: of all.
            with_history: that of the last minutes as well.
            timeout_seconds: how long a tablet may take to say it.
        """

        async def ask(tablet: Tablet) -> TabletLag:
            place, metadata = self._places.place(tablet), self._connections.metadata
            return await tablet_lag(place, with_history, metadata, timeout_seconds)

        return await at_once(ask, await self.tablets(keyspace))

    async def apply(
        self,
        keyspace: str,
        statements: str | Sequence[str],
        *,
        strategy: str = "direct",
        context: str = "",
        uuids: Sequence[str] = (),
        timeout_seconds: float = _APPLY_SECONDS,
    ) -> Submission:
        """Submit schema changes to every shard.

        Args:
            keyspace: where.
            statements: one, or several; one statement each.
            strategy: and its options: `gh-ost --postpone-completion`. `direct` runs it at once,
                within the call.
            context: a name for the group; empty: the server makes one.
            uuids: one for each statement; empty: the server makes them. Submitting the same UUID
                and context again is a retry.
            timeout_seconds: for the whole call.
        """
        request = vtctldata_pb2.ApplySchemaRequest(
            keyspace=keyspace,
            sql=[statements] if isinstance(statements, str) else statements,
            ddl_strategy=strategy,
            uuid_list=[checked_uuid(uuid) for uuid in uuids],
            migration_context=context,
            caller_id=self._caller,
        )
        response = await self._call(self._vtctld.ApplySchema, request, timeout_seconds)
        return Submission(keyspace, tuple(response.uuid_list), _by_shard(response))

    async def revert(
        self, keyspace: str, uuid: str, *, strategy: str = "mysql", context: str = ""
    ) -> Submission:
        """Submit a migration that undoes another one.

        Args:
            keyspace: where.
            uuid: what is undone.
            strategy: and its options.
            context: a name for the group; empty: the server makes one.
        """
        statement = f"REVERT VITESS_MIGRATION '{checked_uuid(uuid)}'"
        return await self.apply(keyspace, statement, strategy=strategy, context=context)

    async def show(
        self,
        keyspace: str,
        *,
        uuid: str = "",
        context: str = "",
        status: Status | None = None,
        recent: timedelta | None = None,
        order: Order = Order.ASCENDING,
        limit: int = 0,
        skip: int = 0,
    ) -> list[Migration]:
        """Return migrations, one for each shard.

        Args:
            keyspace: where.
            uuid: only this one; of the four filters only the first that is set counts.
            context: only those of this group.
            status: only those that stand there.
            recent: only those submitted within this time.
            order: by the time of submission.
            limit: how many at most; 0: all.
            skip: how many to pass over first; only with a limit.
        """
        request = vtctldata_pb2.GetSchemaMigrationsRequest(
            keyspace=keyspace,
            uuid=checked_uuid(uuid) if uuid else "",
            migration_context=context,
            status=from_status(status) if status else vtctldata_pb2.SchemaMigration.UNKNOWN,
            recent=to_duration(recent) if recent else None,
            order=_ORDERS[order],
            limit=limit,
            skip=skip,
        )
        response = await self._call(self._vtctld.GetSchemaMigrations, request)
        return [listed_migration(migration) for migration in response.migrations]

    def watch(
        self,
        keyspace: str,
        *,
        uuids: Sequence[str] = (),
        context: str = "",
        pending_only: bool = False,
    ) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Watch migrations: `async with client.watch(...) as events: async for event in events`.

        The state of each migration comes at once, then every change. The watch goes on over
        restarts of daemons and when a shard's primary moves; `Disconnected` says so, and nothing is
        told twice.

        Args:
            keyspace: where.
            uuids: only these; empty: all.
            context: only those of this group; empty: of all.
            pending_only: only those that have not ended; an end is still told.
        """
        wanted = WatchFilter(tuple(checked_uuid(uuid) for uuid in uuids), context, pending_only)
        return self._watch(keyspace, wanted)

    async def wait(self, keyspace: str, uuids: Sequence[str]) -> list[Migration]:
        """Wait until migrations have ended on every shard, and return how.

        It waits as long as that takes: a caller who has less time uses `asyncio.timeout`.

        Args:
            keyspace: where.
            uuids: of the migrations.

        Raises:
            TabletdClientError: MIGRATION_NOT_FOUND, also when a row is removed meanwhile; ...
        """
        states: dict[tuple[str, str], Migration] = {}
        for uuid in uuids:
            found = await self.show(keyspace, uuid=uuid)
            if not found:
                raise not_found(uuid)
            states.update(((one.uuid, one.shard), one) for one in found)
        async with self.watch(keyspace, uuids=uuids) as events:
            while not all(one.ended for one in states.values()):
                event = await anext(events)
                if isinstance(event, Changed):
                    states[event.migration.uuid, event.migration.shard] = event.migration
                elif isinstance(event, Removed):
                    raise not_found(event.uuid)
        return list(states.values())

    async def cancel(self, keyspace: str, uuid: str) -> Affected:
        """End a migration, or `all` pending ones."""
        request = vtctldata_pb2.CancelSchemaMigrationRequest(
            keyspace=keyspace, uuid=uuid_or_all(uuid), caller_id=self._caller
        )
        return await self._steer(self._vtctld.CancelSchemaMigration, request)

    async def retry(self, keyspace: str, uuid: str) -> Affected:
        """Put a failed or cancelled migration into the queue again."""
        request = vtctldata_pb2.RetrySchemaMigrationRequest(
            keyspace=keyspace, uuid=checked_uuid(uuid), caller_id=self._caller
        )
        return await self._steer(self._vtctld.RetrySchemaMigration, request)

    async def launch(self, keyspace: str, uuid: str, *, shards: Sequence[str] = ()) -> Affected:
        """Let a migration start, or `all`, that is held before its start.

        Args:
            keyspace: where.
            uuid: which.
            shards: only there; empty: everywhere. Not with `all`.
        """
        if shards:
            return await self._command(keyspace, uuid, f"LAUNCH {shards_clause(shards)}")
        request = vtctldata_pb2.LaunchSchemaMigrationRequest(
            keyspace=keyspace, uuid=uuid_or_all(uuid), caller_id=self._caller
        )
        return await self._steer(self._vtctld.LaunchSchemaMigration, request)

    async def complete(self, keyspace: str, uuid: str, *, shards: Sequence[str] = ()) -> Affected:
        """Let a migration end, or `all`, that is held before its end.

        Args:
            keyspace: where.
            uuid: which.
            shards: only there; empty: everywhere. Not with `all`.
        """
        if shards:
            return await self._command(keyspace, uuid, f"COMPLETE {shards_clause(shards)}")
        request = vtctldata_pb2.CompleteSchemaMigrationRequest(
            keyspace=keyspace, uuid=uuid_or_all(uuid), caller_id=self._caller
        )
        return await self._steer(self._vtctld.CompleteSchemaMigration, request)

    async def postpone(self, keyspace: str, uuid: str) -> Affected:
        """Hold a migration, or `all` pending ones, before the end until told to complete."""
        if uuid_or_all(uuid) == ALL:
            statement = "ALTER VITESS_MIGRATION POSTPONE COMPLETE ALL"
            return Affected((await self.apply(keyspace, statement)).rows_affected_by_shard)
        return await self._command(keyspace, uuid, "POSTPONE COMPLETE")

    async def force_cutover(self, keyspace: str, uuid: str) -> Affected:
        """Make the next cut-over of a migration, or of `all`, end what stands in its way."""
        request = vtctldata_pb2.ForceCutOverSchemaMigrationRequest(
            keyspace=keyspace, uuid=uuid_or_all(uuid), caller_id=self._caller
        )
        return await self._steer(self._vtctld.ForceCutOverSchemaMigration, request)

    async def cleanup(self, keyspace: str, uuid: str) -> Affected:
        """Give up the old tables of an ended migration, or of `all`, before their time."""
        request = vtctldata_pb2.CleanupSchemaMigrationRequest(
            keyspace=keyspace, uuid=uuid_or_all(uuid), caller_id=self._caller
        )
        return await self._steer(self._vtctld.CleanupSchemaMigration, request)

    async def throttle(
        self,
        keyspace: str,
        uuid: str,
        *,
        ratio: float = 1.0,
        expire: timedelta = timedelta(hours=1),
    ) -> None:
        """Hold a migration back, or `all`.

        Args:
            keyspace: where.
            uuid: which.
            ratio: share of its checks that is refused: 1 stops it.
            expire: for how long.
        """
        seconds, fraction = divmod(time.time() + expire.total_seconds(), 1)
        expires_at = vttime_pb2.Time(seconds=int(seconds), nanoseconds=int(fraction * 1e9))
        await self._throttle(keyspace, uuid, ratio, expires_at)

    async def unthrottle(self, keyspace: str, uuid: str) -> None:
        """No longer hold a migration back, or `all`; the throttler's own checks go on."""
        await self._throttle(keyspace, uuid, 0.0, vttime_pb2.Time())

    async def explain(
        self, keyspace: str, statement: str, *, strategy: str = "direct", context: str = ""
    ) -> list[Plan]:
        """Say what a statement would do on each shard, without submitting it.

        Args:
            keyspace: where.
            statement: one statement.
            strategy: and its options, as for `apply`.
            context: the group that it would belong to.
        """
        request = migrations_pb2.ExplainRequest(
            statement=statement, ddl_strategy=strategy, migration_context=context
        )

        async def ask(shard: str) -> list[Plan]:
            place = await self._places.primary(
                keyspace, shard, timeout_seconds=self._timeout_seconds
            )
            response = await self._connections.call(
                MigrationsStub(place.channel).Explain,
                request,
                address=place.address,
                timeout_seconds=self._timeout_seconds,
            )
            return [to_plan(plan, keyspace, shard) for plan in response.plans]

        plans = await at_once(ask, await self.shards(keyspace))
        return [plan for of_shard in plans for plan in of_shard]

    async def logs(self, keyspace: str, uuid: str) -> list[MigrationLog]:
        """Return the log of a migration on each shard.

        Raises:
            TabletdClientError: MIGRATION_NOT_FOUND when a shard has no such migration, or no log
                of it.
        """

        async def ask(shard: str) -> MigrationLog:
            place = await self._places.primary(
                keyspace, shard, timeout_seconds=self._timeout_seconds
            )
            return await read_log(
                self._connections, place, checked_uuid(uuid), timeout_seconds=self._timeout_seconds
            )

        return await at_once(ask, await self.shards(keyspace))

    async def leftovers(self, keyspace: str, *, fix: bool = False) -> list[TabletLeftovers]:
        """Return what migrations have left that no live one owns, as each tablet tells it.

        Args:
            keyspace: empty: of all.
            fix: have removed at once what rows of the queue name, which the tablets do by
                themselves in time.
        """

        async def ask(tablet: Tablet) -> TabletLeftovers:
            place = self._places.place(tablet)
            seconds = _FIX_SECONDS if fix else self._timeout_seconds
            return await tablet_leftovers(
                self._connections, place, fix=fix, timeout_seconds=seconds
            )

        return await at_once(ask, await self.tablets(keyspace))

    async def shards(self, keyspace: str) -> list[str]:
        """Return the names of a keyspace's shards."""
        return list(dict.fromkeys(tablet.shard for tablet in await self.tablets(keyspace)))

    @property
    def _vtctld(self) -> VtctldStub:
        return VtctldStub(self._connections.channel(self.address))

    async def _call(
        self,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        timeout_seconds: float | None = None,
    ) -> ResponseT:
        return await self._connections.call(
            method,
            request,
            address=self.address,
            timeout_seconds=timeout_seconds or self._timeout_seconds,
        )

    @asynccontextmanager
    async def _watch(
        self, keyspace: str, wanted: WatchFilter
    ) -> AsyncGenerator[AsyncIterator[Event]]:
        async def show(uuid: str) -> list[Migration]:
            return await self.show(keyspace, uuid=uuid)

        async with watch_keyspace(
            keyspace,
            await self.shards(keyspace),
            wanted,
            connections=self._connections,
            places=self._places,
            show=show,
            timeout_seconds=self._timeout_seconds,
        ) as events:
            yield events

    async def _steer(self, method: Method[RequestT, _RowsAffected], request: RequestT) -> Affected:
        return Affected(_by_shard(await self._call(method, request)))

    async def _command(self, keyspace: str, uuid: str, command: str) -> Affected:
        statement = f"ALTER VITESS_MIGRATION '{checked_uuid(uuid)}' {command}"
        return Affected((await self.apply(keyspace, statement)).rows_affected_by_shard)

    async def _throttle(
        self, keyspace: str, uuid: str, ratio: float, expires_at: vttime_pb2.Time
    ) -> None:
        name = uuid_or_all(uuid)
        rule = topodata_pb2.ThrottledAppRule(
            name=_ALL_APPS if name == ALL else name, ratio=ratio, expires_at=expires_at
        )
        request = vtctldata_pb2.UpdateThrottlerConfigRequest(keyspace=keyspace, throttled_app=rule)
        await self._call(self._vtctld.UpdateThrottlerConfig, request)
