"""One borrowed connection."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from tabletd.errors import Reason, TabletdError
from tabletd.mysql.driver import (
    Connection,
    ConnectionLost,
    Limits,
    ResultTooLarge,
    ServerError,
)
from tabletd.mysql.errors import connection_lost, server_error, timed_out
from tabletd.mysql.result import Column, ResultSet
from tabletd.mysql.settings import MySQLSettings
from tabletd.telemetry.tracing import span

_SYNTAX_ERROR: Final = 1064
_HOLDS_PASSWORD: Final = re.compile(
    rb"\s*(?:(?:CREATE|ALTER)\s+(?:OR\s+REPLACE\s+)?USER|GRANT|SET\s+PASSWORD|CHANGE)\b", re.I
)

__all__ = ["Column", "ResultSet", "Session"]


class Session:
    """A connection, borrowed from a `Pool` for the length of one `async with`.

    Statements run one after the other; autocommit is on, the time zone is UTC.

    Attributes:
        guard: called before each statement; raises to refuse it.
    """

    def __init__(
        self,
        connection: Connection,
        settings: MySQLSettings,
        *,
        timeout_seconds: float,
        give_up: Callable[[Connection], None],
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._timeout_seconds = timeout_seconds
        self._give_up = give_up
        self._is_busy = False
        self.guard: Callable[[], object] = lambda: None
        self.is_reusable = True

    @property
    def connection_id(self) -> int:
        """The server's number for this connection, as in SHOW PROCESSLIST."""
        return self._connection.connection_id

    def drop_afterwards(self) -> None:
        """Close the connection at the end instead of handing it to the next borrower.

        For sessions that were changed: USE, SET SESSION, GET_LOCK, temporary tables, or any
        statement of a user.
        """
        self.is_reusable = False

    async def execute(
        self,
        sql: str | bytes,
        params: Sequence[Any] | None = None,
        *,
        timeout_seconds: float | None = None,
        rows_max: int | None = None,
        bytes_max: int | None = None,
    ) -> ResultSet:
        """Run one statement.

        When it takes too long, or the caller is cancelled, the statement is ended on the server by
        a KILL over a second connection, in the background, and this session is over.

        Args:
            sql: the statement, with `%s` for each parameter (and `%%` for a per cent sign) when
                `params` is given, else sent as it is.
            params: str, bytes, numbers, datetimes, None.
            timeout_seconds: limit for the whole; None: the session's; `math.inf`: none.
            rows_max: refuse an answer of more rows.
            bytes_max: refuse an answer whose cells take more bytes.

        Raises:
            MySQLError: the server refused; the session goes on.
            NotWritable: the server is read-only; the session goes on.
            MySQLUnavailable: the connection was lost; with the fact `sent` when it is not known
                whether the statement took effect.
            TabletdError: TIMEOUT, or RESULT_TOO_LARGE.
        """
        limit = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        statement = self._connection.statement(sql, params)
        with span("mysql.execute", db__system__name="mysql", db__operation__name=_verb(statement)):
            return await self._run(statement, limit, Limits(rows_max, bytes_max))

    async def _run(self, statement: bytes, limit_seconds: float, limits: Limits) -> ResultSet:
        if self._is_busy:
            raise TabletdError(Reason.INTERNAL, "a session runs one statement at a time")
        self.guard()
        if not self._connection.is_usable:
            raise connection_lost(self._settings, sent=False)
        if limit_seconds <= 0:  # used up on the way here: nothing is sent
            raise timed_out(self._settings, "getting ready for a statement", 0)
        self._is_busy = True
        try:
            async with asyncio.timeout(limit_seconds):
                return await self._connection.run(statement, limits)
        except TimeoutError:
            self._give_up(self._connection)
            raise timed_out(self._settings, "a statement", limit_seconds) from None
        except ServerError as error:
            raise self._server_error(statement, error) from None
        except ConnectionLost:
            self._connection.close()
            raise connection_lost(self._settings, sent=True) from None
        except ResultTooLarge as error:
            self._give_up(self._connection)
            raise TabletdError(
                Reason.RESULT_TOO_LARGE,
                f"the result has {error}",
                hint="ask for fewer rows or columns, or add a LIMIT",
            ) from None
        except BaseException:
            self._give_up(self._connection)
            raise
        finally:
            self._is_busy = False

    def _server_error(self, statement: bytes, error: ServerError) -> TabletdError:
        text = error.text
        if error.errno == _SYNTAX_ERROR and _HOLDS_PASSWORD.match(statement):
            # The server quotes the statement from the fault on.
            text = "syntax error in a statement with a password; the server's words are withheld"
        translated = server_error(error.errno, error.sqlstate, text)
        if translated.reason is Reason.MYSQL_UNAVAILABLE:
            self._connection.close()
        if translated.reason is Reason.MISSING_GRANT:
            # A GRANT on *.* that mends it counts from the next login on.
            self.is_reusable = False
        return translated

    @asynccontextmanager
    async def transaction(
        self, *, consistent_snapshot: bool = False, read_only: bool = False
    ) -> AsyncGenerator[None]:
        """Run the enclosed statements in one transaction; any exception rolls it back."""
        options = ["WITH CONSISTENT SNAPSHOT"] if consistent_snapshot else []
        if read_only:
            options.append("READ ONLY")
        await self.execute(f"START TRANSACTION {', '.join(options)}".rstrip())
        try:
            yield
        except Exception:
            if self._connection.is_usable:
                await self.execute("ROLLBACK")
            raise
        except BaseException:
            # Cancelled: the server rolls back when the connection goes.
            self._connection.close()
            raise
        await self.execute("COMMIT")


def _verb(statement: bytes) -> str:
    """Return the statement's first word for a trace: nothing of it that could be a secret."""
    word = statement[:64].split(None, 1)[:1]
    text = word[0].decode(errors="replace").upper() if word else ""
    return text if text.isascii() and text.isalpha() else "OTHER"
