"""The strategy `direct`: the server itself carries the statement out."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import re
import secrets
from typing import Final

from tabletd.errors import MySQLUnavailable, Reason, TabletdError
from tabletd.executor.engines.base import Outcome, RunControls, RunRecord
from tabletd.executor.migration import Migration, Strategy
from tabletd.executor.states import Status
from tabletd.mysql.errors import MySQLError
from tabletd.mysql.pool import Pool
from tabletd.mysql.quote import identifier
from tabletd.mysql.session import Session

_ABSENT: Final = "absent"
_MOVING: Final = re.compile(r" AUTO_INCREMENT=\d+")
_UNKNOWN_THREAD: Final = 1094
_END_SECONDS_MAX: Final = 60.0
_KILLED: Final = frozenset({1317, 1927, 3169})

_logger = logging.getLogger(__name__)


class DirectEngine:
    """Runs the user's own statement.

    The run's nonce holds a digest of the table's definition before it, so that a later daemon can
    tell whether a statement that nobody saw ending took effect. The statement carries the nonce in
    a comment, by which it is found in the server's process list.

    Args:
        pool: the daemon's own account.
    """

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    @property
    def strategy(self) -> Strategy:
        return Strategy.DIRECT

    async def run(
        self,
        migration: Migration,
        record: RunRecord,
        stop: asyncio.Event,
        controls: RunControls,
    ) -> Outcome:
        async with self._pool.session(writable=True) as session:
            session.drop_afterwards()
            await session.execute(f"USE {identifier(migration.mysql_schema)}")
            before = await _definition(session, migration)
            nonce = f"{secrets.token_hex(8)}-{_digest(before)}"
            await record.begin(
                nonce=nonce,
                engine=self.strategy,
                directory="",
                account="",
                token_hash="",
                log_path="",
                log_file="",
            )
            await record.stage("direct: running the statement on the server")
            if stop.is_set():
                await record.end()
                return Outcome(Status.CANCELLED, "stopped before the statement was sent")
            failure = await self._execute(session, _marked(migration, nonce), stop)
        if failure is None:
            outcome = Outcome(Status.COMPLETE)
        elif isinstance(failure, MySQLUnavailable):
            raise failure
        else:
            outcome = await self._after_failure(migration, nonce, failure, stop)
        await record.end()
        return outcome

    async def recover(self, migration: Migration, record: RunRecord) -> Outcome | None:
        await self._end_statement(migration.run_nonce)
        changed = await self._took_effect(migration, migration.run_nonce)
        await record.end()
        return Outcome(Status.COMPLETE, "found after a restart") if changed else None

    async def _execute(
        self, session: Session, sql: str, stop: asyncio.Event
    ) -> TabletdError | None:
        """Run the statement until it ends or is to stop; returns why it did not end well."""

        async def attempt() -> TabletdError | None:
            try:
                await session.execute(sql, timeout_seconds=math.inf)
            except TabletdError as error:
                return error
            return None

        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(attempt(), name="direct: statement")
            stopped = tasks.create_task(stop.wait(), name="direct: stop")
            await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                await self._kill(session.connection_id)
            failure = await running
            stopped.cancel()
        return failure

    async def _kill(self, connection_id: int) -> None:
        try:
            await self._pool.execute(f"KILL QUERY {connection_id}")
        except MySQLError as error:
            if error.errno != _UNKNOWN_THREAD:
                _logger.warning("cannot end the statement of a stopped migration: %s", error)

    async def _after_failure(
        self, migration: Migration, nonce: str, failure: TabletdError, stop: asyncio.Event
    ) -> Outcome:
        was_killed = isinstance(failure, MySQLError) and failure.errno in _KILLED
        if await self._took_effect(migration, nonce):
            return Outcome(Status.COMPLETE, f"the server made the change, yet said: {failure}")
        if stop.is_set() and was_killed:
            return Outcome(Status.CANCELLED, "the statement was ended on the server")
        return Outcome(Status.FAILED, str(failure))

    async def _took_effect(self, migration: Migration, nonce: str) -> bool:
        async with self._pool.session() as session:
            now = await _definition(session, migration)
        return _digest(now) != nonce.partition("-")[2]

    async def _end_statement(self, nonce: str) -> None:
        """End what an earlier daemon's connection still does, and wait until it has ended."""
        try:
            async with asyncio.timeout(_END_SECONDS_MAX), self._pool.session() as session:
                while numbers := await _statements_of(session, nonce):
                    for number in numbers:
                        await self._kill(number)
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise TabletdError(
                Reason.TIMEOUT,
                "a statement of an earlier run does not end",
                hint="see SHOW PROCESSLIST",
            ) from None


def _marked(migration: Migration, nonce: str) -> str:
    return f"/* tabletd {nonce} */ {migration.migration_statement}"


async def _statements_of(session: Session, nonce: str) -> list[int]:
    found = await session.execute(
        "SELECT id FROM information_schema.processlist WHERE info LIKE %s AND id <> %s",
        (f"/* tabletd {nonce} */%", session.connection_id),
    )
    return [int(number) for (number,) in found.rows]


async def _definition(session: Session, migration: Migration) -> str:
    """Return how the server writes the table or view, without the counter that moves by itself."""
    name = identifier(migration.mysql_schema, migration.mysql_table)
    try:
        row = (await session.execute(f"SHOW CREATE TABLE {name}")).rows[0]
    except MySQLError as error:
        if error.reason is Reason.TABLE_NOT_FOUND:
            return _ABSENT
        raise
    return _MOVING.sub("", str(row[1]))


def _digest(definition: str) -> str:
    return hashlib.sha256(definition.encode()).hexdigest()[:32]
