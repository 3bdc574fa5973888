"""Lets a statement take effect only while its daemon holds the lease."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString, Protocol

from tabletd.errors import LeaseNotHeld, NotWritable, Reason, TabletdError
from tabletd.mysql.result import ResultSet
from tabletd.mysql.session import Session
from tabletd.mysql.variables import is_read_only

_OF_THIS_TERM: Final[LiteralString] = (
    "SELECT 1 FROM _vt.lease WHERE server = %s AND epoch = %s AND nonce = %s"
)
# Takes three values, those of a `Term`. The lock makes who takes the lease meanwhile wait for the
# end of the statement, whatever the isolation level.
IF_HELD: Final[LiteralString] = f" AND EXISTS ({_OF_THIS_TERM} LOCK IN SHARE MODE)"
# Between a look at read_only and the write it may be set, and an account with SUPER would write
# all the same.
IF_WRITABLE: Final[LiteralString] = " AND CAST(@@global.read_only AS CHAR) IN ('0', 'OFF')"
_BINLOG_FORMAT: Final[LiteralString] = "SHOW SESSION VARIABLES LIKE 'binlog_format'"
_LOOK: Final[LiteralString] = f"{_OF_THIS_TERM} LOCK IN SHARE MODE"
_DEADLOCK_TRIES_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class Term:
    """One taking of a lease.

    Attributes:
        server: identity of the server.
        epoch: counts the takings.
        nonce: tells it from one of a table that was dropped and made anew.
    """

    server: str
    epoch: int
    nonce: str

    @property
    def values(self) -> tuple[str, int, str]:
        """The values of the marks in `IF_HELD`."""
        return self.server, self.epoch, self.nonce


class Fence(Protocol):
    """The lease, as who writes sees it."""

    @property
    def is_held(self) -> bool:
        """Whether this daemon may act now."""
        ...

    def check(self) -> Term:
        """Return the term in which this daemon acts.

        Raises:
            LeaseNotHeld: it may not act now.
        """
        ...

    def superseded(self) -> LeaseNotHeld:
        """Take note that the server says that the term is over; returns the error to be raised."""
        ...


async def write(
    session: Session, sql: str, values: Sequence[Any], fence: Fence | None
) -> ResultSet:
    """Run a statement that writes, never on a read-only server, never without the lease.

    Args:
        session: whose server was found writable just now.
        sql: ends in a WHERE.
        values: of its marks.
        fence: None: there is no other daemon.

    Raises:
        NotWritable: the server is read-only.
        LeaseNotHeld: another daemon has taken the lease, or nobody has it.
    """
    term = fence.check() if fence is not None else None
    if await writes_statements(session):
        result = await _write_in_transaction(session, sql, values, term)
    else:
        fenced = sql + IF_WRITABLE + (IF_HELD if term else "")
        all_values = (*values, *(term.values if term else ()))
        result = await _write_again_after_deadlock(session, fenced, all_values)
    if result.rows_affected == 0:
        if await is_read_only(session):
            raise NotWritable()
        if fence is not None and term is not None:
            await raise_if_over(session, fence, term)
    return result


async def writes_statements(session: Session) -> bool:
    """Return whether replicas get the text of each statement: it must not ask for variables."""
    found = (await session.execute(_BINLOG_FORMAT)).rows
    return any(row[1] in ("STATEMENT", b"STATEMENT") for row in found)


async def raise_if_over(session: Session, fence: Fence, term: Term) -> None:
    """Look whether a term goes on.

    Raises:
        LeaseNotHeld: it does not.
    """
    if not (await session.execute(_OF_THIS_TERM, term.values)).rows:
        raise fence.superseded()


async def _write_in_transaction(
    session: Session, sql: str, values: Sequence[Any], term: Term | None
) -> ResultSet:
    # The text that replicas get stays free of the lease: with it, an INSERT into a table that
    # numbers its rows would count as unsafe.
    if term is None:
        return await session.execute(sql, values)
    async with session.transaction():
        if not (await session.execute(_LOOK, term.values)).rows:
            return ResultSet()
        return await session.execute(sql, values)


async def _write_again_after_deadlock(
    session: Session, sql: str, values: Sequence[Any]
) -> ResultSet:
    """Run a statement that may wait for a renewal which waits for another statement's lock."""
    for _ in range(_DEADLOCK_TRIES_MAX - 1):
        try:
            return await session.execute(sql, values)
        except TabletdError as error:
            if error.reason is not Reason.DEADLOCK:
                raise
    return await session.execute(sql, values)
