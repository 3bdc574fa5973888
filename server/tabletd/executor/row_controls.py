"""What statements, and the scheduler, change in a row beside its state."""

# ruff: noqa: S608  (SQL is put together from constants of this module; values are parameters)
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tabletd.access.caller import current_text as caller_text
from tabletd.executor.store import Store, fit
from tabletd.executor.waiting import Wait
from tabletd.mysql.quote import marks

_PENDING: Final = "migration_status IN ('queued', 'ready', 'running')"
_UNFINISHED: Final = "migration_status <> 'complete'"
_FINISHED: Final = "migration_status IN ('complete', 'failed', 'cancelled')"


class RowControls:
    """The columns by which people steer migrations.

    Each method returns how many rows it changed; a row that is as wanted already is not one.

    Args:
        store: the migrations.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def launch(self, migration_uuid: str | None) -> int:
        """Let one, or all, begin."""
        return await self._change(
            "postpone_launch = 0", f"postpone_launch <> 0 AND {_PENDING}", migration_uuid
        )

    async def complete(self, migration_uuid: str | None) -> int:
        """Let one, or all that are pending, complete."""
        return await self._change(
            "postpone_completion = 0", f"postpone_completion <> 0 AND {_PENDING}", migration_uuid
        )

    async def postpone_complete(self, migration_uuid: str | None) -> int:
        """Let one, or all that are pending, wait with their completion."""
        return await self._change(
            "postpone_completion = 1", f"postpone_completion = 0 AND {_PENDING}", migration_uuid
        )

    async def force_cut_over(self, migration_uuid: str | None) -> int:
        """Let one that may still run, or all that are pending, cut over by force."""
        state = _PENDING if migration_uuid is None else _UNFINISHED
        return await self._change(
            "force_cutover = 1", f"force_cutover = 0 AND {state}", migration_uuid
        )

    async def clean_up(self, migration_uuid: str | None) -> int:
        """Give up what one in any state, or all that are finished, keep."""
        state = f"cleanup_timestamp IS NULL AND {_FINISHED}" if migration_uuid is None else "1 = 1"
        return await self._change(
            "retain_artifacts_seconds = -1",
            f"retain_artifacts_seconds <> -1 AND {state}",
            migration_uuid,
        )

    async def cut_over_threshold(self, migration_uuid: str, seconds: int) -> int:
        """Change how long a cut-over may lock."""
        return await self._change(
            "cutover_threshold_seconds = %s",
            "cutover_threshold_seconds <> %s",
            migration_uuid,
            values=(seconds,),
            conditions=(seconds,),
        )

    async def mark_ready(self, migration_uuid: str) -> int:
        """Show that one waits for nothing but its completion being postponed."""
        return await self._change(
            "ready_to_complete = 1, ready_to_complete_timestamp = NOW()",
            "migration_status IN ('queued', 'ready') AND postpone_completion <> 0",
            migration_uuid,
        )

    async def count_older(self, migration_uuid: str, pending_count: int) -> int:
        """Show how many older ones one waits for."""
        return await self._change(
            "in_order_completion_pending_count = %s",
            _PENDING,
            migration_uuid,
            values=(pending_count,),
        )

    async def say(self, wait: Wait, migration_uuids: Sequence[str]) -> int:
        """Show what some wait for that have not begun, or, without a stage, that run."""
        state = "migration_status = 'running'"
        assignments = "message = %s, message_timestamp = NOW(6)"
        values: tuple[str, ...] = (fit(wait.message),)
        if wait.stage:
            state = "migration_status IN ('queued', 'ready')"
            assignments += ", stage = %s"
            values = (*values, fit(wait.stage))
        result = await self._store.write(
            f"UPDATE _vt.schema_migrations SET {assignments}"
            f" WHERE {state} AND migration_uuid IN ({marks(migration_uuids)})",
            *values,
            *migration_uuids,
        )
        return result.rows_affected

    async def _change(
        self,
        assignments: str,
        condition: str,
        migration_uuid: str | None,
        *,
        values: tuple[Any, ...] = (),
        conditions: tuple[Any, ...] = (),
    ) -> int:
        if by := caller_text():
            assignments += ", changed_by = %s"
            values = (*values, by)
        values = (*values, *conditions)
        sql = f"UPDATE _vt.schema_migrations SET {assignments} WHERE {condition}"
        if migration_uuid is not None:
            sql += " AND migration_uuid = %s"
            values = (*values, migration_uuid)
        return (await self._store.write(sql, *values)).rows_affected
