"""Settles all about a tool's run before it begins, and again for a run that is taken over."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.executor import hooks, names
from tabletd.executor.accounts import Account, new_account, parse_account
from tabletd.executor.ddl import parse
from tabletd.executor.engines import catalogue
from tabletd.executor.engines.adoption import StoredPlan
from tabletd.executor.engines.leftovers import cleaning_session
from tabletd.executor.engines.settings import EngineSettings
from tabletd.executor.engines.tool import RunPlan, Tool
from tabletd.executor.engines.workspace import Workspace, new_workspace
from tabletd.executor.migration import Migration
from tabletd.executor.preflight import run_checks
from tabletd.executor.preflight.facts import Facts, ServerFacts, Table, gather
from tabletd.mysql.driver import speaks_tls
from tabletd.mysql.pool import Pool
from tabletd.mysql.settings import MySQLSettings
from tabletd.mysql.tls import Tls, TlsMode
from tabletd.mysql.tls_errors import TlsRefused

PASSWORD_FILE: Final = "account"  # noqa: S105  # the file's name
_LOOPBACK: Final = "127.0.0.1"


class RunPlanner:
    """Asks the server and the tool's program, and names what a run will make.

    Args:
        tool: what is particular to it.
        pool: the daemon's own account.
        settings: places and addresses.
    """

    def __init__(self, tool: Tool, *, pool: Pool, settings: EngineSettings) -> None:
        self._tool = tool
        self._pool = pool
        self._settings = settings

    @property
    def host(self) -> str:
        """Where the tools reach the server."""
        if self._settings.tool_host:
            return self._settings.tool_host
        settings = self._pool.settings
        is_local = settings.unix_socket or settings.host == "localhost"
        return _LOOPBACK if is_local else settings.host

    async def port(self) -> int:
        """Where the tools reach the server over TCP; a socket's path does not say."""
        if not self._pool.settings.unix_socket:
            return self._pool.settings.port
        async with self._pool.session() as session:
            return int((await session.execute("SELECT @@global.port")).scalar())

    async def tools_login(self) -> MySQLSettings:
        """Return how the daemon itself logs in where the tools do."""
        settings = self._pool.settings
        return replace(settings, host=self.host, port=await self.port(), unix_socket=None)

    async def _tls(self) -> Tls | None:
        """Return the TLS of the tool's connections, tried on one of our own to the same place.

        Raises:
            TlsRefused: the tool would not get in.
        """
        asked = self._pool.settings.tls
        if asked is None:
            return None
        tls = await asyncio.to_thread(self._tool.tls, asked)
        is_spoken = await speaks_tls(replace(await self.tools_login(), tls=tls))
        return tls if is_spoken or tls.mode is not TlsMode.PREFERRED else None

    async def plan(self, migration: Migration) -> RunPlan:
        """Plan a run; nothing is made yet.

        Raises:
            TabletdError: what the checks of the tool refuse.
        """
        stem = f"{migration.migration_uuid}_{names.readable_timestamp()}"
        made = self._tool.table_names(migration.mysql_table, stem)
        kept = self._tool.kept_old_table(migration.mysql_table, stem)
        facts = await self._facts(migration, made, kept)
        run_checks(self._tool.checks, facts)
        try:
            tls = await self._tls()
        except TlsRefused as error:
            raise self._no_tls(error) from error
        free = [name for name in kept if name not in facts.taken_names]
        callback = hooks.Callback(
            url=self._settings.callback_url(),
            migration_uuid=migration.migration_uuid,
            app=self._tool.strategy,
            token=hooks.new_token(),
        )
        return RunPlan(
            facts=facts,
            nonce=secrets.token_hex(16),
            tables=(*made, *free[:1]),
            workspace=new_workspace(self._settings, migration),
            account=self._account(migration, tls),
            callback=callback,
            host=self.host,
            port=await self.port(),
            tls=tls,
        )

    async def plan_again(
        self,
        migration: Migration,
        workspace: Workspace,
        stored: StoredPlan,
        callback: hooks.Callback,
    ) -> RunPlan:
        """Make the plan of a run that an earlier daemon began; nothing is checked any more.

        Raises:
            TabletdError: TABLE_NOT_FOUND in the moment of a cut-over in two steps.
            TlsRefused: the tool could not be started again.
        """
        tls = await self._tls()
        migration = replace(migration, migration_statement=stored.statement)
        place = (migration.mysql_schema, migration.mysql_table)
        async with self._pool.session() as session:
            found = await gather(session, *place, stored.tables)
        if found.table is None:
            raise TabletdError(Reason.TABLE_NOT_FOUND, f"there is no table {'.'.join(place)}")
        return RunPlan(
            facts=await self._facts_from(migration, found, stored.tables),
            nonce=stored.nonce,
            tables=stored.tables,
            workspace=workspace,
            account=self.left_account(migration, workspace) or self._account(migration, tls),
            callback=callback,
            host=stored.host,
            port=stored.port,
            tls=tls,
        )

    async def inspect(self, migration: Migration) -> tuple[Facts, Sequence[TabletdError]]:
        """Look at what a run would meet, and change nothing; returns all that would refuse it."""
        stem = f"{migration.migration_uuid}_{names.readable_timestamp()}"
        made = self._tool.table_names(migration.mysql_table, stem)
        kept = self._tool.kept_old_table(migration.mysql_table, stem)
        async with self._pool.session() as session:
            place = (migration.mysql_schema, migration.mysql_table)
            found = await gather(session, *place, (*made, *kept))
        if found.has_lock_instrument is False:
            # A run switches it on first.
            found = replace(found, has_lock_instrument=True)
        found = replace(found, table=_after_our_runs(found.table))
        facts = await self._facts_from(migration, found, made)
        refusals: list[TabletdError] = []
        for check in self._tool.checks:
            try:
                check(facts)
            except TabletdError as error:
                refusals.append(error)
        try:
            await self._tls()
        except TlsRefused as error:
            refusals.append(self._no_tls(error))
        return facts, refusals

    def _no_tls(self, error: TlsRefused) -> TabletdError:
        """Say that the tool would not get in, although we have got in."""
        return TabletdError(
            Reason.PREFLIGHT_REFUSED,
            f"{self._tool.strategy} would not get in, over TCP and with the same TLS as we, where "
            f"gh-ost always looks at the name in a certificate as well: {error.message}",
            hint=error.hint,
        )

    def left_account(self, migration: Migration, workspace: Workspace) -> Account | None:
        """Return the account of a run that an earlier daemon began; None: it made none."""
        account = parse_account(migration.run_account)
        if account is None:
            return self._account(migration, None) if self._settings.migration_user else None
        try:
            password = Path(workspace.directory / PASSWORD_FILE).read_text(encoding="utf-8")
        except OSError:
            password = ""
        return replace(account, password=password)

    async def _facts(
        self, migration: Migration, made: tuple[str, ...], kept: tuple[str, ...]
    ) -> Facts:
        if migration.flags.analyze_table:
            async with cleaning_session(self._pool) as session:
                await catalogue.analyze(session, migration.mysql_schema, migration.mysql_table)
        async with self._pool.session() as session:
            found = await gather(
                session, migration.mysql_schema, migration.mysql_table, (*made, *kept)
            )
        found = await self._tool.prepare_server(self._pool, found)
        return await self._facts_from(migration, found, made)

    async def _facts_from(
        self, migration: Migration, found: ServerFacts, made: tuple[str, ...]
    ) -> Facts:
        tool = await self._tool.inspector.inspect()
        return Facts(
            migration=migration,
            statement=parse(migration.migration_statement),
            arguments=self._tool.arguments(migration.flags, migration.tool_arguments),
            server=found.server,
            variables=found.variables,
            table=found.table,
            tool=tool,
            filters=found.filters,
            has_lock_instrument=found.has_lock_instrument,
            disk_free_bytes=found.disk_free_bytes,
            taken_names=found.taken_names,
            reserved_names=made,
            allows_unsafe_cutover=self._settings.allow_unsafe_cutover,
            has_configured_account=bool(self._settings.migration_user),
        )

    def _account(self, migration: Migration, tls: Tls | None) -> Account:
        settings = self._settings
        if settings.migration_user:
            return Account(
                settings.migration_user, "%", settings.migration_password(), is_temporary=False
            )
        return new_account(
            self.host,
            settings.account_host,
            migration_uuid=migration.migration_uuid,
            requires_tls=tls is not None,
        )


def _after_our_runs(table: Table | None) -> Table | None:
    """Leave out the triggers of migrations of the queue: a next one is run after their end."""
    if table is None:
        return None
    own = set(table.triggers_of_migrations)
    return replace(table, triggers=tuple(name for name in table.triggers if name not in own))
