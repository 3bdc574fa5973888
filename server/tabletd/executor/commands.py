"""What the statements about migrations do; see `executor.statements`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from tabletd.errors import Reason, TabletdError
from tabletd.executor.flags import check_cut_over_threshold
from tabletd.executor.logs import read_log
from tabletd.executor.row_controls import RowControls
from tabletd.executor.statements import (
    Cancel,
    Cleanup,
    Complete,
    CutOverThreshold,
    ForceCutOver,
    Launch,
    MigrationStatement,
    PostponeComplete,
    Retry,
    ShowLogs,
    ShowMigrations,
    ShowThrottledApps,
    ShowThrottlerStatus,
    Throttle,
    Unthrottle,
)
from tabletd.executor.states import Status
from tabletd.executor.store import Store
from tabletd.executor.strategy import Strategy
from tabletd.executor.vexec import Select, parse
from tabletd.mysql.result import ResultSet, text_result

ONLINE_DDL_APP: Final = "online-ddl"
_ALL: Final = "SELECT * FROM _vt.schema_migrations ORDER BY id"
_SUCH: Final = "SELECT * FROM _vt.schema_migrations WHERE "
_ALIKE: Final = (
    "SELECT * FROM _vt.schema_migrations WHERE migration_uuid LIKE %s OR migration_context LIKE %s"
    " OR migration_status LIKE %s ORDER BY id"
)


class Queue(Protocol):
    """What the executor itself does."""

    async def cancel(self, migration_uuid: str) -> int: ...
    async def cancel_all(self) -> int: ...
    async def retry(self, migration_uuid: str) -> int: ...
    async def select(self, sql: str, params: tuple[str, ...] = ()) -> ResultSet: ...
    async def check_writable(self) -> None: ...
    def wake(self) -> None: ...


class AppRules(Protocol):
    """Holds apps back, migrations among them by their uuid."""

    async def throttle(self, app: str, *, ratio: float = ..., expire_seconds: float = ...) -> None:
        """Set the rule of an app."""
        ...

    async def unthrottle(self, app: str) -> bool:
        """End the rule of an app; returns whether there was one."""
        ...

    def show(self) -> ResultSet:
        """Return all rules."""
        ...


@dataclass(frozen=True, slots=True)
class ThrottlerDoor:
    """The throttler, for statements.

    Attributes:
        rules: for apps.
        show_status: gives the throttler's state for a shard.
    """

    rules: AppRules
    show_status: Callable[[str], ResultSet]


class Commands:
    """Carries out statements about migrations.

    Args:
        queue: the executor.
        store: the migrations.
        throttler: None: nothing is throttled here.
    """

    def __init__(self, *, queue: Queue, store: Store, throttler: ThrottlerDoor | None) -> None:
        self._queue = queue
        self._store = store
        self._rows = RowControls(store)
        self._throttler = throttler

    async def execute(
        self, statement: MigrationStatement, *, keyspace: str, shard: str
    ) -> ResultSet:
        """Carry out a statement that is no REVERT: that is submitted as a migration.

        Args:
            statement: what was read.
            keyspace: of this tablet.
            shard: of this tablet.

        Returns:
            rows for a SHOW, else the number of rows affected.

        Raises:
            TabletdError: NOT_PRIMARY or READ_ONLY for what writes, MIGRATION_NOT_FOUND for the
                cancel of an unknown migration, and what the single statements say.
        """
        match statement:
            case ShowMigrations():
                return await self._show_migrations(statement, keyspace)
            case ShowLogs(uuid=uuid):
                return await self._show_logs(uuid)
            case ShowThrottledApps():
                return self._door().rules.show()
            case ShowThrottlerStatus():
                return self._door().show_status(shard)
            case _:
                await self._queue.check_writable()
                affected = await self._alter(statement, shard)
                self._queue.wake()
                return ResultSet(rows_affected=affected)

    async def _alter(self, statement: MigrationStatement, shard: str) -> int:
        match statement:
            case Retry(uuid=uuid):
                return await self._queue.retry(uuid)
            case Cancel(uuid=uuid):
                return await (self._queue.cancel(uuid) if uuid else self._queue.cancel_all())
            case Cleanup(uuid=uuid):
                return await self._rows.clean_up(uuid)
            case Launch(uuid=uuid, shards=shards):
                return await self._rows.launch(uuid) if _concerns(shard, shards) else 0
            case Complete(uuid=uuid, shards=shards):
                return await self._rows.complete(uuid) if _concerns(shard, shards) else 0
            case PostponeComplete(uuid=uuid):
                return await self._rows.postpone_complete(uuid)
            case ForceCutOver(uuid=uuid):
                return await self._rows.force_cut_over(uuid)
            case CutOverThreshold(uuid=uuid, seconds=seconds):
                return await self._cut_over_threshold(uuid, seconds)
            case Throttle():
                return await self._throttle(statement)
            case Unthrottle(uuid=uuid):
                return int(await self._door().rules.unthrottle(uuid or ONLINE_DDL_APP))
            case _:
                raise TabletdError(Reason.INTERNAL, f"{type(statement).__name__} is no command")

    async def _throttle(self, statement: Throttle) -> int:
        app = statement.uuid or ONLINE_DDL_APP
        rules = self._door().rules
        if statement.expire_seconds is None:
            await rules.throttle(app, ratio=statement.ratio)
        else:
            await rules.throttle(
                app, ratio=statement.ratio, expire_seconds=statement.expire_seconds
            )
        return 1

    async def _cut_over_threshold(self, migration_uuid: str, seconds: float) -> int:
        # What no migration may have is refused whether there is this one or not.
        check_cut_over_threshold(Strategy.DIRECT, seconds)
        migration = await self._store.find(migration_uuid)
        if migration is None:
            return 0
        strategy = migration.engine_strategy
        check_cut_over_threshold(strategy, seconds)
        if strategy is Strategy.GH_OST and migration.status is Status.RUNNING:
            raise TabletdError(
                Reason.MIGRATION_REJECTED,
                "gh-ost takes its cut-over threshold when it starts, and this one runs",
                hint="cancel it, set the threshold and retry it",
                migration_uuid=migration_uuid,
            )
        return await self._rows.cut_over_threshold(migration_uuid, round(seconds))

    async def _show_migrations(self, statement: ShowMigrations, keyspace: str) -> ResultSet:
        if statement.keyspace and statement.keyspace != keyspace:
            raise TabletdError(
                Reason.WRONG_TARGET,
                f"invalid keyspace {statement.keyspace[:100]}: this tablet serves {keyspace}",
            )
        if statement.where is not None:
            # The same reading as of a VExec SELECT: one table, nothing that waits or writes.
            read = parse(_SUCH + statement.where)
            if not isinstance(read, Select):
                raise TabletdError(Reason.INVALID_REQUEST, "the condition is no condition")
            return await self._queue.select(read.sql)
        if statement.like is None:
            return await self._queue.select(_ALL)
        return await self._queue.select(_ALIKE, (statement.like,) * 3)

    async def _show_logs(self, migration_uuid: str) -> ResultSet:
        migration = await self._store.read(migration_uuid)
        log = await asyncio.to_thread(read_log, migration_uuid, migration.log_file)
        return text_result("migration_log", log)

    def _door(self) -> ThrottlerDoor:
        if self._throttler is None:
            raise TabletdError(Reason.NOT_SERVING, "this executor has no throttler")
        return self._throttler


def _concerns(shard: str, shards: tuple[str, ...]) -> bool:
    return not shards or shard in shards
