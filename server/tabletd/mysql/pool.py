"""A small pool: a bounded number of connections to one server, each limit of time kept."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from tabletd.errors import MySQLUnavailable, NotWritable, Reason, TabletdError
from tabletd.mysql.driver import Connection, ConnectionLost, ServerError
from tabletd.mysql.errors import NO_SUCH_THREAD, timed_out
from tabletd.mysql.result import ResultSet
from tabletd.mysql.session import Session
from tabletd.mysql.settings import MySQLSettings
from tabletd.mysql.variables import is_read_only
from tabletd.telemetry.vars import Registry

PING_AFTER_IDLE_SECONDS: Final = 1.0
RECYCLE_AFTER_IDLE_SECONDS: Final = 300.0
KILL_TIMEOUT_SECONDS: Final = 2.0

_logger = logging.getLogger(__name__)


class Pool:
    """Connections to one server under one account.

    Connections are made when needed, used last-in first-out, checked before each use, and never
    used again after a time-out, a cancellation, an unfinished transaction or a broken stream.

    Args:
        settings: server and account.
        name: for messages and variables (`HeartbeatWritePool`).
        size_max: connections at most; further borrowers wait in order.
        raw: cells stay the server's own text bytes, for results that are passed through, and the
            server's sql_mode is left as it is; else Python values and strict mode.
        database: default schema.
        registry: where the pool shows `<name>Capacity`, `<name>InUse` and `<name>WaitCount`.

    Attributes:
        guard: called before a connection is lent for writing, and before each statement on it;
            raises to refuse that.
    """

    def __init__(
        self,
        settings: MySQLSettings,
        *,
        name: str,
        size_max: int = 4,
        raw: bool = False,
        database: str | None = None,
        registry: Registry | None = None,
    ) -> None:
        self.settings = settings
        self.name = name
        self._raw = raw
        self._database = database
        self._size_max = size_max
        self._slots = asyncio.Semaphore(size_max)
        self._free: list[Connection] = []
        self._kills: set[asyncio.Task[None]] = set()
        self.guard: Callable[[], object] = lambda: None
        self._is_open = False
        self._in_use = 0
        self._waited = 0
        if registry is not None:
            registry.gauge(f"{name}Capacity", "connections at most", lambda: size_max)
            registry.gauge(f"{name}InUse", "connections lent out", lambda: self._in_use)
            registry.gauge(f"{name}WaitCount", "times a borrower waited", lambda: self._waited)

    async def open(self) -> None:
        """Lend connections from now on; the server need not be there yet."""
        self._is_open = True

    async def close(self) -> None:
        """Close what is free, and what is lent out when it comes back; may be opened again."""
        self._is_open = False
        while self._free:
            self._free.pop().quit()
        await asyncio.gather(*self._kills)

    async def execute(
        self,
        sql: str | bytes,
        params: Sequence[Any] | None = None,
        *,
        timeout_seconds: float = 10.0,
        writable: bool = False,
        rows_max: int | None = None,
        bytes_max: int | None = None,
    ) -> ResultSet:
        """Run one statement in a session of its own; see `session` and `Session.execute`.

        Args:
            sql: the statement.
            params: its values.
            timeout_seconds: limit for waiting, connecting and the statement together.
            writable: refuse when the server is read-only.
            rows_max: refuse an answer of more rows.
            bytes_max: refuse an answer whose cells take more bytes.
        """
        deadline = time.monotonic() + timeout_seconds
        async with self.session(timeout_seconds=timeout_seconds, writable=writable) as session:
            return await session.execute(
                sql,
                params,
                timeout_seconds=deadline - time.monotonic(),
                rows_max=rows_max,
                bytes_max=bytes_max,
            )

    @asynccontextmanager
    async def session(
        self, *, timeout_seconds: float = 10.0, writable: bool = False
    ) -> AsyncGenerator[Session]:
        """Borrow a connection.

        Args:
            timeout_seconds: limit for getting it, and for each statement that states none.
            writable: first make sure that the server takes writes: whoever has SUPER could write
                under read_only, and would leave an errant transaction.

        Raises:
            NotWritable: `writable` is asked of a read-only server.
            TabletdError: whatever `guard` raises.
            MySQLUnavailable: the server cannot be reached, or no connection became free.
            ConnectionRefused: the server does not let us in.
        """
        deadline = time.monotonic() + timeout_seconds
        connection = await self._acquire(timeout_seconds)
        session = Session(
            connection, self.settings, timeout_seconds=timeout_seconds, give_up=self._give_up
        )
        try:
            if writable:
                left_seconds = deadline - time.monotonic()
                if await is_read_only(session, timeout_seconds=left_seconds):
                    raise NotWritable()
                self.guard()
                session.guard = self.guard
            yield session
        finally:
            self._release(connection, reusable=session.is_reusable)

    async def _acquire(self, timeout_seconds: float) -> Connection:
        self._refuse_when_closed()
        try:
            async with asyncio.timeout(timeout_seconds):
                if self._slots.locked():
                    self._waited += 1
                await self._slots.acquire()
                self._in_use += 1
                try:
                    return await self._connection()
                except BaseException:
                    self._in_use -= 1
                    self._slots.release()
                    raise
        except TimeoutError:
            if self._in_use >= self._size_max:
                raise self._exhausted(timeout_seconds) from None
            raise timed_out(self.settings, "getting a connection", timeout_seconds) from None

    def _refuse_when_closed(self) -> None:
        if not self._is_open:
            raise TabletdError(Reason.SHUTTING_DOWN, f"the pool {self.name} is closed")

    def _exhausted(self, timeout_seconds: float) -> MySQLUnavailable:
        return MySQLUnavailable(
            f"no connection of {self.name} became free within {timeout_seconds:g} s: "
            f"all {self._size_max} are in use",
            hint="try again later, or raise the pool's size",
            pool=self.name,
        )

    async def _connection(self) -> Connection:
        self._refuse_when_closed()
        while self._free:
            connection = self._free.pop()
            if await _is_alive(connection):
                return connection
            connection.quit()
        fresh = Connection(self.settings, database=self._database, raw=self._raw)
        await fresh.open()
        return fresh

    def _release(self, connection: Connection, *, reusable: bool) -> None:
        self._in_use -= 1
        self._slots.release()
        if self._is_open and reusable and connection.is_usable and not connection.in_transaction:
            self._free.append(connection)
        else:
            connection.quit()

    def _give_up(self, connection: Connection) -> None:
        """Drop a connection in the middle of a statement, and have the server end that too."""
        number = connection.connection_id
        connection.close()
        task = asyncio.get_running_loop().create_task(
            self._kill(number), name=f"{self.name}: kill {number}"
        )
        # Outlives the caller, who is gone by then; `close` waits for it.
        self._kills.add(task)
        task.add_done_callback(self._kills.discard)

    async def _kill(self, connection_id: int) -> None:
        killer = Connection(self.settings, database=None, raw=True)
        try:
            async with asyncio.timeout(KILL_TIMEOUT_SECONDS):
                await killer.open()
                # Numbers only grow: a smaller one than the victim's means a restarted server, on
                # which the victim's number belongs to somebody else.
                if killer.connection_id > connection_id:
                    # Not KILL QUERY: the server may not have read the statement yet.
                    await killer.run(b"KILL %d" % connection_id)
        except ServerError as error:
            if error.errno != NO_SUCH_THREAD:
                _logger.warning("cannot end connection %d: %s", connection_id, error.text)
        except (TimeoutError, ConnectionLost, TabletdError) as error:
            _logger.warning(
                "cannot end connection %d: %s", connection_id, str(error) or "no answer"
            )
        finally:
            killer.quit()


async def _is_alive(connection: Connection) -> bool:
    """Return whether a free connection may be lent out: a statement must not meet a dead one."""
    idle_seconds = time.monotonic() - connection.idle_since
    if idle_seconds > RECYCLE_AFTER_IDLE_SECONDS:
        return False
    if not connection.is_usable or not connection.is_silent:
        return False
    if idle_seconds <= PING_AFTER_IDLE_SECONDS:
        return True
    try:
        return await connection.answers()
    except BaseException:
        connection.close()
        raise
