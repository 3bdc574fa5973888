"""What an ApplySchema asks for, read as a whole before anything of it is done."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.executor import ddl, statements
from tabletd.executor.directives import annotate
from tabletd.executor.flags import Flags, split_options
from tabletd.executor.lexer import Kind, significant, split_statements, tokenize
from tabletd.executor.names import create_uuid
from tabletd.executor.reach import stays_in_schema
from tabletd.executor.strategy import Strategy, parse_strategy
from tabletd.executor.submit import NewMigration, read_submission
from tabletd.throttler import ONLINE_DDL_APP
from tabletd.vtctld.schema_migration import checked_uuid, to_time
from tabletd_pb import topodata_pb2, vtctldata_pb2

REPLICAS_SECONDS_DEFAULT: Final = 30.0
_THROTTLE_SECONDS_DEFAULT: Final = 3600.0
_JUDGED_CHARACTERS_MAX: Final = 256 * 1024
_DDL: Final = frozenset({"CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE"})
_SHOWING: Final = (
    statements.ShowMigrations,
    statements.ShowLogs,
    statements.ShowThrottledApps,
    statements.ShowThrottlerStatus,
)
_ZERO_DATES: Final = (
    "SET SESSION sql_mode = "
    "REPLACE(REPLACE(@@SESSION.sql_mode, 'NO_ZERO_DATE', ''), 'NO_ZERO_IN_DATE', '');\n"
)


class Way(Enum):
    """How a step is carried out."""

    QUERY = auto()
    """As a query of the tablet: a migration for its queue, or a control of such."""
    DIRECT = auto()
    """By the server at once."""
    THROTTLE = auto()
    """In the settings of the throttler."""


@dataclass(frozen=True)
class Step:
    """One thing to do on every shard, before the next one begins.

    Attributes:
        way: how.
        sql: what is sent.
        rule: for THROTTLE: the rule to set, or to take away.
        disable_foreign_key_checks: for DIRECT.
    """

    way: Way
    sql: str
    rule: topodata_pb2.ThrottledAppRule | None = None
    disable_foreign_key_checks: bool = False


@dataclass(frozen=True)
class Plan:
    """Everything that a request asks for.

    Attributes:
        steps: in order.
        uuids: of the migrations that are submitted.
        migration_context: their group.
        has_other_than_ddl: some statement changes no schema, so that one shard alone can take it.
        statements: what the server is to read, as given.
    """

    steps: tuple[Step, ...]
    uuids: tuple[str, ...]
    migration_context: str
    has_other_than_ddl: bool
    statements: tuple[str, ...]


def read_changes(
    request: vtctldata_pb2.ApplySchemaRequest,
    *,
    now_seconds: float,
    online: Strategy | None = None,
) -> Plan:
    """Read a request; nothing is done when any part of it is wrong.

    Args:
        request: as the client sent it.
        now_seconds: Unix time, for rules that expire.
        online: what the strategies `online` and `vitess` stand for; None: nothing.

    Raises:
        TabletdError: MIGRATION_REJECTED without any statement; INVALID_REQUEST for strategy,
            UUIDs and batch size; DDL_SYNTAX and UNSUPPORTED_DDL for statements.
    """
    return _Reader(request, now_seconds, online).plan()


def runs_any_statement(request: vtctldata_pb2.ApplySchemaRequest) -> bool:
    """Tell whether a request has the server run what is no change of the keyspace's own schema.

    With the strategy `direct` its statements, whatever they are, are run by the daemons' accounts.
    A text that would take too long to read counts as any statement.

    Raises:
        TabletdError: as `read_changes`, for the same texts.
    """
    strategy, _ = parse_strategy(request.ddl_strategy, online=Strategy.MYSQL)
    if strategy is not Strategy.DIRECT:
        return False
    return sum(map(len, request.sql)) > _JUDGED_CHARACTERS_MAX or any(
        statements.parse_statement(text) is None and not stays_in_schema(text, request.keyspace)
        for piece in request.sql
        for text in split_statements(piece)
    )


class _Reader:
    def __init__(
        self,
        request: vtctldata_pb2.ApplySchemaRequest,
        now_seconds: float,
        online: Strategy | None,
    ) -> None:
        self._request = request
        self._now_seconds = now_seconds
        self._strategy, self._options, self._flags = _strategy(request.ddl_strategy, online)
        self._context = request.migration_context or f"vtctl:{uuid.uuid1()}"
        self._uuids: list[str] = []
        self._given: list[str] = []
        self._has_other_than_ddl = False
        self._statements: list[str] = []

    def plan(self) -> Plan:
        texts = [text for piece in self._request.sql for text in split_statements(piece)]
        if not texts:
            raise TabletdError(
                Reason.MIGRATION_REJECTED, "no SQL was given", hint="give one statement or more"
            )
        self._given = _given_uuids(self._request.uuid_list, len(texts))
        steps = [step for number, text in enumerate(texts) for step in self._steps(number, text)]
        return Plan(
            steps=tuple(self._batched(steps)),
            uuids=tuple(self._uuids),
            migration_context=self._context,
            has_other_than_ddl=self._has_other_than_ddl,
            statements=tuple(self._statements),
        )

    def _steps(self, number: int, text: str) -> list[Step]:
        control = statements.parse_statement(text)
        if control is not None:
            return [self._control(number, text, control)]
        self._statements.append(text)
        if self._strategy is not Strategy.DIRECT:
            return self._migrations(number, text)
        self._has_other_than_ddl |= _first_word(text) not in _DDL
        return [
            Step(
                Way.DIRECT,
                (_ZERO_DATES if self._flags.allow_zero_in_date else "") + text,
                disable_foreign_key_checks=self._flags.unsafe_allow_foreign_keys,
            )
        ]

    def _control(self, number: int, text: str, control: statements.MigrationStatement) -> Step:
        if isinstance(control, _SHOWING):
            raise TabletdError(
                Reason.INVALID_REQUEST,
                "ApplySchema has no place for rows: SHOW is refused",
                hint="use `OnlineDDL show`, or send the SHOW to a tablet by Query.Execute",
            )
        if isinstance(control, statements.Revert):
            strategy = Strategy.MYSQL if self._strategy is Strategy.DIRECT else self._strategy
            return self._submission(number, text, "", strategy)
        if isinstance(control, statements.Throttle):
            return self._throttle(
                control.uuid,
                ratio=control.ratio,
                seconds=control.expire_seconds or _THROTTLE_SECONDS_DEFAULT,
            )
        if isinstance(control, statements.Unthrottle):
            return self._throttle(control.uuid, ratio=0.0, seconds=None)
        return Step(Way.QUERY, text)

    def _throttle(self, migration: str | None, *, ratio: float, seconds: float | None) -> Step:
        rule = topodata_pb2.ThrottledAppRule(
            name=migration or ONLINE_DDL_APP,
            ratio=ratio,
            expires_at=to_time(0.0 if seconds is None else self._now_seconds + seconds),
        )
        return Step(Way.THROTTLE, "", rule=rule)

    def _migrations(self, number: int, text: str) -> list[Step]:
        """Return a migration for each table of a DDL statement."""
        statement = ddl.parse(text)
        if not statement.more_names:
            self._check(statement)
            return [self._submission(number, text, statement.name.table, self._strategy)]
        if self._given:
            raise TabletdError(
                Reason.INVALID_REQUEST,
                f"the DROP names {len(statement.more_names) + 1} tables, but there is one UUID",
                hint="give each table a DROP of its own",
            )
        steps: list[Step] = []
        for single in map(ddl.parse, statement.single_drops()):
            self._check(single)
            steps.append(self._submission(number, single.text, single.name.table, self._strategy))
        return steps

    def _check(self, statement: ddl.Statement) -> None:
        """Let what every tablet would refuse be refused before any of them is asked."""
        read_submission(
            NewMigration(
                migration_uuid=create_uuid(),
                migration_statement=statement.text,
                strategy=self._strategy,
                options=self._options,
                migration_context=self._context,
            ),
            keyspace=self._request.keyspace,
            db_name=self._request.keyspace,
            allowed_schemas={statement.name.schema},
        )

    def _submission(self, number: int, text: str, table: str, strategy: Strategy) -> Step:
        migration = self._given[number] if self._given else create_uuid()
        self._uuids.append(migration)
        return Step(
            Way.QUERY,
            annotate(
                text,
                migration_uuid=migration,
                migration_context=self._context,
                mysql_table=table,
                strategy=strategy.value,
                options=self._options,
            ),
        )

    def _batched(self, steps: Sequence[Step]) -> Sequence[Step]:
        """Join statements that may be sent together."""
        size = self._request.batch_size
        if size <= 1:
            return steps
        if self._strategy is not Strategy.DIRECT or self._given:
            raise TabletdError(
                Reason.INVALID_REQUEST,
                "batch_size is only for the strategy `direct`, without UUIDs",
                hint="leave --batch-size out",
            )
        for step in steps:
            if step.way is not Way.DIRECT or not _creates_table_or_view(step.sql):
                raise TabletdError(
                    Reason.INVALID_REQUEST,
                    "batch_size is only for CREATE TABLE and CREATE VIEW",
                    hint="leave --batch-size out",
                )
        return [
            Step(
                Way.DIRECT,
                ";\n".join(step.sql for step in steps[begin : begin + size]),
                disable_foreign_key_checks=steps[begin].disable_foreign_key_checks,
            )
            for begin in range(0, len(steps), size)
        ]


def _strategy(setting: str, online: Strategy | None) -> tuple[Strategy, str, Flags]:
    try:
        strategy, options = parse_strategy(setting, online=online)
        flags, _ = split_options(strategy, options)
    except TabletdError as error:
        raise TabletdError(
            error.reason, f"invalid DdlStrategy: {error.message}", hint=error.hint, **error.facts
        ) from None
    return strategy, options, flags


def _given_uuids(given: Sequence[str], statements_count: int) -> list[str]:
    """Return the UUIDs that the caller chose, one for each statement; none when none are given."""
    try:
        checked = [checked_uuid(text) for text in given]
    except TabletdError as error:
        raise _invalid_uuids(error.message) from None
    if len(set(checked)) != len(checked):
        raise _invalid_uuids("UUID values must be unique")
    if checked and len(checked) != statements_count:
        raise _invalid_uuids(f"{len(checked)} UUIDs for {statements_count} statements")
    return checked


def _invalid_uuids(problem: str) -> TabletdError:
    return TabletdError(
        Reason.INVALID_REQUEST,
        f"invalid UuidList: {problem}",
        hint="one UUID for each statement: hexadecimal digits with underscores, 8_4_4_4_12",
    )


def _words(text: str) -> list[str]:
    return [token.upper for token in significant(tokenize(text)) if token.kind is Kind.WORD]


def _first_word(text: str) -> str:
    return next(iter(_words(text)), "")


def _creates_table_or_view(sql: str) -> bool:
    try:
        statement = ddl.parse(split_statements(sql)[-1])
    except TabletdError:
        return False
    return statement.action is ddl.Action.CREATE and not statement.alter_options
