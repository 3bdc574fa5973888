"""A statement of the server's own that waits for a lock: who holds it is ended, where wanted."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from tabletd.errors import TabletdError
from tabletd.executor.engines.base import RunControls, notes
from tabletd.executor.engines.blockers import Endings, find_blockage, names_of
from tabletd.executor.migration import Migration
from tabletd.mysql.pool import Pool

_PAUSE_SECONDS: Final = 0.5

_logger = logging.getLogger(__name__)


class Forcing:
    """Ends those who keep a migration's statement from its table, once that is asked for.

    Args:
        pool: the daemon's own account, whose connections are spared.
        migration: whose statement waits.
        controls: what is wanted.
    """

    def __init__(self, pool: Pool, migration: Migration, controls: RunControls) -> None:
        self._pool = pool
        self._migration = migration
        self._controls = controls
        self._endings = Endings()
        self._unseen = ""

    @property
    def message(self) -> str:
        """Who was ended and who could not be; empty where nobody stood in the way."""
        ended = self._endings.ended.values()
        by_force = f"ended by force: {names_of(ended)}" if ended else ""
        return notes(by_force, self._endings.delay, self._endings.lack, self._unseen)

    async def run(self) -> None:
        """Look after the statement until cancelled."""
        while True:
            if not self._controls.force_cutover:
                await self._controls.changed()
                continue
            try:
                await self._end_blockers()
            except TabletdError as error:
                _logger.warning(
                    "migration %s cannot be forced: %s", self._migration.migration_uuid, error
                )
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _end_blockers(self) -> None:
        migration = self._migration
        async with self._pool.session(writable=True) as session:
            blockage = await find_blockage(
                session, migration.mysql_schema, migration.mysql_table, self._pool.settings.user
            )
            if blockage is not None:
                self._unseen = blockage.unseen
            await self._endings.end(session, blockage.blockers if blockage is not None else ())
