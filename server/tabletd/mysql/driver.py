"""One connection: aiomysql's own, with every answer read to its end or the connection given up."""

from __future__ import annotations

import asyncio
import select
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pymysql._auth import ed25519_password
from pymysql.constants import CLIENT, SERVER_STATUS
from pymysql.err import Error as DriverError
from pymysql.err import OperationalError

from tabletd.errors import Reason, TabletdError
from tabletd.mysql.cells import CONVERTERS, column, remark, size_bytes
from tabletd.mysql.errors import LOGIN_METHOD, ConnectionRefused, connect_error, unreachable
from tabletd.mysql.literals import bind, encode
from tabletd.mysql.result import ResultSet
from tabletd.mysql.settings import MySQLSettings
from tabletd.mysql.tls import TlsMode
from tabletd.mysql.tls_errors import broken_off, handshake_error, not_offered

# The server ends a connection that we lost sight of; the pool never keeps one idle for so long.
WAIT_TIMEOUT_SECONDS: Final = 600
_STRICT_MODE: Final = (
    "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
    "NO_ENGINE_SUBSTITUTION"
)
_ROWS_AT_ONCE_MAX: Final = 256
_CLEAR_PASSWORD: Final = "mysql_clear_password"  # noqa: S105  # the method's name
_METHODS: Final = frozenset(
    {_CLEAR_PASSWORD, "caching_sha2_password", "mysql_native_password", "sha256_password"}
)
_NO_BACKSLASH_ESCAPES: Final = SERVER_STATUS.SERVER_STATUS_NO_BACKSLASH_ESCAPES
_CLIENT_ERRORS: Final = range(2000, 3000)  # made by the client library, none by a server
_NO_CONVERTERS: Final[Mapping[int, Any]] = {}
_SETUP: Final = (
    "SET NAMES utf8mb4, @@session.time_zone = '+00:00', @@session.autocommit = 1, "
    f"@@session.wait_timeout = {WAIT_TIMEOUT_SECONDS}"
)


if TYPE_CHECKING:
    # What we use of aiomysql, which has no types. Its names with an underscore are private: for
    # them aiomysql is pinned to 0.3, and they are used in this module only.
    #   _connect: `aiomysql.connect` makes connections of its own class, with MULTI_STATEMENTS on.
    #   _reader, _writer: whether the connection is alive must be known without asking the server.
    #   _result: cursors keep the columns' tables, flags and collations, the counts and the remark
    #       to themselves, and send SHOW WARNINGS after each statement that had one.
    #   _read_query_result, _read_rowdata_packet_unbuffered: what `SSCursor` reads rows by.
    #   _request_authentication, _process_auth: whatever a server offers or asks for is done,
    #       without TLS where it was wanted, and the password sent as it is where nobody hides it.
    #   _secure, _server_auth_plugin: what the greeting and the handshake came to.

    class _Packet:
        def read_all(self) -> bytes: ...

    class _StreamReader(asyncio.StreamReader):
        eof_received: bool

    class _Field:
        def get_all_data(self) -> bytes: ...

    class _Result:
        affected_rows: int
        insert_id: int | None
        warning_count: int
        message: bytes | None
        fields: list[_Field]
        field_count: int
        rows: tuple[tuple[Any, ...], ...] | None
        has_next: int | None

        async def _read_rowdata_packet_unbuffered(self) -> tuple[Any, ...] | None: ...

    class _AiomysqlConnection:
        client_flag: int
        server_capabilities: int
        server_status: int
        _password: str
        _secure: bool
        _server_auth_plugin: str
        _ssl_context: ssl.SSLContext | None
        _reader: _StreamReader | None
        _writer: asyncio.StreamWriter | None
        _result: _Result

        def __init__(self, **options: Any) -> None: ...
        def get_autocommit(self) -> bool: ...
        def get_transaction_status(self) -> bool: ...
        async def ping(self, reconnect: bool) -> None: ...
        async def query(self, sql: bytes, unbuffered: bool) -> int: ...
        def thread_id(self) -> int: ...
        def write_packet(self, payload: bytes) -> None: ...
        async def _connect(self) -> None: ...
        async def _request_authentication(self) -> None: ...
        async def _process_auth(self, plugin_name: bytes, auth_packet: _Packet) -> object: ...
        async def _read_packet(self) -> _Packet: ...
        async def _read_query_result(self, unbuffered: bool) -> None: ...

else:
    from aiomysql import Connection as _AiomysqlConnection


class ConnectionLost(Exception):
    """The stream ended, broke, or holds what no server may send here."""


class ResultTooLarge(Exception):
    """The answer passed a limit; its rest is still in the stream."""


class ServerError(Exception):
    """The server's refusal."""

    def __init__(self, errno: int, sqlstate: str, text: str) -> None:
        super().__init__(errno, sqlstate, text)
        self.errno = errno
        self.sqlstate = sqlstate
        self.text = text


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of an answer is taken; None: no limit."""

    rows_max: int | None = None
    bytes_max: int | None = None


NO_LIMITS: Final = Limits()


class Connection(_AiomysqlConnection):
    """A connection of a pool.

    Args:
        settings: server and account.
        database: default schema.
        raw: leave cells as text bytes, and leave the server's sql_mode.
    """

    def __init__(self, settings: MySQLSettings, *, database: str | None, raw: bool) -> None:
        tls = settings.connection_tls
        super().__init__(
            host=settings.host,
            port=settings.port,
            unix_socket=settings.unix_socket,
            user=settings.user,
            # aiomysql encodes as latin-1; the server compares UTF-8.
            password=settings.password.encode().decode("latin-1"),
            db=database,
            charset="utf8mb4",
            use_unicode=not raw,
            conv=_NO_CONVERTERS if raw else CONVERTERS,
            autocommit=None,
            program_name=settings.program_name,
            ssl=None if tls is None else tls.context,
        )
        # One statement per call: what follows a semicolon must never run.
        self.client_flag &= ~CLIENT.MULTI_STATEMENTS
        self._settings = settings
        self._database = database
        self._raw = raw
        self.idle_since = 0.0
        self._is_shaking_hands = False

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
            raise self._login_error(error) from error
        except ServerError as error:
            self.close()
            raise self._refused(error.errno, error.text) from None
        except ConnectionLost as error:
            self.close()
            raise unreachable(settings, error) from None
        except TabletdError:
            self.close()
            raise
        except Exception as error:
            # Whatever listens there is no MySQL, or its login needs a package that is not here.
            self.close()
            raise self._refused(LOGIN_METHOD, str(error)) from error
        except BaseException:
            self.close()
            raise

    async def _request_authentication(self) -> None:
        """Log in; with TLS first where it is wanted and offered, and not at all where it is not."""
        tls = self._settings.connection_tls
        if tls is not None and not self.server_capabilities & CLIENT.SSL:
            if tls.mode is not TlsMode.PREFERRED:
                raise not_offered(self._settings, tls)
            self._ssl_context = None
            self.client_flag &= ~CLIENT.SSL
        self._is_shaking_hands = self._ssl_context is not None
        if self._server_auth_plugin == _CLEAR_PASSWORD and not self._is_shaking_hands:
            # It would be sent as it is before the server has said what it wants for this account.
            self._server_auth_plugin = "mysql_native_password"
        try:
            await super()._request_authentication()
        except BaseException:
            # aiomysql would say good-bye by TLS, and leave the socket open until that is answered.
            self.close()
            raise

    async def _process_auth(self, plugin_name: bytes, auth_packet: _Packet) -> object:
        """Log in by the method that the server asks for."""
        method = plugin_name.decode(errors="replace")
        asked = f"the server asks for the login by {method}"
        if method == "client_ed25519":
            password = self._password.encode("latin-1")
            self.write_packet(ed25519_password(password, auth_packet.read_all()))
            return await self._read_packet()
        if method not in _METHODS:
            raise OperationalError(LOGIN_METHOD, f"{asked}, which is not known here")
        if method == _CLEAR_PASSWORD and not self._secure:
            raise OperationalError(LOGIN_METHOD, f"{asked}, and the connection has no TLS")
        return await super()._process_auth(plugin_name, auth_packet)

    @property
    def is_encrypted(self) -> bool:
        """Whether TLS is, or at the end was, spoken; never over a socket of this machine."""
        return self._secure and not self._settings.unix_socket

    def _refused(self, number: int, text: str) -> TabletdError:
        return connect_error(
            self._settings, self._database, number, text, is_encrypted=self.is_encrypted
        )

    def _login_error(self, error: DriverError) -> TabletdError:
        settings, cause = self._settings, error.__cause__
        tls = settings.connection_tls
        if tls is not None and isinstance(cause, ssl.SSLError):
            return handshake_error(settings, tls, cause)
        match error.args:
            case (2003, *_) if tls is not None and self._is_shaking_hands and not self._secure:
                return broken_off(settings, tls, cause or error)
            case (2013, *_) if tls is not None and self.is_encrypted:
                return broken_off(settings, tls, cause or error)
            case (2003, *_):
                return unreachable(settings, cause or error)
            case (int(number), str(text), *_):
                return self._refused(number, text)
            case _:
                return self._refused(LOGIN_METHOD, str(error))

    @property
    def connection_id(self) -> int:
        """The server's number for this connection."""
        return self.thread_id()

    @property
    def in_transaction(self) -> bool:
        """Whether the session is, or without autocommit may be, inside a transaction."""
        return self.get_transaction_status() or not self.get_autocommit()

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
            backslash_escapes = not self.server_status & _NO_BACKSLASH_ESCAPES
            sql = bind(sql, params, backslash_escapes=backslash_escapes)
        return encode(sql)

    async def run(self, statement: bytes, limits: Limits = NO_LIMITS) -> ResultSet:
        """Send one statement and return its first result; further ones (of a CALL) are dropped.

        Raises:
            ServerError: the server refused or stopped the statement; the connection is usable.
            ResultTooLarge: a limit was passed; the connection is not usable.
            ConnectionLost: it is gone.
        """
        # Row by row only where the size of the answer matters: all at once is cheaper.
        unbuffered = limits != NO_LIMITS
        try:
            await self.query(statement, unbuffered=unbuffered)
            result = await self._take_result(limits)
            while self._result.has_next:
                await self._read_query_result(unbuffered=unbuffered)
                await self._take_result(limits)
        except ResultTooLarge:
            raise
        except DriverError as error:
            raise self._told(error) from error
        except Exception as error:
            # aiomysql stumbled over bytes that no server may send here; the rest is still to come.
            self.close()
            raise ConnectionLost(f"the server's answer cannot be read: {error!r}") from error
        self.idle_since = time.monotonic()
        return result

    async def _take_result(self, limits: Limits) -> ResultSet:
        result = self._result
        if not result.field_count:
            return ResultSet(
                rows_affected=result.affected_rows,
                insert_id=result.insert_id or 0,
                warning_count=result.warning_count,
                info=remark(result.message or b""),
            )
        rows = await self._rows(limits) if limits != NO_LIMITS else list(result.rows or ())
        return ResultSet(
            columns=tuple([column(field.get_all_data()) for field in result.fields]),
            rows=rows,
            rows_affected=len(rows),
            # aiomysql reads two unsigned bytes as signed ones.
            warning_count=result.warning_count & 0xFFFF,
        )

    async def _rows(self, limits: Limits) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        size = 0
        read_row = self._result._read_rowdata_packet_unbuffered  # pyright: ignore[reportPrivateUsage]
        while (row := await read_row()) is not None:
            if limits.rows_max is not None and len(rows) >= limits.rows_max:
                raise ResultTooLarge(f"more than {limits.rows_max} rows")
            size += size_bytes(row)
            if limits.bytes_max is not None and size > limits.bytes_max:
                raise ResultTooLarge(f"more than {limits.bytes_max} bytes")
            rows.append(row)
            if len(rows) % _ROWS_AT_ONCE_MAX == 0:
                # Rows that have arrived are read without a pause; the heartbeat must get its turn.
                await asyncio.sleep(0)
        return rows

    def _told(self, error: DriverError) -> ServerError | ConnectionLost:
        """Tell the server's refusal from aiomysql's own errors, after which nothing may be sent."""
        match error.args:
            case (int(number), str(text)) if number not in _CLIENT_ERRORS:
                return ServerError(number, getattr(error, "sqlstate", None) or "", text)
            case _:
                self.close()
                return ConnectionLost(str(error))

    async def answers(self) -> bool:
        """Ask the server for a sign of life; return whether it came."""
        try:
            await self.ping(reconnect=False)
        except Exception:
            self.close()
            return False
        self.idle_since = time.monotonic()
        return True

    def quit(self) -> None:
        """Say good-bye, so that the server logs no aborted connection, and close."""
        if self._writer is not None and self.is_usable:
            self._writer.write(b"\x01\x00\x00\x00\x01")
            if not self.is_encrypted:
                self._writer.close()
        self.close()

    def close(self) -> None:
        """Close at once, without waiting for what was not sent yet."""
        if self._writer is not None and not self._writer.transport.is_closing():
            self._writer.transport.abort()
        self._writer = None
        self._reader = None


async def speaks_tls(settings: MySQLSettings) -> bool:
    """Connect once, and tell whether TLS was spoken; whether we are let in does not matter.

    Raises:
        TlsRefused: TLS cannot be had as it is asked for.
        MySQLUnavailable: nobody answers, or takes no connection at this moment.
    """
    connection = Connection(settings, database=None, raw=True)
    try:
        await connection.open()
    except ConnectionRefused as error:
        if error.reason is not Reason.MYSQL_ACCESS_DENIED:
            raise
    finally:
        connection.quit()
    return connection.is_encrypted
