"""The statements behind the calls of operators: fetches, schema, positions, read_only.

What an operator sends as the dba is passed to the server as it is: it is the operator's own act,
also where it writes on a replica.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from tabletd.admin.bind_variables import BindValue, bind
from tabletd.admin.statements import plain_statement
from tabletd.errors import NotWritable, Reason, TabletdError
from tabletd.executor.lexer import split_statements
from tabletd.mysql.cells import size_bytes
from tabletd.mysql.flavor import server_info
from tabletd.mysql.full_status import FullStatus, full_status
from tabletd.mysql.permissions import Permissions, read_permissions
from tabletd.mysql.pool import Pool
from tabletd.mysql.position import wait_for_position
from tabletd.mysql.quote import identifier
from tabletd.mysql.replication import (
    PrimaryStatus,
    ReplicationStatus,
    primary_status,
    replication_status,
)
from tabletd.mysql.result import RESULT_BYTES_MAX, ResultSet
from tabletd.mysql.schema import SchemaDefinition, describe_schema
from tabletd.mysql.session import Session
from tabletd.mysql.variables import as_text, is_read_only

# A DDL may take long; a caller that has less patience sets a deadline, which ends the statement.
_STATEMENT_SECONDS_MAX: Final = 6 * 3600.0
_READ_ONLY_SECONDS_MAX: Final = 30.0
_PAGE_SECONDS_MAX: Final = 3.0
_POSITION_SECONDS_MAX: Final = 30.0
_TEXT_AT_ONCE_MAX: Final = 16 * 1024
_RECENT_MIGRATIONS: Final = """
SELECT migration_uuid, mysql_schema, mysql_table, strategy, migration_status, progress, stage,
       message
FROM _vt.schema_migrations ORDER BY id DESC LIMIT 20
"""
_ROWS_MAX_DEFAULT: Final = 100_000  # for callers that set no limit

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class FetchOptions:
    """How an operator's statements are run.

    Attributes:
        database: schema to be in; empty: the tablet's own, where it exists.
        rows_max: more rows are refused; 0: more than 100,000.
        disable_binlogs: keep the statements out of the binary log.
        disable_foreign_key_checks: do not check foreign keys in this session.
    """

    database: str = ""
    rows_max: int = 0
    disable_binlogs: bool = False
    disable_foreign_key_checks: bool = False


class TabletAdmin:
    """Runs operators' statements, and asks the server about itself.

    Args:
        pool: the daemon's own connections (Python values).
        dba_pool: connections for operators' statements, the server's own text (raw).
        app_pool: the same with the application's account.
        database: the tablet's schema.
    """

    def __init__(self, *, pool: Pool, dba_pool: Pool, app_pool: Pool, database: str) -> None:
        self._pool = pool
        self._dba_pool = dba_pool
        self._app_pool = app_pool
        self._database = database

    async def fetch_as_dba(self, sql: bytes, options: FetchOptions) -> ResultSet:
        """Run one statement with the daemon's account.

        Raises:
            TabletdError: RESULT_TOO_LARGE for more than `rows_max` rows; the server's errors.
        """
        _refuse_empty(sql)
        async with self._dba_session(options) as session:
            return await _run(session, sql, options.rows_max)

    async def fetch_multi_as_dba(self, sql: bytes, options: FetchOptions) -> list[ResultSet]:
        """Run several statements in order, in one session; the first error ends it.

        Raises:
            TabletdError: as `fetch_as_dba`; RESULT_TOO_LARGE also for all results together;
                DDL_SYNTAX for a text that cannot be split.
        """
        _refuse_empty(sql)
        async with self._dba_session(options) as session:
            modes = await _sql_modes(session)
            statements = await _beside_the_loop(split_statements, _text(sql), **modes)
            results: list[ResultSet] = []
            bytes_left = RESULT_BYTES_MAX
            for statement in statements:
                result = await _run(session, statement, options.rows_max, bytes_max=bytes_left)
                bytes_left -= sum(map(size_bytes, result.rows))
                results.append(result)
        return results

    async def fetch_as_app(self, sql: bytes, rows_max: int) -> ResultSet:
        """Run one statement with the application's account.

        Raises:
            TabletdError: as `fetch_as_dba`.
        """
        _refuse_empty(sql)
        async with self._app_pool.session() as session:
            session.drop_afterwards()
            await self._enter_database(session, "")
            return await _run(session, sql, rows_max)

    async def execute_query(
        self,
        sql: str,
        variables: Mapping[str, BindValue],
        *,
        database: str = "",
        rows_max: int = 0,
    ) -> ResultSet:
        """Run a plain SELECT, SHOW, DML or DDL with the application's account.

        Nothing is written while the server is read-only, whatever the account may do.

        Raises:
            TabletdError: as `statements.plain_statement` and `bind_variables.bind`; READ_ONLY;
                RESULT_TOO_LARGE; the server's errors.
        """
        async with self._app_pool.session() as session:
            session.drop_afterwards()
            modes = await _sql_modes(session)
            statement = await _beside_the_loop(plain_statement, sql, **modes)
            if statement.writes and await is_read_only(session):
                raise NotWritable()
            await self._enter_database(session, database)
            if not variables:
                return await _run(session, statement.text, rows_max)
            text, values = await _beside_the_loop(bind, statement.text, variables, **modes)
            return await _run(session, text, rows_max, values)

    async def schema(
        self,
        *,
        tables: Sequence[str],
        exclude_tables: Sequence[str],
        include_views: bool,
        table_schema_only: bool,
    ) -> SchemaDefinition:
        """Describe the tablet's schema.

        Raises:
            TabletdError: TABLE_NOT_FOUND when the schema does not exist.
        """
        async with self._pool.session() as session:
            return await describe_schema(
                session,
                self._database,
                tables=tuple(tables),
                exclude_tables=tuple(exclude_tables),
                include_views=include_views,
                table_schema_only=table_schema_only,
            )

    async def replication_status(self) -> ReplicationStatus:
        """Return what the replica says of itself.

        Raises:
            TabletdError: REPLICATION_NOT_RUNNING when the server is no replica.
        """
        async with self._pool.session() as session:
            status = await replication_status(session, await server_info(session))
        if status is None:
            raise TabletdError(
                Reason.REPLICATION_NOT_RUNNING,
                "no replication status: this server is no replica",
                hint="PrimaryStatus has the position of a primary",
            )
        return status

    async def primary_status(self) -> PrimaryStatus:
        """Return the server's own position."""
        async with self._pool.session() as session:
            return await primary_status(session, await server_info(session))

    async def full_status(self) -> FullStatus:
        """Return all that orchestrators want to know at once."""
        async with self._pool.session() as session:
            return await full_status(session, await server_info(session))

    async def permissions(self) -> Permissions:
        """Return the accounts of the server and their rights."""
        async with self._pool.session() as session:
            return await read_permissions(session)

    async def wait_for_position(self, position: str) -> None:
        """Wait until the server has applied all of a position, up to half a minute.

        Raises:
            TabletdError: TIMEOUT; INVALID_REQUEST for a position of another kind of server.
        """
        async with self._pool.session() as session:
            await wait_for_position(session, position, timeout_seconds=_POSITION_SECONDS_MAX)

    async def recent_migrations(self) -> list[dict[str, Any]]:
        """Return the latest rows of the queue, newest first; none before its table exists."""
        try:
            result = await self._pool.execute(_RECENT_MIGRATIONS, timeout_seconds=_PAGE_SECONDS_MAX)
        except TabletdError as error:
            if error.reason is Reason.TABLE_NOT_FOUND:
                return []
            raise
        return result.dicts()

    async def set_read_only(self, read_only: bool) -> None:
        """Set the server's `read_only`; waits for running writes, as the server does."""
        async with self._pool.session() as session:
            # OFF ends super_read_only as well, where there is one.
            statement = f"SET GLOBAL read_only = {'ON' if read_only else 'OFF'}"
            await session.execute(statement, timeout_seconds=_READ_ONLY_SECONDS_MAX)

    @asynccontextmanager
    async def _dba_session(self, options: FetchOptions) -> AsyncGenerator[Session]:
        # Whatever the statements do to the session ends with it.
        async with self._dba_pool.session() as session:
            session.drop_afterwards()
            await self._enter_database(session, options.database)
            if options.disable_binlogs:
                await session.execute("SET SESSION sql_log_bin = OFF")
            if options.disable_foreign_key_checks:
                await session.execute("SET SESSION foreign_key_checks = OFF")
            yield session

    async def _enter_database(self, session: Session, database: str) -> None:
        try:
            await session.execute(f"USE {identifier(database or self._database)}")
        except TabletdError as error:
            if database or error.reason is not Reason.TABLE_NOT_FOUND:
                raise


async def _beside_the_loop(
    read: Callable[Concatenate[str, P], T], sql: str, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Read a text; a long one in a thread, since the heartbeat must not wait for its tokens."""
    if len(sql) <= _TEXT_AT_ONCE_MAX:
        return read(sql, *args, **kwargs)
    return await asyncio.to_thread(read, sql, *args, **kwargs)


async def _run(
    session: Session,
    sql: str | bytes,
    rows_max: int,
    values: Sequence[Any] | None = None,
    *,
    bytes_max: int = RESULT_BYTES_MAX,
) -> ResultSet:
    return await session.execute(
        sql,
        values,
        timeout_seconds=_STATEMENT_SECONDS_MAX,
        rows_max=rows_max or _ROWS_MAX_DEFAULT,
        bytes_max=bytes_max,
    )


async def _sql_modes(session: Session) -> dict[str, bool]:
    """Return how the server reads quotes and backslashes, as the lexer wants to know it."""
    result = await session.execute("SELECT @@session.sql_mode")
    modes = as_text(result.scalar()).split(",")
    return {
        "ansi_quotes": "ANSI_QUOTES" in modes,
        "backslash_escapes": "NO_BACKSLASH_ESCAPES" not in modes,
    }


def _refuse_empty(sql: bytes) -> None:
    if not sql.strip():
        raise TabletdError(Reason.INVALID_REQUEST, "the statement is empty")


def _text(sql: bytes) -> str:
    try:
        return sql.decode()
    except UnicodeDecodeError as error:
        raise TabletdError(
            Reason.INVALID_REQUEST, f"the statements are not UTF-8 text: byte {error.start}"
        ) from None
