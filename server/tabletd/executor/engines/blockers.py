"""Who keeps a table from being swapped, and how they are ended.

MySQL tells by performance_schema who holds a table's metadata lock or, from 8.0 on, a lock on one
of its rows; MariaDB by the plugin metadata_lock_info, or by performance_schema where it is on.
Where neither tells, only connections whose running statement names the table are known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

from tabletd.errors import MySQLUnavailable, TabletdError
from tabletd.executor.lexer import Kind, Token, name_value, significant, tokenize
from tabletd.mysql.errors import NO_SUCH_THREAD, NOT_OWNER_OF_THREAD, MySQLError
from tabletd.mysql.flavor import ServerInfo, server_info
from tabletd.mysql.session import Session

_STATEMENT_CHARACTERS_MAX: Final = 60
_NAMED_MAX: Final = 10
_NOT_ALLOWED: Final = frozenset({NOT_OWNER_OF_THREAD, 1227})
_ENDS: Final = ("", "'", '"', "`", "*/")
_WAITING: Final = "Waiting for table metadata lock"
# Replication and the server's own threads hold nothing for long, and are not to be ended.
_NOT_CLIENTS: Final = frozenset({"system user", "event_scheduler"})
_NOT_COMMANDS: Final = frozenset({"Binlog Dump", "Binlog Dump GTID", "Daemon"})

_PROCESSES: Final = (
    # A statement may be as long as max_allowed_packet; its tables mostly come early.
    "SELECT id, user, host, db, command, state, time, LEFT(info, 2000) AS info"
    " FROM information_schema.processlist"
)
_TRANSACTIONS: Final = (
    # InnoDB writes when one began in the machine's time zone, whatever the session's is.
    "SELECT trx_mysql_thread_id, COALESCE(TIMESTAMPDIFF(SECOND, trx_started,"
    " CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM')), 0)"
    " FROM information_schema.innodb_trx"
)
_METADATA_LOCKS: Final = (
    "SELECT t.processlist_id FROM performance_schema.metadata_locks l"
    " JOIN performance_schema.threads t ON t.thread_id = l.owner_thread_id"
    " WHERE l.object_type = 'TABLE' AND l.lock_status = 'GRANTED'"
    " AND l.object_schema = %s AND l.object_name = %s AND t.processlist_id IS NOT NULL"
)
_ROW_LOCKS: Final = (
    "SELECT t.processlist_id FROM performance_schema.data_locks l"
    " JOIN performance_schema.threads t ON t.thread_id = l.thread_id"
    " WHERE l.lock_status = 'GRANTED'"
    " AND l.object_schema = %s AND l.object_name = %s AND t.processlist_id IS NOT NULL"
)
_MARIADB_LOCKS: Final = (
    "SELECT thread_id FROM information_schema.metadata_lock_info"
    " WHERE lock_type = 'Table metadata lock' AND table_schema = %s AND table_name = %s"
)
_LAST_STATEMENT: Final = (
    "SELECT s.sql_text FROM performance_schema.events_statements_current s"
    " JOIN performance_schema.threads t ON t.thread_id = s.thread_id WHERE t.processlist_id = %s"
    " ORDER BY s.event_id LIMIT 1"
)
_INSTRUMENT: Final = (
    "SELECT enabled FROM performance_schema.setup_instruments"
    " WHERE name = 'wait/lock/metadata/sql/mdl'"
)
_FIRST_WITH_ROW_LOCKS: Final = (8, 0, 2)
_BLIND_MYSQL: Final = (
    "the server does not tell who holds the table's lock (UPDATE "
    "performance_schema.setup_instruments SET ENABLED='YES', TIMED='YES' "
    "WHERE NAME='wait/lock/metadata/sql/mdl')"
)
_NOT_GRANTED: Final = (
    "tabletd's account cannot see who holds the table's lock (GRANT SELECT ON "
    "performance_schema.* to it)"
)
_BLIND_MARIADB: Final = (
    "the server does not tell who holds the table's lock (INSTALL SONAME 'metadata_lock_info')"
)


@dataclass(frozen=True, slots=True)
class Blocker:
    """A connection that stands in the way.

    Attributes:
        id: as in SHOW PROCESSLIST.
        who: `user@host:port`.
        age_seconds: of its transaction or statement, whichever is older.
        statement: what it runs, or ran last where the server tells; empty where it does not.
        is_gone: its connection has ended, and the server undoes its transaction: MySQL no longer
            lists it, and nobody can end it.
    """

    id: int
    who: str
    age_seconds: int
    statement: str = ""
    is_gone: bool = False

    def __str__(self) -> str:
        statement = " ".join(self.statement.split())
        if len(statement) > _STATEMENT_CHARACTERS_MAX:
            statement = f"{statement[:_STATEMENT_CHARACTERS_MAX]}..."
        return f"{self.id} ({self.who}, {self.age_seconds} s: {statement or 'idle'})"


@dataclass(frozen=True, slots=True)
class Blockage:
    """What a statement of a run waits for.

    Attributes:
        blockers: who is known to hold the table, by number.
        unseen: why others may hold it who are not known; empty when all are.
    """

    blockers: tuple[Blocker, ...] = ()
    unseen: str = ""


async def find_blockage(session: Session, schema: str, table: str, user: str) -> Blockage | None:
    """Find whom a migration waits for that wants a table's lock.

    Args:
        session: of the daemon's own account.
        schema: of the table.
        table: its name.
        user: the migration's account, whose connections block nobody.

    Returns:
        None when no connection of the account waits for the table's lock.

    Raises:
        TabletdError: MISSING_GRANT without PROCESS, or another MySQLError.
    """
    # Asked for first: only this one is refused without PROCESS, the process list is cut short.
    ages: dict[int, int] = dict((await session.execute(_TRANSACTIONS)).rows)
    rows = (await session.execute(_PROCESSES)).lower_dicts()
    naming = [row for row in rows if _names(row, schema, table)]
    if not any(row["user"] == user and row["state"] == _WAITING for row in naming):
        return None
    others = {
        int(row["id"]): row
        for row in rows
        if int(row["id"]) != session.connection_id
        and row["user"] not in {user, *_NOT_CLIENTS}
        and row["command"] not in _NOT_COMMANDS
    }
    info = await server_info(session)
    holders, unseen = await _holders(session, info, schema, table)
    holders |= {int(row["id"]) for row in naming if row["state"] != _WAITING}
    found = [
        await _blocker(session, info, others[number], ages.get(number, 0))
        for number in sorted(holders & others.keys())
    ]
    unlisted = (holders & ages.keys()) - {int(row["id"]) for row in rows}
    found += [
        Blocker(number, "disconnected", ages[number], "its changes are undone", is_gone=True)
        for number in sorted(unlisted)
    ]
    return Blockage(tuple(found), unseen)


async def _holders(
    session: Session, info: ServerInfo, schema: str, table: str
) -> tuple[set[int], str]:
    """Return who is known to hold a lock on a table, and why others may not be known."""
    if info.is_mariadb:
        found = await _numbers(session, _MARIADB_LOCKS, schema, table)
        if found is not None:
            return found, ""
    is_on = await _cells(session, _INSTRUMENT)
    found = await _numbers(session, _METADATA_LOCKS, schema, table)
    if found is None or is_on != ["YES"]:
        if info.is_mariadb:
            return set(), _BLIND_MARIADB
        return set(), _NOT_GRANTED if is_on is None or found is None else _BLIND_MYSQL
    if not info.is_mariadb and info.version >= _FIRST_WITH_ROW_LOCKS:
        found |= await _numbers(session, _ROW_LOCKS, schema, table) or set()
    return found, ""


async def _numbers(session: Session, sql: str, schema: str, table: str) -> set[int] | None:
    cells = await _cells(session, sql, schema, table)
    return None if cells is None else {int(cell) for cell in cells}


async def _cells(session: Session, sql: str, *values: str) -> list[Any] | None:
    """Return a column of a view, None where the server has no such view or does not show it."""
    try:
        return [cell for (cell,) in (await session.execute(sql, values)).rows]
    except MySQLError as error:
        if isinstance(error, MySQLUnavailable):
            raise
        return None


def _names(row: dict[str, Any], schema: str, table: str) -> bool:
    """Say whether a connection runs a statement that names the table."""
    statement = str(row["info"] or "")
    if table.lower() not in statement.lower():
        return False
    names = ["", "", *(_name(token) for token in significant(_tokens(statement)))]
    for *qualifier, name in zip(names, names[1:], names[2:], strict=False):
        if name != table.lower():
            continue
        in_schema = str(row["db"]).lower() if qualifier[1] != "." else qualifier[0]
        if in_schema == schema.lower():
            return True
    return False


def _tokens(statement: str) -> list[Token]:
    """Read the beginning of a statement, which may have been cut within a quote or a comment."""
    for end in _ENDS:
        try:
            return tokenize(statement + end)
        except TabletdError:
            continue
    return []


def _name(token: Token) -> str:
    if token.kind is Kind.NAME:
        return name_value(token).lower()
    return token.text.lower() if token.kind in (Kind.WORD, Kind.PUNCTUATION) else ""


async def _blocker(
    session: Session, info: ServerInfo, row: dict[str, Any], transaction_seconds: int
) -> Blocker:
    number = int(row["id"])
    statement = str(row["info"] or "")
    if not statement and not info.is_mariadb:
        last = await _cells(session, _LAST_STATEMENT, str(number))
        statement = str(last[0] or "") if last else ""
    age_seconds = max(int(row["time"]), transaction_seconds)
    return Blocker(number, f"{row['user']}@{row['host']}", age_seconds, statement)


class Endings:
    """Who was ended because a cut-over, or a statement, was forced.

    Attributes:
        ended: those that were told to end, by number.
        spared: those that tabletd's account may not end, by number.
        lingering: those that have ended or were told to, and stood in the way at the last look.
    """

    def __init__(self) -> None:
        self.ended: dict[int, Blocker] = {}
        self.spared: dict[int, Blocker] = {}
        self.lingering: tuple[Blocker, ...] = ()

    @property
    def delay(self) -> str:
        """Who was ended and is not gone, in words; empty for nobody."""
        if not self.lingering:
            return ""
        return (
            f"the server has not let go of {names_of(self.lingering)} yet: it undoes what they "
            "changed, or (MySQL 5) lost the KILL and keeps them until their wait_timeout"
        )

    @property
    def lack(self) -> str:
        """Who may not be ended and what for, in words; empty for nobody."""
        if not self.spared:
            return ""
        return (
            f"it may not end {names_of(self.spared.values())}: tabletd's account needs "
            "CONNECTION ADMIN (before MySQL 8.0 and MariaDB 10.5: SUPER)"
        )

    async def end(self, session: Session, blockers: Iterable[Blocker]) -> None:
        """End connections.

        Args:
            session: that may write.
            blockers: all who stand in the way now.

        Raises:
            MySQLError: another refusal than that of a right.
        """
        blockers = tuple(blockers)
        self.lingering = tuple(one for one in blockers if one.is_gone or one.id in self.ended)
        for blocker in blockers:
            if blocker.is_gone:
                continue
            is_ended = await end_blocker(session, blocker)
            (self.ended if is_ended else self.spared).setdefault(blocker.id, blocker)


async def end_blocker(session: Session, blocker: Blocker) -> bool:
    """End a connection; returns False where the account may not."""
    try:
        await session.execute(f"KILL {int(blocker.id)}")
    except MySQLError as error:
        if error.errno in _NOT_ALLOWED:
            return False
        if error.errno != NO_SUCH_THREAD:
            raise
    return True


def names_of(blockers: Collection[Blocker]) -> str:
    """Name connections in words, the first ten of them."""
    named = [str(blocker) for blocker in list(blockers)[:_NAMED_MAX]]
    more = len(blockers) - len(named)
    noun = "connection" if len(blockers) == 1 else "connections"
    return f"{noun} {', '.join(named)}" + (f" and {more} more" if more else "")
