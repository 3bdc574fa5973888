"""What the executor asks `_vt.schema_migrations`, each question answered by an index."""

# ruff: noqa: S608  (SQL is put together from constants of this module; values are parameters)
from __future__ import annotations

from collections.abc import Collection
from typing import Final

from tabletd.errors import MigrationNotFound
from tabletd.executor.migration import Migration
from tabletd.executor.rows import CANDIDATE_COLUMNS, MIGRATION_COLUMNS, to_candidates, to_migration
from tabletd.executor.scheduler import Candidate
from tabletd.mysql.pool import Pool
from tabletd.mysql.quote import marks

_READ: Final = f"SELECT {MIGRATION_COLUMNS} FROM _vt.schema_migrations WHERE migration_uuid = %s"
# Each answered by an index, whatever the number of finished rows.
PENDING_SQL: Final = (
    f"SELECT {CANDIDATE_COLUMNS} FROM _vt.schema_migrations"
    " WHERE migration_status IN ('queued', 'ready', 'running') ORDER BY id"
)
UNSETTLED_SQL: Final = (
    f"SELECT {CANDIDATE_COLUMNS} FROM _vt.schema_migrations WHERE run_nonce > '' ORDER BY id"
)
TABLET_FAILURES_SQL: Final = (
    f"SELECT {CANDIDATE_COLUMNS} FROM _vt.schema_migrations"
    " WHERE tablet_failure = 1 AND migration_status = 'failed' AND retries = 0 AND run_nonce = ''"
    " ORDER BY id"
)
# Rows that a Vitess left with strategies of its own are not ours to collect.
_COLLECTABLE: Final = (
    f"SELECT {MIGRATION_COLUMNS} FROM _vt.schema_migrations WHERE cleanup_timestamp IS NULL"
    " AND run_nonce = '' AND strategy IN ('direct', 'mysql', 'gh-ost', 'pt-osc')"
)
COLLECTABLE_SQL: Final = (
    f"{_COLLECTABLE} AND retain_artifacts_seconds = 0"
    " AND completed_timestamp <= NOW(6) - INTERVAL %s SECOND ORDER BY completed_timestamp LIMIT %s"
)
_COLLECTABLE_BY_OWN_RETENTION: Final = (
    f"{_COLLECTABLE} AND retain_artifacts_seconds <> 0 AND completed_timestamp <="
    " NOW(6) - INTERVAL GREATEST(retain_artifacts_seconds, 0) SECOND LIMIT %s"
)
_FIRST_RETRIABLE: Final = (
    "SELECT migration_uuid FROM _vt.schema_migrations"
    " WHERE migration_status IN ('failed', 'cancelled') AND mysql_schema = %s ORDER BY id LIMIT 1"
)

_WAITING: Final = (
    "SELECT COUNT(*) FROM _vt.schema_migrations"
    " WHERE migration_status IN ('queued', 'ready') AND keyspace = %s"
)
_BROKEN: Final = (
    f"SELECT {CANDIDATE_COLUMNS} FROM _vt.schema_migrations WHERE migration_context IN ({{marks}})"
    " AND migration_status IN ('failed', 'cancelled') ORDER BY id"
)
_DUPLICATE: Final = (
    "SELECT migration_uuid FROM _vt.schema_migrations WHERE migration_status = 'complete'"
    " AND migration_context = %s AND mysql_schema = %s AND migration_statement = %s"
    " ORDER BY id LIMIT 1"
)


class Reads:
    """The migrations of one tablet as they are now.

    Args:
        pool: sessions that give Python values.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def find(self, migration_uuid: str) -> Migration | None:
        """Return one migration, None when there is none of that UUID."""
        row = (await self._pool.execute(_READ, (migration_uuid,))).one()
        return to_migration(row) if row else None

    async def read(self, migration_uuid: str) -> Migration:
        """Return one migration.

        Raises:
            MigrationNotFound: there is none of that UUID.
        """
        migration = await self.find(migration_uuid)
        if migration is None:
            raise MigrationNotFound(migration_uuid)
        return migration

    async def candidates(
        self,
    ) -> tuple[tuple[Candidate, ...], tuple[Candidate, ...], tuple[Candidate, ...]]:
        """Return pending rows, rows with a run that is not cleaned up, and tablet failures."""
        async with self._pool.session() as session:
            pending = await session.execute(PENDING_SQL)
            unsettled = await session.execute(UNSETTLED_SQL)
            failures = await session.execute(TABLET_FAILURES_SQL)
        return to_candidates(pending), to_candidates(unsettled), to_candidates(failures)

    async def pending(self) -> tuple[Candidate, ...]:
        """Return queued, ready and running rows, by id."""
        return to_candidates(await self._pool.execute(PENDING_SQL))

    async def waiting(self, keyspace: str) -> int:
        """Return how many migrations of a keyspace have not begun yet."""
        return int((await self._pool.execute(_WAITING, (keyspace,))).scalar())

    async def broken(self, contexts: Collection[str]) -> tuple[Candidate, ...]:
        """Return failed and cancelled rows of some contexts, by id."""
        if not contexts:
            return ()
        sql = _BROKEN.format(marks=marks(contexts))
        return to_candidates(await self._pool.execute(sql, tuple(contexts)))

    async def duplicate_of(self, migration: Migration) -> str | None:
        """Return the UUID of a complete migration of the same statement in the same context."""
        if not migration.migration_context:
            return None
        keys = (
            migration.migration_context,
            migration.mysql_schema,
            migration.migration_statement,
        )
        found: str | None = (await self._pool.execute(_DUPLICATE, keys)).scalar()
        return found

    async def first_retriable(self, mysql_schema: str) -> str | None:
        """Return the UUID of the oldest failed or cancelled migration in a schema."""
        found: str | None = (await self._pool.execute(_FIRST_RETRIABLE, (mysql_schema,))).scalar()
        return found

    async def collectable(self, *, retain_seconds: float, rows_max: int) -> list[Migration]:
        """Return finished migrations whose artifacts have been kept long enough, oldest first.

        Args:
            retain_seconds: for rows without a retention of their own.
            rows_max: rows at most.
        """
        async with self._pool.session() as session:
            default = await session.execute(COLLECTABLE_SQL, (int(retain_seconds), rows_max))
            own = await session.execute(_COLLECTABLE_BY_OWN_RETENTION, (rows_max,))
        return [to_migration(row) for row in (*default.dicts(), *own.dicts())]

    async def by_id(self, migration_id: int) -> Migration | None:
        """Return the migration of an id, None when there is none."""
        sql = f"SELECT {MIGRATION_COLUMNS} FROM _vt.schema_migrations WHERE id = %s"
        row = (await self._pool.execute(sql, (migration_id,))).one()
        return to_migration(row) if row else None

    async def run_directories(self) -> frozenset[str]:
        """Return the private directories of runs that are not cleaned up."""
        sql = "SELECT run_directory FROM _vt.schema_migrations WHERE run_nonce > ''"
        return frozenset(row[0] for row in (await self._pool.execute(sql)).rows if row[0])
