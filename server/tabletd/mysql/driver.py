"""One connection: aiomysql for connecting and login, our own reader for answers."""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from pymysql.constants import CLIENT, COMMAND
from pymysql.err import Error as DriverError

from tabletd.errors import TabletdError
from tabletd.mysql.errors import connect_error, unreachable
from tabletd.mysql.literals import bind, encode
from tabletd.mysql.packets import (
    STATUS_IN_TRANSACTION,
    STATUS_NO_BACKSLASH_ESCAPES,
    AnswerReader,
    ConnectionLost,
    Limits,
    ServerError,
)
from tabletd.mysql.result import ResultSet
from tabletd.mysql.settings import MySQLSettings

# The server ends a connection that we lost sight of; the pool never keeps one idle for so long.
WAIT_TIMEOUT_SECONDS: Final = 600
_STRICT_MODE: Final = (
    "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
    "NO_ENGINE_SUBSTITUTION"
)
_LOGIN_METHOD: Final = 2059  # client library: the login method cannot be used
_SETUP: Final = (
    "SET NAMES utf8mb4, @@session.time_zone = '+00:00', @@session.autocommit = 1, "
    f"@@session.wait_timeout = {WAIT_TIMEOUT_SECONDS}"
)


if TYPE_CHECKING:

    class _StreamReader(asyncio.StreamReader):
        eof_received: bool

    class _AiomysqlConnection:
        """The part of `aiomysql.Connection`, which has no types, that we stand on."""

        client_flag: int
        server_status: int
        _next_seq_id: int
        _reader: _StreamReader | None
        _writer: asyncio.StreamWriter | None

        def __init__(self, **options: Any) -> None: ...
        async def _connect(self) -> None: ...
        async def _execute_command(self, command: int, sql: bytes) -> None: ...
        def thread_id(self) -> int: ...

else:
    from aiomysql import Connection as _AiomysqlConnection


class Connection(_AiomysqlConnection):
    """A connection of a pool.

    Args:
        settings: server and account.
        database: default schema.
        raw: leave cells as text bytes, and leave the server's sql_mode.
    """

    def __init__(self, settings: MySQLSettings, *, database: str | None, raw: bool) -> None:
        super().__init__(
            host=settings.host,
            port=settings.port,
            unix_socket=settings.unix_socket,
            user=settings.user,
            # aiomysql encodes as latin-1; the server compares UTF-8.
            password=settings.password.encode().decode("latin-1"),
            db=database,
            charset="utf8mb4",
            autocommit=None,
            program_name=settings.program_name,
        )
        # One statement per call: what follows a semicolon must never run.
        self.client_flag &= ~CLIENT.MULTI_STATEMENTS
        self._settings = settings
        self._database = database
        self._raw = raw
        self.idle_since = 0.0

    async def open(self) -> None:
        """Connect, log in and set the session up, within the settings' limit.

        Raises:
            MySQLUnavailable: nobody answers.
            ConnectionRefused: the server does not let us in.
        """
        settings = self._settings
        try:
            async with asyncio.timeout(settings.connect_timeout_seconds):
                await self._connect()
                mode = "" if self._raw else f", @@session.sql_mode = '{_STRICT_MODE}'"
                await self.run((_SETUP + mode).encode())
        except TimeoutError:
            self.close()
            limit = settings.connect_timeout_seconds
            raise unreachable(settings, f"no answer within {limit:g} s") from None
        except DriverError as error:
            self.close()
            raise _login_error(settings, self._database, error) from error
        except ServerError as error:
            self.close()
            raise connect_error(settings, self._database, error.errno, error.text) from None
        except ConnectionLost as error:
            self.close()
            raise unreachable(settings, error) from None
        except Exception as error:
            # Whatever listens there is no MySQL, or its login needs a package that is not here.
            self.close()
            raise connect_error(settings, self._database, _LOGIN_METHOD, str(error)) from error
        except BaseException:
            self.close()
            raise

    @property
    def connection_id(self) -> int:
        """The server's number for this connection."""
        return self.thread_id()

    @property
    def in_transaction(self) -> bool:
        """Whether the last answer came from inside a transaction."""
        return bool(self.server_status & STATUS_IN_TRANSACTION)

    @property
    def is_usable(self) -> bool:
        """Whether nothing speaks against sending a statement."""
        return (
            self._writer is not None
            and self._reader is not None
            and not self._writer.transport.is_closing()
            and not self._reader.eof_received
        )

    @property
    def is_silent(self) -> bool:
        """Whether the server has sent nothing unasked: no farewell, no end of the stream.

        Asks the socket itself: the event loop may not have looked at it since.
        """
        if self._writer is None:
            return False
        poll = select.poll()
        poll.register(self._writer.get_extra_info("socket"), select.POLLIN)
        return not poll.poll(0)

    def statement(self, sql: str | bytes, params: Sequence[Any] | None) -> bytes:
        """Return the text to send, with the parameters written in."""
        if isinstance(sql, bytes):
            if params is not None:
                raise TypeError("a statement of bytes takes no parameters")
            return sql
        if params is not None:
            backslash_escapes = not self.server_status & STATUS_NO_BACKSLASH_ESCAPES
            sql = bind(sql, params, backslash_escapes=backslash_escapes)
        return encode(sql)

    async def run(self, statement: bytes, limits: Limits = Limits()) -> ResultSet:  # noqa: B008 - frozen
        """Send one statement and read its answer.

        Raises:
            ServerError, ResultTooLarge, ConnectionLost: see AnswerReader.read.
        """
        return await self._command(COMMAND.COM_QUERY, statement, limits)

    async def answers(self) -> bool:
        """Ask the server for a sign of life; return whether it came."""
        try:
            await self._command(COMMAND.COM_PING, b"", Limits())
        except (ConnectionLost, ServerError):
            return False
        return True

    async def _command(self, command: int, payload: bytes, limits: Limits) -> ResultSet:
        if self._reader is None:
            raise ConnectionLost("the connection is closed")
        await self._execute_command(command, payload)
        reader = AnswerReader(self._reader, self._next_seq_id, raw=self._raw)
        result = await reader.read(limits)
        self.server_status = reader.status
        self.idle_since = time.monotonic()
        return result

    def quit(self) -> None:
        """Say good-bye, so that the server logs no aborted connection, and close."""
        if self._writer is not None and self.is_usable:
            self._writer.write(b"\x01\x00\x00\x00\x01")
            self._writer.close()
        self.close()

    def close(self) -> None:
        """Close at once, without waiting for what was not sent yet."""
        if self._writer is not None and not self._writer.transport.is_closing():
            self._writer.transport.abort()
        self._writer = None
        self._reader = None


def _login_error(settings: MySQLSettings, database: str | None, error: DriverError) -> TabletdError:
    match error.args:
        case (2003, *_):
            return unreachable(settings, error.__cause__ or error)
        case (int(number), str(text), *_):
            return connect_error(settings, database, number, text)
        case _:
            return connect_error(settings, database, _LOGIN_METHOD, str(error))
