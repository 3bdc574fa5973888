"""The strategies `direct` and `mysql`: the server itself carries the statement out."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from tabletd.errors import MySQLUnavailable, TabletdError
from tabletd.executor import ddl
from tabletd.executor.engines import catalogue
from tabletd.executor.engines.base import (
    Adopted,
    Outcome,
    RunControls,
    RunRecord,
    held_by,
    notes,
)
from tabletd.executor.engines.forcing import Forcing
from tabletd.executor.engines.instant import INSTANT_DDL, instant_statement, is_not_instant
from tabletd.executor.engines.plan import Plan, Planner, rename_sql
from tabletd.executor.engines.revert import plan_revert
from tabletd.executor.engines.scratch import scratch
from tabletd.executor.engines.statement import end_statements, execute_until_stopped
from tabletd.executor.migration import Migration, Strategy
from tabletd.executor.states import Status
from tabletd.mysql.errors import MySQLError
from tabletd.mysql.pool import Pool
from tabletd.mysql.quote import identifier
from tabletd.mysql.session import Session

LOCK_WAIT_SECONDS: Final = 10
_KILLED: Final = frozenset({1317, 1927, 3169})
_ZERO_DATES_REFUSED: Final = ("NO_ZERO_IN_DATE", "NO_ZERO_DATE")


class DirectEngine:
    """Has the server make a change: by the user's own statement, or by renaming.

    The run's nonce holds a digest of the table's definition before it, so that a later daemon can
    tell whether a statement that nobody saw ending took effect. The statement carries the nonce in
    a comment, by which it is found in the server's process list.

    Args:
        pool: the daemon's own account.
        retain_artifacts_seconds: gives how long what was replaced is kept, where a row does not
            say it.
    """

    def __init__(self, *, pool: Pool, retain_artifacts_seconds: Callable[[], float]) -> None:
        self._pool = pool
        self._retain_artifacts_seconds = retain_artifacts_seconds

    @property
    def strategy(self) -> Strategy:
        return Strategy.DIRECT

    async def run(
        self,
        migration: Migration,
        record: RunRecord,
        stop: asyncio.Event,
        controls: RunControls,
    ) -> Outcome:
        if migration.flags.prefer_instant_ddl and not migration.reverted_uuid:
            instant = await self.run_instantly(migration, record, stop, controls)
            if instant is not None:
                return instant
        async with self.session(migration, controls.cutover_threshold_seconds) as session:
            plan = await self._plan(session, migration)
            if isinstance(plan, Outcome):
                await _forget_unused_artifacts(session, migration, record, migration.artifacts)
                await record.end()
                return plan
            nonce = await self._begin(session, migration, record, plan)
            if stop.is_set() or controls.is_let_go:
                outcome = Outcome(Status.CANCELLED, "stopped before the statement was sent")
            else:
                forcing = Forcing(self._pool, migration, controls)
                outcome = await self._carry_out(session, migration, nonce, plan, stop, forcing)
        if outcome.status is not Status.COMPLETE:
            await self._discard(migration, record, (*migration.artifacts, *plan.artifacts))
        await record.end()
        return outcome

    async def run_instantly(
        self,
        migration: Migration,
        record: RunRecord,
        stop: asyncio.Event,
        controls: RunControls,
    ) -> Outcome | None:
        """Have an ALTER TABLE made instantly; None where that is not possible: nothing was done.

        Where the completion is postponed, whether it is possible is tried on an empty copy first.
        """
        name = identifier(migration.mysql_schema, migration.mysql_table)
        sql = instant_statement(ddl.parse(migration.migration_statement), name)
        if not sql:
            return None
        if held_by(controls):
            if not await self._is_instant_on_a_copy(migration, record):
                return None
            await record.ready_to_complete(True)
            if not await _is_released(migration, record, stop, controls):
                return Outcome(Status.CANCELLED, "stopped before the statement was sent")
        plan = Plan(sql, ddl.Action.ALTER, special_plan=INSTANT_DDL)
        async with self.session(migration, controls.cutover_threshold_seconds) as session:
            nonce = await self._begin(session, migration, record, plan)
            forcing = Forcing(self._pool, migration, controls)
            failure = await execute_until_stopped(self._pool, session, sql, nonce, stop, forcing)
        if is_not_instant(failure):
            await record.note(special_plan="", ddl_action=ddl.Action.ALTER)
            stage = f"{migration.engine_strategy}: starting"
            await record.stage(stage, f"not instantly: {failure}")
            await record.begin_anew()
            return None
        outcome = await self._judge(migration, nonce, plan, failure, stop)
        outcome = _also(outcome, forcing.message)
        await record.end()
        return outcome

    async def adopt(self, migration: Migration, record: RunRecord) -> Adopted | None:
        """A statement does not outlive the connection that it came by: never anything."""
        return None

    async def recover(self, migration: Migration, record: RunRecord) -> Outcome | None:
        await end_statements(self._pool, migration.run_nonce)
        changed = await self._took_effect(migration, migration.run_nonce)
        if changed:
            changed = not await self._put_back(migration)
        if not changed:
            await self._discard(migration, record, migration.artifacts)
        await record.end()
        return Outcome(Status.COMPLETE, "found after a restart") if changed else None

    async def forget_unused_artifacts(self, migration: Migration, record: RunRecord) -> None:
        """Take names out of the row that an earlier attempt was going to use."""
        async with self.session(migration, LOCK_WAIT_SECONDS) as session:
            await _forget_unused_artifacts(session, migration, record, migration.artifacts)

    async def _plan(self, session: Session, migration: Migration) -> Plan | Outcome:
        planner = Planner(
            session, migration, default_retain_seconds=self._retain_artifacts_seconds()
        )
        if migration.reverted_uuid:
            return await plan_revert(session, migration, planner)
        return await planner.plan()

    async def _begin(
        self, session: Session, migration: Migration, record: RunRecord, plan: Plan
    ) -> str:
        """Write down what is going to be done; returns the run's nonce."""
        before = await catalogue.definition(session, migration.mysql_schema, migration.mysql_table)
        nonce = f"{secrets.token_hex(8)}-{_digest(before)}"
        await record.begin(
            nonce=nonce,
            engine=self.strategy,
            directory="",
            account="",
            token_hash="",
            log_path="",
            log_file="",
        )
        await record.note(special_plan=plan.special_plan, ddl_action=plan.ddl_action)
        if plan.artifacts:
            await record.add_artifacts(*plan.artifacts)
        await record.stage(f"{migration.engine_strategy}: running the statement on the server")
        return nonce

    async def _carry_out(
        self,
        session: Session,
        migration: Migration,
        nonce: str,
        plan: Plan,
        stop: asyncio.Event,
        forcing: Forcing,
    ) -> Outcome:
        if migration.flags.analyze_table and plan.ddl_action == ddl.Action.ALTER:
            await catalogue.analyze(session, migration.mysql_schema, migration.mysql_table)
        if plan.former_view is not None:
            await self._copy_view(migration, plan.former_view, plan.artifacts[0])
        failure = await execute_until_stopped(self._pool, session, plan.sql, nonce, stop, forcing)
        return _also(await self._judge(migration, nonce, plan, failure, stop), forcing.message)

    async def _judge(
        self,
        migration: Migration,
        nonce: str,
        plan: Plan,
        failure: TabletdError | None,
        stop: asyncio.Event,
    ) -> Outcome:
        if failure is None:
            return Outcome(Status.COMPLETE, plan.message)
        if isinstance(failure, MySQLUnavailable):
            raise failure
        if await self._took_effect(migration, nonce):
            return Outcome(Status.COMPLETE, f"the server made the change, yet said: {failure}")
        was_killed = isinstance(failure, MySQLError) and failure.errno in _KILLED
        if stop.is_set() and was_killed:
            return Outcome(Status.CANCELLED, "the statement was ended on the server")
        return Outcome(Status.FAILED, str(failure))

    async def _is_instant_on_a_copy(self, migration: Migration, record: RunRecord) -> bool:
        statement = ddl.parse(migration.migration_statement)
        like = identifier(migration.mysql_schema, migration.mysql_table)
        async with (
            self.session(migration, LOCK_WAIT_SECONDS) as session,
            scratch(session, migration, record, "TABLE") as name,
        ):
            copy = identifier(migration.mysql_schema, name)
            await session.execute(f"CREATE TABLE {copy} LIKE {like}")
            try:
                await session.execute(instant_statement(statement, copy))
            except MySQLError as error:
                if not is_not_instant(error):
                    raise
                return False
        return True

    async def _copy_view(self, migration: Migration, view: catalogue.View, copy: str) -> None:
        """Make the copy of a view that is about to be replaced, as it was made itself."""
        async with self.session(migration, LOCK_WAIT_SECONDS) as session:
            await session.execute("SET collation_connection = %s", (view.collation,))
            name = identifier(migration.mysql_schema, copy)
            await session.execute(ddl.parse(view.statement).with_name(name))

    async def _took_effect(self, migration: Migration, nonce: str) -> bool:
        async with self._pool.session() as session:
            session.drop_afterwards()
            # A view is written with or without its schema, by the session's.
            await session.execute(f"USE {identifier(migration.mysql_schema)}")
            now = await catalogue.definition(session, migration.mysql_schema, migration.mysql_table)
        return _digest(now) != nonce.partition("-")[2]

    async def _put_back(self, migration: Migration) -> bool:
        """Undo the first half of a swap in which the server itself ended.

        Before MySQL 8.0 and MariaDB 10.6 it does not always take back what it had renamed.
        """
        schema, table = migration.mysql_schema, migration.mysql_table
        if migration.ddl_action != ddl.Action.ALTER or not migration.reverted_uuid:
            return False
        async with self.session(migration, LOCK_WAIT_SECONDS) as session:
            found = await catalogue.kinds(session, schema, [table, *migration.artifacts])
            kept = [name for name in migration.artifacts if name in found]
            if table in found or not kept:
                return False
            await session.execute(rename_sql(schema, (kept[-1], table)))
        return True

    async def _discard(
        self, migration: Migration, record: RunRecord, artifacts: tuple[str, ...]
    ) -> None:
        """Drop the copy of a view that was not replaced, and forget names that nothing has."""
        if not artifacts:
            return
        schema = migration.mysql_schema
        async with self.session(migration, LOCK_WAIT_SECONDS) as session:
            for name, kind in (await catalogue.kinds(session, schema, artifacts)).items():
                if kind == "VIEW":
                    await session.execute(f"DROP VIEW IF EXISTS {identifier(schema, name)}")
            await _forget_unused_artifacts(session, migration, record, artifacts)

    @asynccontextmanager
    async def session(
        self, migration: Migration, lock_wait_seconds: int
    ) -> AsyncGenerator[Session]:
        """Borrow a session for the migration's statements, set as its flags want it."""
        async with self._pool.session(writable=True) as session:
            session.drop_afterwards()
            await session.execute(f"USE {identifier(migration.mysql_schema)}")
            seconds = lock_wait_seconds or LOCK_WAIT_SECONDS
            await session.execute(f"SET SESSION lock_wait_timeout = {int(seconds)}")
            flags = migration.flags
            if flags.unsafe_allow_foreign_keys:
                await session.execute("SET SESSION foreign_key_checks = 0")
            if flags.allow_zero_in_date:
                modes = str((await session.execute("SELECT @@session.sql_mode")).scalar())
                kept = [mode for mode in modes.split(",") if mode not in _ZERO_DATES_REFUSED]
                await session.execute("SET SESSION sql_mode = %s", (",".join(kept),))
            yield session


async def _forget_unused_artifacts(
    session: Session, migration: Migration, record: RunRecord, artifacts: tuple[str, ...]
) -> None:
    found = await catalogue.kinds(session, migration.mysql_schema, artifacts)
    unused = [name for name in artifacts if name not in found]
    if unused:
        await record.remove_artifacts(*unused)


async def _is_released(
    migration: Migration, record: RunRecord, stop: asyncio.Event, controls: RunControls
) -> bool:
    """Wait until the last step may be done; returns whether it may, rather than the run stop."""
    stopped = asyncio.ensure_future(stop.wait())
    try:
        while (why := held_by(controls)) and not (stop.is_set() or controls.is_let_go):
            await record.stage(f"{migration.engine_strategy}: ready to complete, {why}")
            changed = asyncio.ensure_future(controls.changed())
            try:
                await asyncio.wait({stopped, changed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
    finally:
        stopped.cancel()
    return not (stop.is_set() or controls.is_let_go)


def _also(outcome: Outcome, message: str) -> Outcome:
    return replace(outcome, message=notes(outcome.message, message))


def _digest(definition: str) -> str:
    return hashlib.sha256(definition.encode()).hexdigest()[:32]
