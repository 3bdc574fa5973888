"""What the text of a submission alone shows: read and refused before anything is written."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from tabletd.errors import Reason, TabletdError
from tabletd.executor import ddl
from tabletd.executor.flags import Flags, split_options
from tabletd.executor.lexer import Kind, tokenize
from tabletd.executor.migration import Migration
from tabletd.executor.names import is_online_ddl_uuid
from tabletd.executor.reach import system_schemas
from tabletd.executor.strategy import Strategy, strategy_by_name

STATEMENT_BYTES_MAX = 65_535
_REVERT = "revert"
_MIRRORED = {"create": "drop", "drop": "create"}
_CHARACTERS_MAX = {"keyspace": 256, "options": 8192, "migration_context": 1024}


@dataclass(frozen=True, slots=True)
class NewMigration:
    """A migration as somebody submits it.

    Attributes:
        migration_uuid: as `names.create_uuid` makes it.
        migration_statement: one DDL statement.
        strategy: the name of a strategy; empty means `direct`.
        options: for the strategy's tool, as written in a shell.
        keyspace: empty means the tablet's.
        mysql_table: the statement's table; empty where the submitter does not say it.
        migration_context: whatever the submitter groups migrations by.
        requested_unix_seconds: when it was asked for; None means now.
    """

    migration_uuid: str
    migration_statement: str
    strategy: str = ""
    options: str = ""
    keyspace: str = ""
    mysql_table: str = ""
    migration_context: str = ""
    requested_unix_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """What is written into the queue: a submission that was read and found possible.

    Attributes:
        flags: what its options ask of the queue.
        is_view: whether it changes a view.
        reverted_uuid: the migration that it reverts; empty for any other.
    """

    migration_uuid: str
    keyspace: str
    mysql_schema: str
    mysql_table: str
    migration_statement: str
    strategy: Strategy
    options: str
    ddl_action: str
    migration_context: str
    requested_unix_seconds: float | None
    flags: Flags = field(default_factory=Flags)
    is_view: bool = False
    reverted_uuid: str = ""

    @property
    def is_immediate_operation(self) -> bool:
        """Whether it has no copy to make: it takes effect as soon as it begins."""
        by_tool = self.strategy.is_tool and self.ddl_action == ddl.Action.ALTER
        return not by_tool or self.is_view or bool(self.reverted_uuid)


def read_submission(
    new: NewMigration,
    *,
    keyspace: str,
    db_name: str,
    allowed_schemas: Collection[str],
    online: Strategy | None = None,
) -> Submission:
    """Judge a submission by its text.

    Args:
        new: as submitted.
        keyspace: the tablet's.
        db_name: the schema of a statement that names none.
        allowed_schemas: further schemas that a statement may name.
        online: what the strategies `online` and `vitess` stand for; None: nothing.

    Raises:
        TabletdError: INVALID_REQUEST, DDL_SYNTAX, UNSUPPORTED_DDL or MIGRATION_REJECTED, each
            saying what was found.
    """
    if not is_online_ddl_uuid(new.migration_uuid):
        raise not_a_uuid(new.migration_uuid)
    strategy = strategy_by_name(new.strategy, online=online)
    _check_lengths(new)
    flags, _ = split_options(strategy, new.options)
    statement = ddl.parse(new.migration_statement)
    _check_names(new.migration_statement)
    _check_action(statement)
    _check_for_tool(statement, strategy, flags)
    _check_table(statement, new, {db_name, *allowed_schemas})
    _check_reach(statement, {db_name, *allowed_schemas})
    return Submission(
        migration_uuid=new.migration_uuid,
        keyspace=new.keyspace or keyspace,
        mysql_schema=statement.name.schema or db_name,
        mysql_table=statement.name.table,
        migration_statement=new.migration_statement,
        strategy=strategy,
        options=new.options,
        ddl_action=statement.action,
        migration_context=new.migration_context,
        requested_unix_seconds=new.requested_unix_seconds,
        flags=flags,
        is_view=statement.kind is ddl.ObjectKind.VIEW,
    )


def read_revert(
    new: NewMigration,
    reverted_uuid: str,
    reverted: Migration | None,
    *,
    keyspace: str,
    db_name: str,
) -> Submission:
    """Judge the submission of a REVERT by its text; whether it is possible is seen when it runs.

    Args:
        new: as submitted; its statement is not looked at.
        reverted_uuid: what it undoes.
        reverted: the row of that, None when there is none.
        keyspace: the tablet's.
        db_name: the tablet's schema.

    Raises:
        TabletdError: INVALID_REQUEST or MIGRATION_REJECTED, saying what was found.
    """
    if not is_online_ddl_uuid(new.migration_uuid):
        raise not_a_uuid(new.migration_uuid)
    # Vitess's client sends each REVERT with `online`; the server itself does it here.
    strategy = strategy_by_name(new.strategy, online=Strategy.DIRECT)
    _check_lengths(new)
    flags, _ = split_options(strategy, new.options)
    action = reverted.ddl_action if reverted else _REVERT
    return Submission(
        migration_uuid=new.migration_uuid,
        keyspace=new.keyspace or keyspace,
        mysql_schema=reverted.mysql_schema if reverted else db_name,
        mysql_table=reverted.mysql_table if reverted else "",
        migration_statement=f"revert vitess_migration '{reverted_uuid}'",
        strategy=strategy,
        options=new.options,
        ddl_action=_MIRRORED.get(action, action),
        migration_context=new.migration_context,
        requested_unix_seconds=new.requested_unix_seconds,
        flags=flags,
        is_view=reverted is not None and reverted.is_view,
        reverted_uuid=reverted_uuid,
    )


def not_a_uuid(text: str) -> TabletdError:
    """Return the error for what is no migration UUID. Text: Vitess 9."""
    return TabletdError(
        Reason.INVALID_REQUEST,
        f"Not an Online DDL UUID: {text[:100]}",
        hint="a UUID of lower-case hexadecimal digits with underscores: 8_4_4_4_12",
    )


def _check_lengths(new: NewMigration) -> None:
    for name, characters_max in _CHARACTERS_MAX.items():
        characters = len(getattr(new, name))
        if characters > characters_max:
            raise TabletdError(
                Reason.INVALID_REQUEST,
                f"{name} has {characters} characters, {characters_max} are the most",
            )
    statement_bytes = len(new.migration_statement.encode())
    if statement_bytes > STATEMENT_BYTES_MAX:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"the statement has {statement_bytes} bytes, {STATEMENT_BYTES_MAX} are the most",
            hint="split it into several statements",
        )


_NOT_QUEUED = {
    ddl.Action.RENAME: (
        "RENAME TABLE moves a table away from under the migrations that wait for its name, and "
        "takes effect at once: run it with the strategy direct"
    ),
    ddl.Action.TRUNCATE: (
        "TRUNCATE destroys all rows at once, and nothing could bring them back: run it with the "
        "strategy direct"
    ),
}


def _check_action(statement: ddl.Statement) -> None:
    if statement.action in (ddl.Action.RENAME, ddl.Action.TRUNCATE) or statement.temporary:
        raise TabletdError(
            Reason.UNSUPPORTED_DDL,
            f"Unsupported online DDL action. SQL={statement.text[:200]}",
            hint=_NOT_QUEUED.get(statement.action, "a temporary table is gone with its session"),
        )
    if statement.more_names:
        raise TabletdError(
            Reason.UNSUPPORTED_DDL,
            f"the DROP names {len(statement.more_names) + 1} tables: a migration has one",
            hint="submit one DROP for each table",
        )


def _check_for_tool(statement: ddl.Statement, strategy: Strategy, flags: Flags) -> None:
    """Refuse what a tool would carry out in another way than it is written.

    A foreign key would keep both tables from being altered by a tool from then on.
    """
    is_alter_table = (statement.action, statement.kind) == (
        ddl.Action.ALTER,
        ddl.ObjectKind.TABLE,
    )
    if not strategy.is_tool or not is_alter_table:
        return
    if statement.renames_table:
        raise _not_by_tool(
            strategy,
            "cannot rename the table that it alters",
            "take RENAME out, and rename afterwards with RENAME TABLE",
        )
    if statement.reaches_beyond:
        raise _not_by_tool(
            strategy,
            "works on a copy, from which a clause would move another table's rows or files",
            "use the strategy direct for EXCHANGE, CONVERT, IMPORT and DISCARD",
        )
    if statement.adds_foreign_key and not flags.unsafe_allow_foreign_keys:
        raise _not_by_tool(
            strategy,
            "adds no foreign key unless that is said to be wanted: neither table could be altered "
            "by it afterwards without care",
            "say --unsafe-allow-foreign-keys, or use the strategy direct",
        )
    if statement.ignore:
        raise _not_by_tool(
            strategy, "has no ALTER IGNORE, which drops rows that do not fit", "leave IGNORE out"
        )
    if statement.index_options:
        raise _not_by_tool(
            strategy, "takes no ALGORITHM or LOCK of an index statement", "leave them out"
        )
    if statement.or_replace:
        raise _not_by_tool(
            strategy,
            "cannot replace an index by CREATE OR REPLACE",
            "submit ALTER TABLE ... DROP INDEX ..., ADD INDEX ...",
        )
    if not statement.alter_options:
        raise _not_by_tool(strategy, "needs a clause behind the table's name", "say what to alter")


def _not_by_tool(strategy: Strategy, what: str, hint: str) -> TabletdError:
    return TabletdError(Reason.UNSUPPORTED_DDL, f"{strategy} {what}", hint=hint)


def _check_names(sql: str) -> None:
    """Refuse names that MySQL 5.7 takes with `?` for what it cannot write in a name."""
    for token in tokenize(sql):
        if token.kind in (Kind.NAME, Kind.WORD) and any(ord(sign) > 0xFFFF for sign in token.text):
            raise TabletdError(
                Reason.DDL_SYNTAX,
                f"{token.text[:80]} cannot be a name: it contains a character outside the Basic "
                "Multilingual Plane",
                hint="names have no emoji; texts, between single quotes, may",
            )


def _check_table(statement: ddl.Statement, new: NewMigration, schemas: Collection[str]) -> None:
    schema, table = statement.name.schema, statement.name.table
    if schema and schema not in schemas:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"the statement names the schema {schema!r}, which is not allowed on this tablet",
            hint=f"allowed: {', '.join(sorted(schemas))}; see the setting allowed_schemas",
        )
    if new.mysql_table and new.mysql_table != table:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"mysql_table says {new.mysql_table[:64]!r}, but the statement's table is {table!r}",
        )


def _check_reach(statement: ddl.Statement, schemas: Collection[str]) -> None:
    """Refuse what the daemon's account may read and who submits need not: a view hands it on."""
    for schema in sorted(system_schemas(statement.text).difference(schemas)):
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"the statement names the schema {schema!r}, which is not allowed on this tablet",
            hint="an alias of that name wants another one; an admin may run the statement by "
            "ExecuteFetchAsDba",
        )
