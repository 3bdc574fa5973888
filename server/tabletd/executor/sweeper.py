"""Finds what migrations have left and no live one owns, and takes it away.

Each run cleans up behind itself, and the next daemon behind one that died. This is for what both
could not see: what came back with a server that had crashed, the directory and the tool on the
machine of a former primary, what a server did after its client was dead. Only what a row of ours
names is removed; the rest is shown.
"""

# ruff: noqa: S608  (SQL is put together from constants of this module; values are parameters)
from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from itertools import chain
from typing import Final

from tabletd.errors import LeaseNotHeld, Reason, TabletdError
from tabletd.executor import sweeper_files
from tabletd.executor.engines.settings import EngineSettings
from tabletd.executor.leftover import Kind, Leftover, Owner, Swept
from tabletd.executor.states import TERMINAL
from tabletd.executor.store import Store
from tabletd.executor.sweeper_server import ServerSweep, find_on_server, read_owners
from tabletd.loops import every
from tabletd.mysql.errors import MySQLError
from tabletd.mysql.pool import Pool
from tabletd.mysql.quote import marks
from tabletd.telemetry.vars import Registry

SWEEP_SECONDS_MAX: Final = 60.0
REMOVED_AT_ONCE_MAX: Final = 20
_MESSAGE_CHARACTERS_MAX: Final = 2_000
_ORDER: Final = tuple(Kind)
_ON_SERVER: Final = frozenset({Kind.TRIGGER, Kind.TABLE, Kind.ACCOUNT})
# Ends in a WHERE: `Store.write` adds to it. A message that is long already is left as it is.
_SAY: Final = (
    "UPDATE _vt.schema_migrations SET"
    " message = CONCAT(message, IF(message = '', '', '; '), %s), message_timestamp = NOW(6)"
    " WHERE migration_uuid = %s AND CHAR_LENGTH(message) < 12000"
    f" AND migration_status IN ({marks(TERMINAL)})"
)

_logger = logging.getLogger(__name__)


class Sweeper:
    """Takes away what no live migration owns: on the server of a primary, on any tablet's machine.

    Args:
        pool: the daemon's own account.
        store: the migrations; told in their messages what was removed.
        settings: places of private directories.
        schemas: where migrations of this tablet may have tables.
        keep: hands a former table to the life cycle of tables, see `ServerSweep`.
        check_writable: raises unless this daemon may work for the server.
        busy: gives the migrations that something is being done for in this process.
        registry: where SweptLeftovers, FailedSweeps and UnownedLeftovers are counted.
        interval_seconds: from one look to the next.
    """

    def __init__(
        self,
        *,
        pool: Pool,
        store: Store,
        settings: EngineSettings,
        schemas: Collection[str],
        keep: Callable[[int, str], Awaitable[None]],
        check_writable: Callable[[], Awaitable[None]],
        busy: Callable[[], Collection[str]],
        registry: Registry,
        interval_seconds: float = SWEEP_SECONDS_MAX,
    ) -> None:
        self._pool = pool
        self._store = store
        self._settings = settings
        self._schemas = frozenset(schemas)
        self._server = ServerSweep(pool, keep=keep)
        self._check_writable = check_writable
        self._busy = busy
        self._interval_seconds = interval_seconds
        self._is_primary: bool | None = None
        self._shown: frozenset[str] = frozenset()
        self._sweeping = asyncio.Lock()
        self._wake = asyncio.Event()
        self._removed = registry.counter("SweptLeftovers", "leftovers of migrations removed")
        self._failed = registry.counter("FailedSweeps", "leftovers that could not be removed yet")
        self._unowned = registry.gauge(
            "UnownedLeftovers", "what looks like a migration's and no row names: never touched"
        )

    async def make_primary(self) -> None:
        """Look also at the server from now on."""
        self._begin_as(is_primary=True)

    async def make_non_primary(self) -> None:
        """Look at this machine alone, where no tool is to run any more."""
        self._begin_as(is_primary=False)

    async def close(self) -> None:
        """Look at nothing any more."""
        self._is_primary = None

    async def run(self) -> None:
        """Sweep when the role is known or changes, and now and then, until cancelled."""
        await every(
            self._interval_seconds,
            self._step,
            name="sweeper",
            logger=_logger,
            wake=self._wake,
            tolerate=(TabletdError,),
        )

    async def find(self) -> tuple[Leftover, ...]:
        """Return what no live migration owns, in the order in which it would go.

        A tablet that is no primary tells of its own machine only.

        Raises:
            TabletdError: the server's errors.
        """
        files = await asyncio.to_thread(sweeper_files.look, self._settings)
        on_server = await self._find_on_server() if self._is_primary else []
        owners = await self._owners(files.uuids(self._settings.tablet_alias))
        here = sweeper_files.leftovers_of(
            files,
            owners,
            settings=self._settings,
            runs_tools=self._is_primary is not False,
            busy=self._busy(),
        )
        by_hand = await asyncio.to_thread(
            lambda: list(sweeper_files.sockets_of_runs_by_hand(self._schemas))
        )
        found = chain(here, on_server, by_hand)
        return tuple(sorted(found, key=lambda one: (_ORDER.index(one.kind), one.schema, one.name)))

    async def sweep(self) -> tuple[tuple[Swept, ...], tuple[Leftover, ...]]:
        """Remove what rows of ours name and no live migration owns; a bounded number at a time.

        Returns:
            what was to be removed, and what became of it; what is left alone.

        Raises:
            TabletdError: NOT_PRIMARY before the role is known; the server's errors.
        """
        async with self._sweeping:
            await self._check_allowed()
            found = await self.find()
            left_alone = tuple(one for one in found if not one.is_removable)
            self._show(left_alone)
            swept: list[Swept] = []
            of_migration: dict[str, list[Leftover]] = defaultdict(list)
            for one in [one for one in found if one.is_removable][:REMOVED_AT_ONCE_MAX]:
                of_migration[one.migration_uuid].append(one)
            for migration_uuid, leftovers in of_migration.items():
                swept += await self._remove(migration_uuid, leftovers)
        return tuple(swept), left_alone

    def _begin_as(self, *, is_primary: bool) -> None:
        if self._is_primary is not is_primary:
            self._is_primary = is_primary
            self._wake.set()

    async def _step(self) -> None:
        if self._is_primary is None:
            return
        with suppress(LeaseNotHeld):  # another daemon acts for the server, and sweeps
            await self.sweep()

    async def _check_allowed(self) -> None:
        if self._is_primary is None:
            raise TabletdError(Reason.NOT_SERVING, "the role of this tablet is not known yet")
        if self._is_primary:
            await self._check_writable()

    async def _find_on_server(self) -> list[Leftover]:
        try:
            return await find_on_server(self._pool, self._schemas)
        except MySQLError as error:
            if error.reason is Reason.TABLE_NOT_FOUND:
                return []
            raise

    async def _owners(self, uuids: Collection[str]) -> dict[str, Owner]:
        if not uuids:
            return {}
        try:
            async with self._pool.session() as session:
                return await read_owners(session, "migration_uuid", uuids)
        except MySQLError as error:
            if error.reason is Reason.TABLE_NOT_FOUND:
                return {}
            raise

    async def _remove(self, migration_uuid: str, leftovers: Sequence[Leftover]) -> list[Swept]:
        """Remove what one migration left: processes, then what is on the server, then files."""
        swept: list[Swept] = []
        for group in (
            [one for one in leftovers if one.kind is Kind.PROCESS],
            [one for one in leftovers if one.kind in _ON_SERVER],
            [one for one in leftovers if one.kind is Kind.DIRECTORY],
        ):
            if not group:
                continue
            if any(one.failure for one in swept):
                swept += [
                    Swept(one, "something that goes before it is still there") for one in group
                ]
                continue
            await self._check_allowed()
            if group[0].kind in _ON_SERVER:
                swept += await self._server.remove(migration_uuid, group)
            else:
                swept += await sweeper_files.remove(group, self._settings)
        await self._tell(migration_uuid, swept)
        return swept

    async def _tell(self, migration_uuid: str, swept: Sequence[Swept]) -> None:
        """Write into log, counters and the migration's message what was done."""
        for one in swept:
            if one.failure:
                self._failed.add()
                _logger.warning(
                    "migration %s: %s stays for now: %s", migration_uuid, one.leftover, one.failure
                )
            else:
                self._removed.add()
                _logger.info("migration %s: swept: %s", migration_uuid, one.leftover)
        done = ", ".join(str(one.leftover) for one in swept if not one.failure)
        if done and self._is_primary:
            text = f"swept: {done}"[:_MESSAGE_CHARACTERS_MAX]
            await self._store.write(_SAY, text, migration_uuid, *sorted(TERMINAL))

    def _show(self, left_alone: Sequence[Leftover]) -> None:
        self._unowned.set(len(left_alone))
        shown = frozenset(f"{one}: {one.note}" for one in left_alone)
        for text in sorted(shown - self._shown):
            _logger.info("left alone: %s", text)
        self._shown = shown
