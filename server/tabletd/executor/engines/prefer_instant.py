"""The engine of a tool, behind a server that is asked first to alter tables instantly."""

from __future__ import annotations

import asyncio

from tabletd.executor.engines.base import Adopted, Engine, Outcome, RunControls, RunRecord
from tabletd.executor.engines.direct import DirectEngine
from tabletd.executor.migration import Migration, Strategy


class InstantFirst:
    """Lets the server alter instantly what it can, where that is preferred, and the tool the rest.

    Args:
        engine: of the tool.
        direct: has the server do it.
    """

    def __init__(self, engine: Engine, *, direct: DirectEngine) -> None:
        self._engine = engine
        self._direct = direct

    @property
    def strategy(self) -> Strategy:
        return self._engine.strategy

    async def run(
        self,
        migration: Migration,
        record: RunRecord,
        stop: asyncio.Event,
        controls: RunControls,
    ) -> Outcome:
        if migration.flags.prefer_instant_ddl:
            outcome = await self._direct.run_instantly(migration, record, stop, controls)
            if outcome is not None:
                return outcome
        return await self._engine.run(migration, record, stop, controls)

    async def adopt(self, migration: Migration, record: RunRecord) -> Adopted | None:
        return await self._engine.adopt(migration, record)

    async def recover(self, migration: Migration, record: RunRecord) -> Outcome | None:
        return await self._engine.recover(migration, record)
