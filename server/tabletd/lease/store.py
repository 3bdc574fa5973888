"""The statements on `_vt.lease`; each change is a compare-and-set, each time the server's own."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import Final, LiteralString

from tabletd.lease.decision import LeaseRow
from tabletd.lease.fence import IF_WRITABLE, Term, writes_statements
from tabletd.lease.holder import Holder, Process
from tabletd.mysql.errors import MySQLError
from tabletd.mysql.flavor import server_info
from tabletd.mysql.session import Session
from tabletd.mysql.variables import as_text

_DUPLICATE_KEY: Final = 1062
_PATH_HASH_CHARACTERS: Final = 12

# What `expires_at` shows while there is no end.
_NO_END: Final = "9999-12-31 00:00:00"
_READ: Final[LiteralString] = """
    SELECT epoch, nonce, renewals, expires_at = %s,
        TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), expires_at),
        tablet, host, address, boot_id, pid_namespace, pid, start_ticks
    FROM _vt.lease WHERE server = %s"""
_TAKE_FIRST: Final[LiteralString] = """
    INSERT INTO _vt.lease (server, epoch, nonce, renewals, expires_at, tablet, host, address,
        boot_id, pid_namespace, pid, start_ticks)
    SELECT %s, %s, %s, 0, UTC_TIMESTAMP(6) + INTERVAL %s MICROSECOND, %s, %s, %s, %s, %s, %s, %s
    FROM DUAL WHERE 1 = 1"""
_TAKE_OVER: Final[LiteralString] = """
    UPDATE _vt.lease SET epoch = %s, nonce = %s, renewals = 0,
        expires_at = UTC_TIMESTAMP(6) + INTERVAL %s MICROSECOND, tablet = %s, host = %s,
        address = %s, boot_id = %s, pid_namespace = %s, pid = %s, start_ticks = %s
    WHERE server = %s AND epoch = %s AND nonce = %s AND renewals = %s"""
_RENEW: Final[LiteralString] = """
    UPDATE _vt.lease SET renewals = renewals + 1,
        expires_at = UTC_TIMESTAMP(6) + INTERVAL %s MICROSECOND
    WHERE server = %s AND epoch = %s AND nonce = %s"""
_IS_OPEN_ENDED: Final[LiteralString] = """
    SELECT expires_at = %s FROM _vt.lease WHERE server = %s AND epoch = %s AND nonce = %s"""
_RENEW_WITHOUT_END: Final[LiteralString] = """
    UPDATE _vt.lease SET renewals = renewals + 1, expires_at = %s
    WHERE server = %s AND epoch = %s AND nonce = %s"""
_CALL_IN: Final[LiteralString] = """
    UPDATE _vt.lease SET expires_at = UTC_TIMESTAMP(6) + INTERVAL %s MICROSECOND
    WHERE server = %s AND epoch = %s AND nonce = %s AND renewals = %s AND expires_at = %s"""
_RELEASE: Final[LiteralString] = """
    UPDATE _vt.lease SET nonce = '', renewals = renewals + 1, expires_at = UTC_TIMESTAMP(6)
    WHERE server = %s AND epoch = %s AND nonce = %s"""


async def server_identity(session: Session) -> str:
    """Return what tells this server from all that its rows may replicate to.

    A MySQL has a UUID. A MariaDB has none, and its `server_id` may be set while it runs; host,
    port and data directory cannot, and no two servers share them.
    """
    if not (await server_info(session)).is_mariadb:
        return as_text((await session.execute("SELECT @@server_uuid")).scalar())
    found = (await session.execute("SELECT @@hostname, @@port, @@datadir")).rows[0]
    host, port, directory = (as_text(cell) for cell in found)
    path_hash = hashlib.sha256(directory.encode()).hexdigest()[:_PATH_HASH_CHARACTERS]
    return f"{host}:{port}:{path_hash}"


async def read(session: Session, server: str) -> LeaseRow | None:
    """Return the lease of a server, None when nobody ever took it."""
    rows = (await session.execute(_READ, (_NO_END, server))).rows
    if not rows:
        return None
    epoch, nonce, renewals, has_no_end, remaining_us, tablet, host, address, *process = rows[0]
    boot, namespace, pid, ticks = process
    return LeaseRow(
        epoch=int(epoch),
        nonce=str(nonce),
        renewals=int(renewals),
        remaining_seconds=math.inf if has_no_end else int(remaining_us) / 1e6,
        holder=Holder(
            str(tablet),
            str(host),
            str(address),
            Process(str(boot), int(namespace), int(pid), int(ticks)),
        ),
    )


async def take(
    session: Session, found: LeaseRow | None, wanted: Term, holder: Holder, duration_seconds: float
) -> Term | None:
    """Take a lease that nobody has changed since it was read.

    Args:
        session: whose server was found writable just now.
        found: what was read.
        wanted: server and nonce of the term, and the last epoch that we know of; that of the term
            follows it, and the one that was found.
        holder: who takes it.
        duration_seconds: until it expires.

    Returns:
        the term; None when somebody was faster, or the server has just become read-only.
    """
    term = replace(wanted, epoch=max(found.epoch if found else 0, wanted.epoch) + 1)
    process = holder.process
    what = (
        _microseconds(duration_seconds),
        holder.tablet,
        holder.host,
        holder.address,
        process.boot_id,
        process.pid_namespace,
        process.pid,
        process.start_ticks,
    )
    if found is None:
        try:
            changed = await _change(session, _TAKE_FIRST, *term.values, *what)
        except MySQLError as error:
            if error.errno != _DUPLICATE_KEY:
                raise
            return None
    else:
        epoch_and_nonce = (term.epoch, term.nonce)
        changed = await _change(
            session, _TAKE_OVER, *epoch_and_nonce, *what, term.server, *found.mark
        )
    return term if changed else None


async def renew(session: Session, term: Term, duration_seconds: float) -> bool:
    """Let a term last for another length of a lease; returns whether it still goes on."""
    return await _change(session, _RENEW, _microseconds(duration_seconds), *term.values)


async def hold_without_end(session: Session, term: Term) -> bool:
    """Let a term last until it is called in; returns whether it still goes on.

    Writes nothing while it lasts so already: to have looked, and to have found that nobody calls,
    is worth as much as a renewal.
    """
    rows = (await session.execute(_IS_OPEN_ENDED, (_NO_END, *term.values))).rows
    if rows and rows[0][0]:
        return True
    return await _change(session, _RENEW_WITHOUT_END, _NO_END, *term.values)


async def call_in(session: Session, server: str, found: LeaseRow, duration_seconds: float) -> bool:
    """Put an end to a lease that has none, unless its holder writes it meanwhile.

    Its holder looks four times in the length of a lease, and takes the end away again.

    Args:
        session: whose server was found writable just now.
        server: whose lease.
        found: what was read.
        duration_seconds: until it expires.
    """
    which = (server, *found.mark, _NO_END)
    return await _change(session, _CALL_IN, _microseconds(duration_seconds), *which)


async def release(session: Session, term: Term) -> bool:
    """End a term, so that the next daemon need not wait; returns whether it still went on."""
    return await _change(session, _RELEASE, *term.values)


async def _change(session: Session, sql: LiteralString, *values: str | int) -> bool:
    by_statement = await writes_statements(session)
    result = await session.execute(sql if by_statement else sql + IF_WRITABLE, values)
    return result.rows_affected > 0


def _microseconds(seconds: float) -> int:
    return round(seconds * 1e6)
