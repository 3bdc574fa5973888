"""What no migration is let into the queue for: it is full, or could never carry it out here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.executor.preflight import server
from tabletd.executor.queue_limit import QueueLimit
from tabletd.executor.settings import ExecutorSettings
from tabletd.executor.strategy import Strategy
from tabletd.executor.submit import Submission
from tabletd.mysql.errors import MySQLError
from tabletd.mysql.flavor import server_info
from tabletd.mysql.pool import Pool
from tabletd.mysql.quote import identifier
from tabletd.mysql.variables import global_variables

# Only what an operator does not change by a SET GLOBAL: the rest is looked at when the run begins.
_CHECKS: Final[Mapping[Strategy, tuple[server.ServerCheck, ...]]] = {
    Strategy.GH_OST: (server.gh_ost_server, server.not_galera_for_gh_ost),
    Strategy.PT_OSC: (server.pt_osc_server,),
}
_VARIABLES: Final = ("transaction_isolation", "wsrep_on")
# A syntax error; on MariaDB, a type that nobody knows.
_UNREADABLE: Final = frozenset({1064, 4161})
# Preparing a view looks at its tables, which somebody may hold.
_LOCK_WAIT_SECONDS: Final = 1


class Admission:
    """Asks the server whether it can read a migration, and whether its tool could ever work on it.

    Args:
        pool: the daemon's own account.
        allows_unsafe_cutover: the operator's `allow_unsafe_cutover`.
        limit: of the queue's length; None: it may become as long as it will.
    """

    def __init__(
        self, pool: Pool, *, allows_unsafe_cutover: bool, limit: QueueLimit | None = None
    ) -> None:
        self._pool = pool
        self._allows_unsafe_cutover = allows_unsafe_cutover
        self._limit = limit

    async def check(self, submission: Submission) -> None:
        """Refuse what the server cannot read, and what its tool could not do whatever is set there.

        Raises:
            TabletdError: QUEUE_FULL; DDL_SYNTAX; UNSUPPORTED_SERVER, naming what serves instead;
                the server is away.
        """
        if self._limit is not None:
            await self._limit.check(
                migration_uuid=submission.migration_uuid, keyspace=submission.keyspace
            )
        if not submission.reverted_uuid:
            await self._read(submission.migration_statement, submission.mysql_schema)
        await self._check_tool(submission)

    async def _read(self, statement: str, schema: str) -> None:
        """Let the server read a statement without carrying it out.

        What it says but of the syntax is of this moment: when the migration's turn comes, a table
        that is missing now may be there.
        """
        async with self._pool.session() as session:
            session.drop_afterwards()
            await session.execute(f"SET SESSION lock_wait_timeout = {_LOCK_WAIT_SECONDS}")
            try:
                await session.execute(f"USE {identifier(schema)}")
                await session.execute("PREPARE tabletd_trial FROM %s", (statement,))
            except MySQLError as error:
                # Between double quotes there may be a name, by the sql_mode of who carries it out.
                if error.errno in _UNREADABLE and '"' not in statement:
                    raise

    async def _check_tool(self, submission: Submission) -> None:
        checks = _CHECKS.get(submission.strategy, ())
        # One that is made instantly needs no tool: that is seen when it begins.
        is_by_server = submission.is_immediate_operation or submission.flags.prefer_instant_ddl
        if is_by_server or not checks:
            return
        async with self._pool.session() as session:
            found = server.KnownServer(
                await server_info(session),
                await global_variables(session, *_VARIABLES),
                self._allows_unsafe_cutover,
            )
        for check in checks:
            check(found)


def check_enabled(settings: ExecutorSettings) -> None:
    """Refuse every new migration where the operator wants none. Text: Vitess.

    Raises:
        TabletdError: MIGRATION_REJECTED.
    """
    if not settings.enable_online_ddl:
        raise TabletdError(
            Reason.MIGRATION_REJECTED,
            "online DDL is disabled",
            hint="use the strategy direct, or set enable_online_ddl",
        )
