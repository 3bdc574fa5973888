"""What the rows of a table have against a change, asked of the server before anything runs.

A tool loses a row without a word where two become one, and fails at the end of a long copy where a
value does not fit. The definition that the change makes is read off an empty copy of the table;
what has to be asked of the rows follows from comparing both. Each question has a time limit: a
table that is too large for it is said not to have been probed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from tabletd.errors import Reason, TabletdError
from tabletd.executor import ddl
from tabletd.executor.columns import Lineage
from tabletd.executor.engines.base import RunRecord
from tabletd.executor.engines.proof import NULL_TO_DEFAULT
from tabletd.executor.engines.scratch import scratch
from tabletd.executor.engines.settings import EngineSettings
from tabletd.executor.lexer import significant, tokenize
from tabletd.executor.migration import Migration
from tabletd.executor.preflight.definition import Definition, read_definition
from tabletd.executor.preflight.duplicates import Collision, possible_collisions
from tabletd.executor.preflight.facts import Facts
from tabletd.executor.preflight.narrowing import Condition, misfit
from tabletd.executor.renames import dropped_columns, renamed_columns
from tabletd.executor.verify import check_comparable
from tabletd.mysql.errors import MySQLError
from tabletd.mysql.flavor import server_info
from tabletd.mysql.pool import Pool
from tabletd.mysql.quote import identifier
from tabletd.mysql.session import Session

_NAMED_MAX: Final = 5
_LOCK_WAIT_SECONDS: Final = 2
_GRACE_SECONDS: Final = 5.0
_WITH_EXECUTION_TIME: Final = (5, 7, 8)
# A change without any of these words makes no key unique, no column narrower, and keeps all keys.
_TELLING_WORDS: Final = frozenset(
    {
        *("UNIQUE", "PRIMARY", "KEY", "MODIFY", "CHANGE", "CONVERT", "COLLATE", "CHARACTER"),
        *("CHARSET", "DROP"),
    }
)


class Probe:
    """Asks the rows of one table about one ALTER TABLE.

    Args:
        pool: the daemon's own account.
        migration: the row; its statement is an ALTER TABLE.
        facts: of the run.
        settings: have the time limit of one question.
    """

    def __init__(
        self, pool: Pool, migration: Migration, facts: Facts, settings: EngineSettings
    ) -> None:
        self._pool = pool
        self._migration = migration
        self._limit_seconds = settings.probe_seconds
        self._is_verified = settings.verify and migration.flags.verify
        self._takes_null = NULL_TO_DEFAULT in facts.options
        self._statement = ddl.parse(migration.migration_statement)
        self._table = identifier(migration.mysql_schema, migration.mysql_table)
        self._old = self._new = Definition({}, ())
        self._refusals: list[str] = []
        self._unknown: list[str] = []
        self._conditions: dict[str, Condition] = {}
        self._collisions: list[Collision] = []

    async def run(self, record: RunRecord, stop: asyncio.Event) -> None:
        """Find out what the rows have against the change; a stop ends it.

        Raises:
            TabletdError: PREFLIGHT_REFUSED for rows that would get lost, or would end the run, and
                where rows are to be compared and could not be.
        """
        if await self._read(record):
            await record.stage(f"{self._migration.engine_strategy}: probing rows")
            asking = asyncio.ensure_future(self._ask())
            stopped = asyncio.ensure_future(stop.wait())
            try:
                await asyncio.wait({asking, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if asking.done():
                    asking.result()
            finally:
                stopped.cancel()
                asking.cancel()
                await asyncio.wait({asking})
        if self._unknown:
            text = f"not probed before the run: {'; '.join(self._unknown)}"
            await record.stage(f"{self._migration.engine_strategy}: validating", text)

    async def _read(self, record: RunRecord) -> bool:
        """Find out how the table is changed; returns whether its rows are to be asked.

        Args:
            record: knows the name of the empty copy while that exists.
        """
        words = {token.upper for token in significant(tokenize(self._statement.alter_options))}
        if self._limit_seconds <= 0 or not words & _TELLING_WORDS:
            return False
        schema, table = self._migration.mysql_schema, self._migration.mysql_table
        async with self._pool.session(writable=True) as session:
            session.drop_afterwards()
            await session.execute(f"USE {identifier(schema)}")
            await session.execute(f"SET SESSION lock_wait_timeout = {_LOCK_WAIT_SECONDS}")
            try:
                async with scratch(session, self._migration, record, "TABLE") as name:
                    copy = identifier(schema, name)
                    await session.execute(f"CREATE TABLE {copy} LIKE {self._table}")
                    await session.execute(f"ALTER TABLE {copy} {self._statement.alter_options}")
                    self._old = await read_definition(session, schema, table)
                    self._new = await read_definition(session, schema, name)
                    if self._is_verified:
                        await check_comparable(session, schema, self._statement, table, name)
            except MySQLError as error:
                self._unknown.append(f"the change cannot be tried on a copy: {error}")
                return False
        return self._prepare()

    def _prepare(self) -> bool:
        """Find what there is to ask; returns whether there is anything."""
        options = self._statement.alter_options
        former = Lineage(
            self._old.columns, renamed_columns(options), dropped_columns(options)
        ).former
        for new in self._new.columns.values():
            old = former(new.name)
            if old is None or new.is_generated or old.is_generated:
                continue
            wanted = replace(new, is_nullable=True) if self._takes_null else new
            condition = misfit(old, wanted, identifier(old.name))
            if condition is None:
                self._unknown.append(f"whether all values of {old.name} fit {new.column_type}")
            elif condition.sql:
                self._conditions[old.name] = condition
        for collision in possible_collisions(self._old, self._new, former, identifier):
            if collision.unknown:
                self._unknown.append(f"{_alike(collision)}: it holds {collision.unknown}")
            else:
                self._collisions.append(collision)
        return bool(self._conditions or self._collisions)

    async def _ask(self) -> None:
        if self._conditions:
            await self._ask_for_misfits(self._conditions)
        for collision in self._collisions:
            await self._ask_for_duplicates(collision)
        if self._refusals:
            place = f"{self._migration.mysql_schema}.{self._migration.mysql_table}"
            raise TabletdError(
                Reason.PREFLIGHT_REFUSED,
                f"rows of {place} do not go with the change: {'; '.join(self._refusals)}",
                hint="change or remove these rows first, or choose a wider definition",
                table=place,
            )

    async def _ask_for_misfits(self, conditions: Mapping[str, Condition]) -> None:
        sqls = [f"({condition.sql})" for condition in conditions.values()]
        values = tuple(value for one in conditions.values() for value in one.values)
        rows = await self._rows(
            f"SELECT {', '.join([*sqls, *self._row_key])} FROM {self._table}"  # noqa: S608
            f" WHERE {' OR '.join(sqls)} LIMIT {_NAMED_MAX * len(sqls)}",
            (*values, *values),
            f"whether all values of {', '.join(conditions)} fit",
        )
        if not rows:
            return
        counts = await self._rows(
            f"SELECT {', '.join(f'SUM({sql})' for sql in sqls)} FROM {self._table}",  # noqa: S608
            values,
            "",
        )
        for number, column in enumerate(conditions):
            found = [row[len(sqls) :] for row in rows if row[number]]
            if found:
                count = int(counts[0][number] or 0) if counts else 0
                self._refuse_misfits(column, found, count)

    def _refuse_misfits(self, column: str, found: list[tuple[Any, ...]], count: int) -> None:
        named = ", ".join(filter(None, map(self._named, found[:_NAMED_MAX])))
        many = f"{max(count, len(found))} rows" if count else f"at least {len(found)} rows"
        many = "1 row" if count == 1 else many
        self._refusals.append(
            f"{many} {'has' if count == 1 else 'have'} a value of {column} that does not fit"
            + (f" ({named})" if named else "")
        )

    async def _ask_for_duplicates(self, collision: Collision) -> None:
        columns = self._row_key
        texts = ", ".join(f"CAST({column} AS CHAR)" for column in columns)
        row = columns[0] if len(columns) == 1 else f"CONCAT_WS(', ', {texts})" if columns else "''"
        given = [f"{part} IS NOT NULL" for part in collision.parts]
        rows = await self._rows(
            f"SELECT COUNT(*), MIN({row}), MAX({row}) FROM {self._table}"  # noqa: S608
            + (f" WHERE {' AND '.join(given)}" if given else "")
            + (f" GROUP BY {', '.join(collision.parts)}" if collision.parts else "")
            + f" HAVING COUNT(*) > 1 LIMIT {_NAMED_MAX + 1}",
            None,
            _alike(collision),
        )
        if not rows:
            return
        name = ", ".join(self._old.row_key)
        named = [
            f"{name} = {_text(low)} and {_text(high)}" + (f" ({count} rows)" if count > 2 else "")
            if name
            else f"{count} rows"
            for count, low, high in rows[:_NAMED_MAX]
        ]
        more = " and others" if len(rows) > _NAMED_MAX else ""
        self._refusals.append(
            f"rows are alike in the unique key {collision.key}: {'; '.join(named)}{more}"
        )

    @property
    def _row_key(self) -> list[str]:
        return [identifier(name) for name in self._old.row_key]

    def _named(self, key: Sequence[Any]) -> str:
        pairs = zip(self._old.row_key, key, strict=True)
        return ", ".join(f"{name} = {_text(value)}" for name, value in pairs)

    async def _rows(
        self, sql: str, values: Sequence[object] | None, what: str
    ) -> list[tuple[Any, ...]]:
        """Return the answer; none where there is no answer in time, which is then said."""
        async with self._pool.session() as session:
            session.drop_afterwards()
            try:
                await _limit(session, self._limit_seconds)
                await session.execute(f"USE {identifier(self._migration.mysql_schema)}")
                limit = self._limit_seconds + _GRACE_SECONDS
                return (await session.execute(sql, values, timeout_seconds=limit)).rows
            except TabletdError as error:
                if not isinstance(error, MySQLError) and error.reason is not Reason.TIMEOUT:
                    raise
                is_late = error.reason is Reason.TIMEOUT
                why = f"no answer in {self._limit_seconds:g} s" if is_late else str(error)
                if what:
                    self._unknown.append(f"{what}: {why}")
                return []


async def _limit(session: Session, seconds: float) -> None:
    """Have the server itself end what takes longer, where it can."""
    info = await server_info(session)
    if info.is_mariadb:
        await session.execute("SET SESSION max_statement_time = %s", (seconds,))
    elif info.version >= _WITH_EXECUTION_TIME:
        milliseconds = max(1, int(seconds * 1000))
        await session.execute("SET SESSION max_execution_time = %s", (milliseconds,))


def _alike(collision: Collision) -> str:
    return f"whether rows are alike in the unique key {collision.key}"


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
