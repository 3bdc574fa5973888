"""What finished migrations leave behind, and how it goes: HOLD, PURGE, EVAC, DROP.

A table on its way out carries its station and its date in its name, as Vitess names them. Only
tables that a row of ours names are touched: the name holds the row's id, and the row's artifacts
hold the name, written before the table has it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from tabletd.clock import Clock
from tabletd.errors import (
    LeaseNotHeld,
    LostRace,
    MySQLUnavailable,
    NotWritable,
    Reason,
    TabletdError,
)
from tabletd.executor.migration import Migration
from tabletd.executor.names import (
    GCTable,
    TableGCState,
    create_gc_uuid,
    gc_table_name,
    migration_id_of,
    parse_gc_table_name,
)
from tabletd.executor.states import TERMINAL
from tabletd.executor.store import Store
from tabletd.mysql.pool import Pool
from tabletd.mysql.quote import identifier, marks

EVAC_SECONDS: Final = 72 * 3600
PURGE_ROWS: Final = 50
PURGE_SECONDS_MAX: Final = 10.0
STATEMENT_TIMEOUT_SECONDS: Final = 60.0
COLLECT_ROWS_MAX: Final = 50

_TABLES_SQL: Final = (
    "SELECT table_name AS name, @@global.lower_case_table_names AS folded"
    " FROM information_schema.tables WHERE table_schema = %s"
    " AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED', 'VIEW') AND table_name IN ({marks})"
)
_GC_TABLES_SQL: Final = (
    "SELECT table_name AS name, table_type AS type FROM information_schema.tables"
    " WHERE table_schema = %s AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED', 'VIEW')"
    " AND table_name LIKE '|_vt|_%%' ESCAPE '|'"
)
_TRIGGERS_SQL: Final = (
    "SELECT trigger_name AS name, action_statement AS body FROM information_schema.triggers"
    " WHERE trigger_schema = %s AND event_object_table = %s"
    " AND trigger_name LIKE 'pt|_osc|_%%' ESCAPE '|'"
)
_TRIGGERS_ON_SQL: Final = (
    "SELECT trigger_name AS name FROM information_schema.triggers"
    " WHERE trigger_schema = %s AND event_object_table = %s"
)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GCSettings:
    """How long tables are kept and which stations they pass.

    Attributes:
        retain_artifacts_seconds: how long a finished migration's tables stay under their names, for
            migrations without a retention of their own.
        lifecycle: stations that are waited at; others are passed at once. DROP is always one.
        check_interval_seconds: how often tables on their way out are looked at.
        evac_seconds: how long an emptied table waits before it is dropped.
    """

    retain_artifacts_seconds: float = 24 * 3600.0
    lifecycle: frozenset[TableGCState] = field(default_factory=lambda: frozenset(TableGCState))
    check_interval_seconds: float = 3600.0
    evac_seconds: float = EVAC_SECONDS


def parse_lifecycle(text: str) -> frozenset[TableGCState]:
    """Read a list of stations such as `hold,purge,evac,drop`.

    Args:
        text: words in any case, separated by commas, semicolons or blanks; DROP is implied.

    Raises:
        TabletdError: INVALID_CONFIG for an unknown word.
    """
    stations = {TableGCState.DROP}
    for word in re.split(r"[,;\s]+", text.strip()):
        try:
            stations |= {TableGCState(word.lower())} if word else set()
        except ValueError:
            raise TabletdError(
                Reason.INVALID_CONFIG,
                f"unknown station {word!r} in the life cycle of tables",
                hint=f"a list of {', '.join(TableGCState)}",
            ) from None
    return frozenset(stations)


def next_state(state: TableGCState, lifecycle: Collection[TableGCState]) -> TableGCState | None:
    """Return the station behind one, leaving out those not in the life cycle; None behind DROP."""
    states = list(TableGCState)
    following = states[states.index(state) + 1 :]
    return next((later for later in following if later in lifecycle), None)


@contextmanager
def _left_for_later(what: str) -> Generator[None]:
    """Keep a failure of one table from stopping the others; it is tried again at the next step."""
    try:
        yield
    except (LeaseNotHeld, MySQLUnavailable, NotWritable):
        raise
    except TabletdError as error:
        _logger.warning("%s: left for later: %s", what, error)


async def _nothing_to_prune(directories: Collection[str]) -> None:
    """Stand in where nothing beside tables is kept."""


class GarbageCollector:
    """Carries finished migrations' tables through their life cycle.

    Args:
        store: the migrations.
        pool: sessions on the same server.
        settings: see `GCSettings`.
        clock: for the dates in names.
        may_purge: asked before each purge of rows; False while replicas lag.
        prune: removes logs and directories that are old enough; given the directories of runs that
            are not cleaned up, which stay.
    """

    def __init__(
        self,
        *,
        store: Store,
        pool: Pool,
        settings: GCSettings,
        clock: Clock,
        may_purge: Callable[[], bool] = lambda: True,
        prune: Callable[[Collection[str]], Awaitable[None]] = _nothing_to_prune,
    ) -> None:
        self.settings = settings
        self._store = store
        self._pool = pool
        self._clock = clock
        self._may_purge = may_purge
        self._prune = prune
        self._looked_at_seconds: float | None = None

    async def step(self, schemas: Collection[str]) -> bool:
        """Collect what is due, and move tables on; bounded work.

        Args:
            schemas: where migrations of this tablet may have tables.

        Returns:
            whether more is due at once.
        """
        more = await self._collect()
        now = self._clock.monotonic_seconds()
        looked_at = self._looked_at_seconds
        if more or looked_at is None or now - looked_at >= self.settings.check_interval_seconds:
            unfinished = [await self._advance_schema(schema) for schema in sorted(schemas)]
            await self._prune(await self._store.run_directories())
            self._looked_at_seconds = None if any(unfinished) else now
            more = more or any(unfinished)
        return more

    async def keep(self, migration_id: int, table: str) -> None:
        """Take a former table over that its row does not name; it is kept as long as any other.

        Args:
            migration_id: of the finished migration that it was the table of.
            table: its name now.

        Raises:
            LostRace: the migration is gone or not finished any more.
        """
        migration = await self._store.by_id(migration_id)
        if migration is None or migration.status not in TERMINAL:
            raise LostRace(f"the migration with id {migration_id} is not finished")
        seconds = migration.retain_artifacts_seconds or self.settings.retain_artifacts_seconds
        due = self._now() + timedelta(seconds=max(seconds, 0))
        await self._move(migration, table, TableGCState.HOLD, None, due)

    async def _collect(self) -> bool:
        """Send the artifacts of migrations whose retention is over on their way."""
        due = await self._store.collectable(
            retain_seconds=self.settings.retain_artifacts_seconds, rows_max=COLLECT_ROWS_MAX
        )
        collected: list[int] = []
        for migration in due:
            with _left_for_later(f"artifacts of migration {migration.migration_uuid}"):
                await self._collect_artifacts(migration)
                collected.append(migration.id)
        await self._store.set_cleaned(collected)
        return bool(collected)

    async def _collect_artifacts(self, migration: Migration) -> None:
        if not migration.artifacts:
            return
        existing = await self._existing(migration.mysql_schema, migration.artifacts)
        migration = await self._rewrite(migration, existing)
        for table in existing:
            parsed = parse_gc_table_name(table)
            if parsed is None:
                await self._drop_triggers_into(migration, table)
                migration = await self._move(migration, table, self._first_state(), None)
            elif parsed.state is TableGCState.HOLD and parsed.due > self._now():
                # Its retention was made shorter than its name says.
                migration = await self._move(migration, table, self._first_state(), parsed.gc_uuid)

    def _first_state(self) -> TableGCState:
        return next(state for state in TableGCState if state in self.settings.lifecycle)

    async def _move(
        self,
        migration: Migration,
        table: str,
        state: TableGCState,
        gc_uuid: str | None,
        due: datetime | None = None,
    ) -> Migration:
        """Rename a table to its next station; the row names both until that is done."""
        due = due or self._now()
        if state is TableGCState.EVAC:
            due += timedelta(seconds=self.settings.evac_seconds)
        new_name = gc_table_name(state, gc_uuid or create_gc_uuid(migration.id), due)
        before = tuple(dict.fromkeys((*migration.artifacts, new_name)))
        await self._store.set_artifacts(migration.id, before)
        schema = migration.mysql_schema
        await self._write(
            f"RENAME TABLE {identifier(schema, table)} TO {identifier(schema, new_name)}"
        )
        _logger.info("table %s.%s is now %s", schema, table, new_name)
        return await self._rewrite(migration, tuple(name for name in before if name != table))

    async def _rewrite(self, migration: Migration, artifacts: tuple[str, ...]) -> Migration:
        await self._store.set_artifacts(migration.id, artifacts)
        changed = await self._store.by_id(migration.id)
        return changed or migration

    async def _drop_triggers_into(self, migration: Migration, artifact: str) -> None:
        """Drop pt-osc's triggers that write into a table before it is taken from them."""
        schema = migration.mysql_schema
        found = await self._pool.execute(_TRIGGERS_SQL, (schema, migration.mysql_table))
        for trigger, body in found.rows:
            if identifier(artifact) in body or artifact in re.findall(r"[\w$]+", body):
                await self._write(f"DROP TRIGGER IF EXISTS {identifier(schema, trigger)}")

    async def _drop_triggers_on(self, schema: str, table: str) -> None:
        """Drop the triggers of a dropped table, which would act on each row that is purged."""
        found = await self._pool.execute(_TRIGGERS_ON_SQL, (schema, table))
        for (trigger,) in found.rows:
            await self._write(f"DROP TRIGGER IF EXISTS {identifier(schema, trigger)}")

    async def _advance_schema(self, schema: str) -> bool:
        """Move on the tables of a schema, those due first; whether one has more to be purged."""
        rows = (await self._pool.execute(_GC_TABLES_SQL, (schema,))).rows
        views = {name for name, kind in rows if kind == "VIEW"}
        tables = [(name, parsed) for name, _ in rows if (parsed := parse_gc_table_name(name))]
        unfinished = False
        for name, table in sorted(tables, key=lambda pair: pair[1].due):
            with _left_for_later(f"table {schema}.{name}"):
                migration = await self._owner(schema, name, table)
                if migration is None or not self._is_due(table):
                    continue
                if name in views:
                    await self._drop(migration, name, "VIEW")
                    continue
                unfinished = await self._advance(migration, name, table) or unfinished
        return unfinished

    async def _owner(self, schema: str, name: str, table: GCTable) -> Migration | None:
        """Return the finished migration whose row names the table, None for a table of others."""
        migration = await self._store.by_id(migration_id_of(table.gc_uuid))
        if migration is None or migration.mysql_schema != schema:
            return None
        owns = name in migration.artifacts and migration.status in TERMINAL
        return migration if owns else None

    def _is_due(self, table: GCTable) -> bool:
        # What is held bears the retention of its migration in its name, whatever the stations are.
        waited_at = self.settings.lifecycle | {TableGCState.HOLD}
        return table.due <= self._now() or table.state not in waited_at

    async def _advance(self, migration: Migration, name: str, table: GCTable) -> bool:
        purges = table.state is TableGCState.PURGE and table.state in self.settings.lifecycle
        if purges and not await self._purge(migration.mysql_schema, name):
            return True
        following = next_state(table.state, self.settings.lifecycle)
        if following is not None:
            await self._move(migration, name, following, table.gc_uuid)
            return following is not TableGCState.EVAC or self.settings.evac_seconds <= 0
        await self._drop(migration, name, "TABLE")
        return False

    async def _drop(self, migration: Migration, name: str, kind: str) -> None:
        await self._write(f"DROP {kind} IF EXISTS {identifier(migration.mysql_schema, name)}")
        _logger.info("%s %s.%s is dropped", kind.lower(), migration.mysql_schema, name)
        await self._rewrite(
            migration, tuple(artifact for artifact in migration.artifacts if artifact != name)
        )

    async def _purge(self, schema: str, name: str) -> bool:
        """Delete rows for a while, as many at a time as replicas digest; True when none is left."""
        await self._drop_triggers_on(schema, name)
        end = self._clock.monotonic_seconds() + PURGE_SECONDS_MAX
        while self._may_purge() and self._clock.monotonic_seconds() < end:
            purge = f"DELETE FROM {identifier(schema, name)} LIMIT {PURGE_ROWS}"  # noqa: S608
            if await self._write(purge) < PURGE_ROWS:
                return True
        return False

    async def _existing(self, schema: str, tables: tuple[str, ...]) -> tuple[str, ...]:
        """Return those of the names that tables have, as the row writes them."""
        sql = _TABLES_SQL.format(marks=marks(tables))
        result = await self._pool.execute(sql, (schema, *tables))
        names = {row[0] for row in result.rows}
        if any(row[1] for row in result.rows):
            folded = {name.casefold() for name in names}
            return tuple(table for table in tables if table.casefold() in folded)
        return tuple(table for table in tables if table in names)

    async def _write(self, sql: str) -> int:
        result = await self._pool.execute(
            sql, timeout_seconds=STATEMENT_TIMEOUT_SECONDS, writable=True
        )
        return result.rows_affected

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall_ns() / 1e9, UTC).replace(microsecond=0)
