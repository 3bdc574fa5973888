"""A table of migrations in memory, and a watch over it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

from tabletd.clock import SystemClock
from tabletd.errors import TabletdError
from tabletd.executor.watch import Watch
from tabletd.executor.watch_rows import MigrationReader, WatchedMigration

UUID = "0f4b5e0a_e716_11f1_af94_02fc00000001"
OTHER_UUID = "0f4b5e0a_e716_11f1_af94_02fc00000002"


def watched(number: int = 1, **given: Any) -> WatchedMigration:
    """Return a row with some usual cells."""
    cells: dict[str, Any] = {
        name: None if name.endswith("_timestamp") else "" for name in WatchedMigration.__slots__
    }
    cells |= dict.fromkeys(("rows_copied", "table_rows", "retries", "cutover_attempts"), 0)
    cells |= dict.fromkeys(("postpone_launch", "postpone_completion", "ready_to_complete"), 0)
    cells |= {"tablet_failure": 0, "retain_artifacts_seconds": 0, "backlog": 0, "eta_seconds": -1}
    cells |= {"progress": 0.0, "user_throttle_ratio": 0.0, "migration_status": "queued"}
    cells |= {"id": number, "migration_uuid": f"{UUID[:-1]}{number}", "strategy": "gh-ost"}
    return WatchedMigration(**(cells | given))


class FakeTable(MigrationReader):
    """Implements the reader in memory.

    Attributes:
        looks: how often changes were asked for.
        error: raised instead of an answer.
    """

    def __init__(self) -> None:
        self.by_id: dict[int, WatchedMigration] = {}
        self.looks = 0
        self.error: TabletdError | None = None

    def put(self, row: WatchedMigration) -> None:
        """Write a row."""
        self.by_id[row.id] = row

    def change(self, number: int, **cells: Any) -> None:
        """Change a row."""
        self.by_id[number] = replace(self.by_id[number], **cells)

    async def changes(
        self, pending_ids: Collection[int], newest_id: int
    ) -> tuple[list[WatchedMigration], frozenset[int]]:
        if self.error is not None:
            raise self.error
        self.looks += 1
        rows = [
            row
            for row in self.by_id.values()
            if row.is_pending or row.id > newest_id or row.id in pending_ids
        ]
        return rows, frozenset(pending_ids) - self.by_id.keys()

    async def fingerprints(self) -> dict[int, int]:
        if self.error is not None:
            raise self.error
        return {key: hash(row) for key, row in self.by_id.items()}

    async def rows(self, ids: Collection[int]) -> list[WatchedMigration]:
        return [self.by_id[key] for key in ids]


@asynccontextmanager
async def watch_over(table: MigrationReader) -> AsyncGenerator[Watch]:
    """Run a watch of a primary for the length of a block."""
    async with running(Watch(table, clock=SystemClock())) as watch:
        yield watch


@asynccontextmanager
async def running(watch: Watch) -> AsyncGenerator[Watch]:
    """Run a watch of a primary for the length of a block."""
    await watch.make_primary()
    task = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        await watch.close()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
