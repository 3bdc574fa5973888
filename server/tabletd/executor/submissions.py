"""Migrations on their way into the queue: each once, and not beside what its flags exclude."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tabletd.errors import Reason, TabletdError
from tabletd.executor.migration import Migration
from tabletd.executor.singleton import check_singleton
from tabletd.executor.store import Store
from tabletd.executor.submit import Submission
from tabletd.mysql.result import ResultSet

_logger = logging.getLogger(__name__)


class Submissions:
    """Puts migrations into the queue, one after the other.

    Args:
        store: the migrations.
        retry: queues a failed or cancelled migration again; returns how many it was.
        admit: raises for what could never be carried out; None: all is taken.
    """

    def __init__(
        self,
        store: Store,
        retry: Callable[[str], Awaitable[int]],
        admit: Callable[[Submission], Awaitable[None]] | None = None,
    ) -> None:
        self._store = store
        self._retry = retry
        self._admit = admit
        # Between the look at what is pending and the new row nobody else may come.
        self._lock = asyncio.Lock()

    async def insert(self, submission: Submission, *, shard: str) -> ResultSet:
        """Put a migration into the queue.

        Returns:
            1 row and its id; 0 rows when its UUID is known, which changes nothing.

        Raises:
            TabletdError: MIGRATION_REJECTED when its singleton flags are hurt; what `admit` says.
        """
        async with self._lock:
            await self._check(submission)
            return await self._store.insert(submission, shard=shard)

    async def insert_or_retry(self, submission: Submission, *, shard: str) -> ResultSet:
        """Put a migration into the queue; one that is known is retried if it did not complete.

        Returns:
            1 row, or 0 when it is known and neither failed nor cancelled.

        Raises:
            TabletdError: MIGRATION_REJECTED when it is known in another context, or its singleton
                flags are hurt; what `admit` says.
        """
        async with self._lock:
            known = await self._store.find(submission.migration_uuid)
            if known is not None:
                _check_context(submission, known)
            await self._check(submission)
            if known is None:
                return await self._store.insert(submission, shard=shard)
            if known.migration_statement != submission.migration_statement:
                _logger.warning(
                    "migration %s was submitted again with another statement, which is ignored",
                    submission.migration_uuid,
                )
            return ResultSet(rows_affected=await self._retry(submission.migration_uuid))

    async def _check(self, submission: Submission) -> None:
        if self._admit is not None:
            await self._admit(submission)
        flags = submission.flags
        if flags.singleton or flags.singleton_context or flags.singleton_table:
            check_singleton(submission, await self._store.pending())


def _check_context(submission: Submission, known: Migration) -> None:
    """Refuse a known UUID from elsewhere. Text: Vitess."""
    if known.migration_context != submission.migration_context:
        raise TabletdError(
            Reason.MIGRATION_REJECTED,
            f"migration rejected: found migration {known.migration_uuid} with different context: "
            f"{known.migration_context} than submitted migration's context: "
            f"{submission.migration_context}",
            migration_uuid=known.migration_uuid,
        )
