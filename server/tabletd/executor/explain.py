"""What a statement would do as a migration, found out from the server without doing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from tabletd.errors import MySQLUnavailable, Reason, TabletdError
from tabletd.executor import ddl
from tabletd.executor.engines.base import Outcome
from tabletd.executor.engines.plan import Planner
from tabletd.executor.engines.revert import plan_revert
from tabletd.executor.engines.trial import Algorithm, Trial, try_on_a_copy
from tabletd.executor.migration import Migration, Strategy
from tabletd.executor.names import create_uuid
from tabletd.executor.preflight.facts import Facts
from tabletd.executor.statements import Revert, parse_statement
from tabletd.executor.strategy import parse_strategy
from tabletd.executor.submit import NewMigration, Submission
from tabletd.mysql.pool import Pool
from tabletd.mysql.quote import identifier
from tabletd.mysql.session import Session

NOT_KNOWN: Final = -1
# What one of so few rows takes is not worth an estimate.
_FEW_ROWS: Final = 1_000
_FEW_SECONDS: Final = 5
_LOCK_SECONDS: Final = {Strategy.GH_OST: 3.0, Strategy.PT_OSC: 3.0}
_SERVER_LOCK_SECONDS: Final = 10.0

# A REVERT looks at what is older than itself.
_NEXT_ID: Final = 2**63 - 1

_SIZE: Final = (
    "SELECT table_type AS kind, table_rows AS table_rows, data_length AS data_bytes,"
    " index_length AS index_bytes FROM information_schema.tables"
    " WHERE table_schema = %s AND table_name = %s"
)
_RATES: Final = (
    "SELECT rows_copied, GREATEST(TIMESTAMPDIFF(SECOND, started_timestamp, completed_timestamp), 1)"
    " FROM _vt.schema_migrations WHERE migration_status = 'complete' AND strategy = %s"
    " AND rows_copied >= 10000 AND special_plan = '' ORDER BY id DESC LIMIT 10"
)


class Way(StrEnum):
    """How a change would be carried out."""

    UNKNOWN = "unspecified"
    REFUSED = "refused"
    NO_CHANGE = "no change"
    SERVER = "server"
    INSTANT = "instant"
    RENAME = "rename"
    GH_OST = "gh-ost"
    PT_OSC = "pt-osc"


@dataclass(frozen=True, slots=True)
class Lock:
    """What others would have to wait for.

    Attributes:
        object: what would be locked.
        blocks: who would wait.
        phase: when.
        seconds_max: how long at most; -1: not known.
    """

    object: str
    blocks: str
    phase: str
    seconds_max: float


@dataclass(slots=True)
class Explanation:
    """What one migration would do.

    Attributes:
        refusals: why it would be refused.
        table_rows: the server's estimate.
        estimated_seconds: of the run; -1: not known.
        evidence: what all this was concluded from.
        waits: what it would wait for if it were submitted now.
    """

    statement: str
    schema: str = ""
    table: str = ""
    ddl_action: str = ""
    way: Way = Way.UNKNOWN
    refusals: list[TabletdError] = field(default_factory=list[TabletdError])
    table_rows: int = 0
    data_bytes: int = 0
    index_bytes: int = 0
    estimated_seconds: int = NOT_KNOWN
    locks: list[Lock] = field(default_factory=list[Lock])
    evidence: list[str] = field(default_factory=list[str])
    waits: list[str] = field(default_factory=list[str])


class Queue(Protocol):
    """What explaining asks of the queue."""

    def judge(self, new: NewMigration) -> Submission:
        """Read a submission; raises what its text alone shows to be impossible."""
        ...

    async def judge_revert(self, new: NewMigration, reverted_uuid: str) -> Submission:
        """Read a REVERT; raises what its text alone shows to be impossible."""
        ...

    async def foresee(self, submission: Submission) -> str:
        """Return what it would wait for; raises MIGRATION_REJECTED by its singleton flags."""
        ...

    async def check_writable(self) -> None:
        """Raise NOT_PRIMARY where nothing is run."""
        ...


class Inspector(Protocol):
    """Looks at what a tool would meet, as its engine does before a run."""

    async def inspect(self, migration: Migration) -> tuple[Facts, Sequence[TabletdError]]:
        """Return the facts, and all refusals."""
        ...


class Explainer:
    """Explains statements.

    Args:
        pool: the daemon's own account.
        queue: for what is pending.
        inspectors: of the tools.
        online: what the strategies `online` and `vitess` stand for; None: nothing.
    """

    def __init__(
        self,
        *,
        pool: Pool,
        queue: Queue,
        inspectors: Mapping[Strategy, Inspector],
        online: Strategy | None,
    ) -> None:
        self._pool = pool
        self._queue = queue
        self._inspectors = inspectors
        self._online = online

    async def explain(
        self, statement: str, ddl_strategy: str, migration_context: str
    ) -> list[Explanation]:
        """Explain one statement; a DROP of several tables becomes as many migrations.

        Args:
            statement: DDL, or `REVERT VITESS_MIGRATION`.
            ddl_strategy: strategy and options; empty: direct.
            migration_context: that it would be submitted with.

        Raises:
            TabletdError: NOT_PRIMARY; the server is away.
        """
        await self._queue.check_writable()
        try:
            strategy, options = parse_strategy(ddl_strategy, online=self._online)
            reverted = _reverted(statement)
            parts = [statement] if reverted else ddl.parse(statement).single_drops()
        except TabletdError as error:
            return [_refused(Explanation(statement), error)]
        news = [
            NewMigration(
                create_uuid(), part, strategy, options, migration_context=migration_context
            )
            for part in parts
        ]
        if reverted:
            return [await self._revert(new, reverted) for new in news]
        return [await self._explain(new) for new in news]

    async def _explain(self, new: NewMigration) -> Explanation:
        found = Explanation(new.migration_statement)
        try:
            submission = self._queue.judge(new)
        except TabletdError as error:
            return _refused(found, error)
        found.schema, found.table = submission.mysql_schema, submission.mysql_table
        found.ddl_action = submission.ddl_action
        migration = _migration(submission)
        async with self._pool.session() as session:
            exists = await _size(session, found)
        statement = ddl.parse(submission.migration_statement)
        if submission.flags.declarative:
            found.evidence.append(
                "with --declarative it is seen at the start what is to be changed"
            )
        elif statement.action is ddl.Action.ALTER and statement.kind is ddl.ObjectKind.TABLE:
            await self._alter(found, migration, exists=exists)
        else:
            await self._by_server(found, migration)
        if submission.strategy is not Strategy.DIRECT:
            await self._foresee(found, submission)
        return _judged(found)

    async def _revert(self, new: NewMigration, reverted_uuid: str) -> Explanation:
        """Explain a REVERT, which goes through the queue whatever its strategy."""
        found = Explanation(new.migration_statement)
        try:
            submission = await self._queue.judge_revert(new, reverted_uuid)
        except MySQLUnavailable:
            raise
        except TabletdError as error:
            return _refused(found, error)
        found.schema, found.table = submission.mysql_schema, submission.mysql_table
        found.ddl_action = submission.ddl_action
        async with self._pool.session() as session:
            await _size(session, found)
        await self._by_server(found, _migration(submission))
        await self._foresee(found, submission)
        return _judged(found)

    async def _foresee(self, found: Explanation, submission: Submission) -> None:
        try:
            wait = await self._queue.foresee(submission)
        except TabletdError as error:
            found.refusals.append(error)
        else:
            found.waits += [wait] if wait else []

    async def _alter(self, found: Explanation, migration: Migration, *, exists: bool) -> None:
        """Explain an ALTER TABLE."""
        if not exists:
            name = f"{found.schema}.{found.table}"
            found.refusals.append(TabletdError(Reason.TABLE_NOT_FOUND, f"there is no table {name}"))
            return
        trial = await try_on_a_copy(self._pool, migration)
        is_instant = trial.algorithm is Algorithm.INSTANT
        by_tool = migration.engine_strategy.is_tool
        facts = None
        if by_tool:
            facts = await self._inspect(found, migration)
        _say_of_trial(found, trial, has_foreign_keys=_has_foreign_keys(facts))
        if is_instant and (not by_tool or migration.flags.prefer_instant_ddl):
            # What keeps the tool from running does not keep the server.
            found.refusals.clear()
            found.way, found.estimated_seconds = Way.INSTANT, 0
            found.locks.append(_dictionary_lock(found, migration))
        elif by_tool:
            await self._by_tool(found, migration)
        else:
            _by_algorithm(found, migration, trial.algorithm)
        if is_instant and by_tool and not migration.flags.prefer_instant_ddl:
            found.evidence.append("with --prefer-instant-ddl no row would be copied")

    async def _inspect(self, found: Explanation, migration: Migration) -> Facts | None:
        try:
            facts, refusals = await self._inspectors[migration.engine_strategy].inspect(migration)
        except TabletdError as error:
            found.refusals.append(error)
            return None
        # Where somebody has dropped the table meanwhile, each check says so.
        found.refusals += refusals if facts.table is not None else refusals[:1]
        return facts

    async def _by_tool(self, found: Explanation, migration: Migration) -> None:
        strategy = migration.engine_strategy
        found.way = Way(strategy.value)
        seconds = float(migration.cutover_threshold_seconds or _LOCK_SECONDS[strategy])
        name = f"{found.schema}.{found.table}"
        if strategy is Strategy.PT_OSC:
            phase = "when the triggers are made, before the first row is copied"
            found.locks.append(Lock(name, "readers and writers", phase, seconds))
        phase = "while the tables are swapped, for each attempt"
        found.locks.append(Lock(name, "readers and writers", phase, seconds))
        result = await self._pool.execute(_RATES, (strategy.value,))
        rows = sum(int(copied) for copied, _ in result.rows)
        taken = sum(int(seconds) for _, seconds in result.rows)
        if found.table_rows < _FEW_ROWS:
            found.estimated_seconds = _FEW_SECONDS
        elif rows:
            found.estimated_seconds = 1 + found.table_rows * taken // rows
            found.evidence.append(
                f"{strategy} copied {rows // taken} rows a second in the last "
                f"{len(result.rows)} migrations of 10,000 rows and more here"
            )
        else:
            found.evidence.append(
                f"no migration of 10,000 rows or more was done by {strategy} here: "
                "how long it takes is not known"
            )

    async def _by_server(self, found: Explanation, migration: Migration) -> None:
        """Explain a CREATE, a DROP, a change of a view, or a REVERT of one of them."""
        try:
            async with self._pool.session() as session:
                session.drop_afterwards()
                await session.execute(f"USE {identifier(found.schema)}")
                planner = Planner(session, migration, default_retain_seconds=0)
                if migration.reverted_uuid:
                    plan = await plan_revert(session, migration, planner)
                else:
                    plan = await planner.plan()
        except TabletdError as error:
            found.refusals.append(error)
            return
        found.estimated_seconds = 0
        if isinstance(plan, Outcome):
            found.way = Way.NO_CHANGE
            found.evidence.append(plan.message)
            return
        found.way = Way.RENAME if plan.sql.startswith("RENAME") else Way.SERVER
        if found.way is Way.RENAME and plan.ddl_action == ddl.Action.CREATE:
            found.evidence.append("what was kept of it gets its name back")
        elif found.way is Way.RENAME:
            found.evidence.append("the table is kept under another name until its retention ends")
        if plan.message:
            found.evidence.append(plan.message)
        if found.ddl_action != ddl.Action.CREATE:
            found.locks.append(_dictionary_lock(found, migration))


def _reverted(statement: str) -> str:
    """Return the UUID of the migration that a REVERT undoes; empty for any other statement."""
    found = parse_statement(statement)
    return found.uuid if isinstance(found, Revert) else ""


def _migration(submission: Submission) -> Migration:
    return Migration(
        id=_NEXT_ID if submission.reverted_uuid else 0,
        migration_uuid=submission.migration_uuid,
        keyspace=submission.keyspace,
        shard="",
        mysql_schema=submission.mysql_schema,
        mysql_table=submission.mysql_table,
        migration_statement=submission.migration_statement,
        strategy=submission.strategy,
        options=submission.options,
        ddl_action=submission.ddl_action,
        migration_context=submission.migration_context,
        is_view=submission.is_view,
        is_immediate_operation=submission.is_immediate_operation,
        cutover_threshold_seconds=submission.flags.cut_over_threshold_seconds,
        reverted_uuid=submission.reverted_uuid,
    )


async def _size(session: Session, found: Explanation) -> bool:
    """Note how large the table is; returns whether it exists."""
    row = (await session.execute(_SIZE, (found.schema, found.table))).one()
    if row is None:
        return False
    found.table_rows = int(row["table_rows"] or 0)
    found.data_bytes = int(row["data_bytes"] or 0)
    found.index_bytes = int(row["index_bytes"] or 0)
    found.evidence.append(
        f"the server estimates {found.table_rows} rows in "
        f"{found.data_bytes + found.index_bytes} bytes"
    )
    return True


def _judged(found: Explanation) -> Explanation:
    """Say that it is refused if anything refuses it."""
    if found.refusals:
        found.way = Way.REFUSED
        found.locks, found.estimated_seconds = [], NOT_KNOWN
    return found


def _refused(found: Explanation, error: TabletdError) -> Explanation:
    found.way = Way.REFUSED
    found.refusals.append(error)
    return found


def _has_foreign_keys(facts: Facts | None) -> bool:
    return facts is not None and facts.table is not None and bool(facts.table.foreign_keys)


def _say_of_trial(found: Explanation, trial: Trial, *, has_foreign_keys: bool) -> None:
    if trial.algorithm is not None:
        found.evidence.append(
            f"on an empty copy of the table the server made the change by: {trial.algorithm}"
        )
    elif not trial.is_tried:
        found.evidence.append(f"it could not be tried on an empty copy: {trial.refusal}")
    elif trial.refusal is not None:
        found.evidence.append(f"on an empty copy of the table the server said: {trial.refusal}")
        # The copy has no foreign keys: a change of them fails there and nowhere else.
        if not has_foreign_keys and "FOREIGN" not in found.statement.upper():
            found.refusals.append(trial.refusal)


def _by_algorithm(found: Explanation, migration: Migration, algorithm: Algorithm | None) -> None:
    """Explain an ALTER TABLE that the server makes by touching rows."""
    found.way = Way.SERVER
    name = f"{found.schema}.{found.table}"
    if algorithm is Algorithm.IN_PLACE:
        found.locks.append(_dictionary_lock(found, migration))
    else:
        found.locks.append(Lock(name, "writers", "all the time", NOT_KNOWN))
    found.locks.append(Lock(name, "other schema changes", "all the time", NOT_KNOWN))
    found.locks.append(Lock("replicas", "what follows in replication", "all the time", NOT_KNOWN))
    if found.table_rows < _FEW_ROWS:
        found.estimated_seconds = 1
    else:
        found.evidence.append("how long the server needs for its rows is not known")


def _dictionary_lock(found: Explanation, migration: Migration) -> Lock:
    seconds = float(migration.cutover_threshold_seconds or _SERVER_LOCK_SECONDS)
    return Lock(
        f"{found.schema}.{found.table}",
        "readers and writers",
        "at the end, while older transactions on it are waited for",
        seconds,
    )
