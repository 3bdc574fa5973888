"""The rows of `_vt.schema_migrations` as those who watch them see them, and how they are read."""

# ruff: noqa: S608  (SQL is put together from constants of this module; values are parameters)
from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

from tabletd.executor.engines.base import EtaState
from tabletd.executor.states import PENDING, Status
from tabletd.mysql.pool import Pool
from tabletd.mysql.quote import marks
from tabletd.mysql.session import Session

HISTORY_MAX: Final = 10_000
ROWS_AT_ONCE: Final = 500
# Long enough for what ends, is retried and ends again between two looks at the pending rows.
_LATELY_SECONDS: Final = 30
# How a stage begins, behind the tool's name, that says what a migration waits for.
_WAITS: Final = ("waiting", "ready to complete", "throttled")


@dataclass(frozen=True, slots=True)
class WatchedMigration:
    """A row as it is shown: the columns of the same names, times in UTC, and what only we know.

    Attributes:
        backlog: changes of the application that its tool still has to carry over.
    """

    id: int
    migration_uuid: str
    migration_context: str
    keyspace: str
    shard: str
    mysql_schema: str
    mysql_table: str
    migration_statement: str
    ddl_action: str
    strategy: str
    options: str
    migration_status: str
    stage: str
    message: str
    message_timestamp: datetime | None
    rows_copied: int
    table_rows: int
    progress: float
    eta_seconds: int
    reason_throttled: str
    component_throttled: str
    retries: int
    artifacts: str
    retain_artifacts_seconds: int
    postpone_launch: int
    postpone_completion: int
    ready_to_complete: int
    tablet: str
    tablet_failure: int
    log_file: str
    reverted_uuid: str
    special_plan: str
    cutover_attempts: int
    user_throttle_ratio: float
    added_timestamp: datetime | None
    ready_timestamp: datetime | None
    started_timestamp: datetime | None
    liveness_timestamp: datetime | None
    ready_to_complete_timestamp: datetime | None
    completed_timestamp: datetime | None
    cancelled_timestamp: datetime | None
    cleanup_timestamp: datetime | None
    last_throttled_timestamp: datetime | None
    requested_by: str = ""
    changed_by: str = ""
    backlog: int = 0

    @property
    def is_pending(self) -> bool:
        """Whether it has not ended."""
        return self.migration_status in PENDING

    @property
    def eta_state(self) -> EtaState:
        """What `eta_seconds` is worth."""
        if self.migration_status != Status.RUNNING:
            return EtaState.NONE
        if self.eta_seconds > 0:
            return EtaState.READY
        if self.eta_seconds == 0:
            return EtaState.DUE
        return EtaState.MEASURING if self.table_rows > 0 else EtaState.NONE

    @property
    def waiting_since(self) -> datetime | None:
        """Since when it waits for what `message` says; None: it does not wait."""
        if not self.is_pending or not self.stage.partition(": ")[2].startswith(_WAITS):
            return None
        return self.message_timestamp


_NAMES: Final = [field.name for field in fields(WatchedMigration) if field.name != "backlog"]
_COLUMNS: Final = ", ".join(_NAMES)
_SELECT: Final = f"SELECT {_COLUMNS} FROM _vt.schema_migrations WHERE"
# A thousand rows may wait, and each write of any of them asks: only what has changed is read.
_VALUES: Final = ", ".join(f"COALESCE({name}, '')" for name in _NAMES)
_PENDING: Final = (
    f"SELECT id, migration_status = 'running', CRC32(CONCAT_WS('|', {_VALUES}))"
    " FROM _vt.schema_migrations WHERE migration_status IN ('queued', 'ready', 'running')"
)
_NEW: Final = f"{_SELECT} id > %s ORDER BY id LIMIT {ROWS_AT_ONCE}"
_ENDED_LATELY: Final = (
    f"{_SELECT} migration_status IN ('complete', 'failed', 'cancelled')"
    f" AND cleanup_timestamp IS NULL AND completed_timestamp >= NOW(6) - INTERVAL"
    f" {_LATELY_SECONDS} SECOND"
)
# All that may change in a row that has ended.
_FINGERPRINTS: Final = (
    "SELECT id, CRC32(CONCAT_WS('|', migration_status, retries, stage, message, artifacts,"
    " retain_artifacts_seconds, cleanup_timestamp, tablet_failure, special_plan))"
    f" FROM _vt.schema_migrations ORDER BY id DESC LIMIT {HISTORY_MAX}"
)


class MigrationReader:
    """Reads rows, few at a time, so that nobody waits for a long history.

    Args:
        pool: sessions that give Python values.
        backlog: of the migration of a UUID, as its tool said last.
    """

    def __init__(self, pool: Pool, backlog: Callable[[str], int]) -> None:
        self._pool = pool
        self._backlog = backlog
        self._pending: dict[int, int] = {}

    async def changes(
        self, pending_ids: Collection[int], newest_id: int
    ) -> tuple[list[WatchedMigration], frozenset[int]]:
        """Read what may have changed since the last call: pending, new and lately ended rows.

        Args:
            pending_ids: ids of rows that were pending when they were last read.
            newest_id: the highest id that was read.

        Returns:
            the rows by id, and those of `pending_ids` that are no longer there.
        """
        rows: dict[int, WatchedMigration] = {}
        async with self._pool.session() as session:
            found = (await session.execute(_PENDING)).rows
            pending = {int(key): int(value or 0) for key, _, value in found}
            wanted = [int(key) for key, is_running, _ in found if is_running]
            wanted += [key for key in pending if self._pending.get(key) != pending[key]]
            left = sorted(set(pending_ids) - pending.keys())
            wanted = sorted({*wanted, *left})
            for start in range(0, len(wanted), ROWS_AT_ONCE):
                rows |= await self._by_id(session, wanted[start : start + ROWS_AT_ONCE])
            rows |= await self._read(session, _ENDED_LATELY)
            rows |= await self._read(session, _NEW, newest_id)
        self._pending = pending
        return [rows[key] for key in sorted(rows)], frozenset(left) - rows.keys()

    async def fingerprints(self) -> dict[int, int]:
        """Return what tells whether a row has changed, by id, of the newest rows."""
        result = await self._pool.execute(_FINGERPRINTS)
        return {int(key): int(value or 0) for key, value in result.rows}

    async def rows(self, ids: Collection[int]) -> list[WatchedMigration]:
        """Return the rows of some ids, at most `ROWS_AT_ONCE`, by id."""
        async with self._pool.session() as session:
            rows = await self._by_id(session, ids)
        return [rows[key] for key in sorted(rows)]

    async def _by_id(self, session: Session, ids: Collection[int]) -> dict[int, WatchedMigration]:
        if not ids:
            return {}
        return await self._read(session, f"{_SELECT} id IN ({marks(ids)})", *ids)

    async def _read(self, session: Session, sql: str, *values: Any) -> dict[int, WatchedMigration]:
        result = await session.execute(sql, values)
        return {row["id"]: self._watched(row) for row in result.dicts()}

    def _watched(self, row: dict[str, Any]) -> WatchedMigration:
        is_running = row["migration_status"] == Status.RUNNING
        backlog = self._backlog(row["migration_uuid"]) if is_running else 0
        return WatchedMigration(**row, backlog=backlog)
