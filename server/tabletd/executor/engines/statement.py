"""One statement of a migration on the server: sent, ended, found again after a restart."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.executor.engines.forcing import Forcing
from tabletd.mysql.errors import NO_SUCH_THREAD, MySQLError
from tabletd.mysql.pool import Pool
from tabletd.mysql.session import Session

_END_SECONDS_MAX: Final = 60.0
_KILL_AGAIN_SECONDS: Final = 1.0

_logger = logging.getLogger(__name__)


async def execute_until_stopped(
    pool: Pool, session: Session, sql: str, nonce: str, stop: asyncio.Event, forcing: Forcing
) -> TabletdError | None:
    """Run a statement until it ends or is to stop; returns why it did not end well.

    Args:
        pool: for ending it.
        session: where it runs.
        sql: the statement.
        nonce: of the run; `end_statements` finds the statement by it.
        stop: ends the statement on the server.
        forcing: looks after whom the statement waits for.
    """

    async def attempt() -> TabletdError | None:
        try:
            await session.execute(f"/* tabletd {nonce} */ {sql}", timeout_seconds=math.inf)
        except TabletdError as error:
            return error
        return None

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(attempt(), name="direct: statement")
        stopped = tasks.create_task(stop.wait(), name="direct: stop")
        forced = tasks.create_task(forcing.run(), name="direct: forcing")
        await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
        while not running.done():
            # The server may not have read the statement yet: then nothing is ended.
            await _kill(pool, session.connection_id)
            await asyncio.wait({running}, timeout=_KILL_AGAIN_SECONDS)
        failure = await running
        stopped.cancel()
        forced.cancel()
    return failure


async def end_statements(pool: Pool, nonce: str) -> None:
    """End what an earlier daemon's connection still does for a run, and wait until it has ended.

    Raises:
        TabletdError: TIMEOUT when it does not end.
    """
    try:
        async with asyncio.timeout(_END_SECONDS_MAX), pool.session() as session:
            while numbers := await _statements_of(session, nonce):
                for number in numbers:
                    await _kill(pool, number)
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise TabletdError(
            Reason.TIMEOUT,
            "a statement of an earlier run does not end",
            hint="see SHOW PROCESSLIST",
        ) from None


async def _kill(pool: Pool, connection_id: int) -> None:
    try:
        await pool.execute(f"KILL QUERY {int(connection_id)}")
    except TabletdError as error:
        if not isinstance(error, MySQLError) or error.errno != NO_SUCH_THREAD:
            _logger.warning("cannot end the statement of a stopped migration: %s", error)


async def _statements_of(session: Session, nonce: str) -> list[int]:
    found = await session.execute(
        "SELECT id FROM information_schema.processlist WHERE info LIKE %s AND id <> %s",
        (f"/* tabletd {nonce} */%", session.connection_id),
    )
    return [int(number) for (number,) in found.rows]
