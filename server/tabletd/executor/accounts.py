"""The MySQL account that a tool works under: one for each run, or one that the operator gave.

Never with SUPER, READ ONLY ADMIN or CONNECTION ADMIN: `read_only` must stop a tool.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tabletd.errors import MySQLUnavailable, Reason, TabletdError
from tabletd.mysql.errors import NO_SUCH_THREAD, NOT_OWNER_OF_THREAD, MySQLError
from tabletd.mysql.flavor import ServerInfo
from tabletd.mysql.pool import Pool
from tabletd.mysql.quote import account as quoted_account
from tabletd.mysql.session import Session
from tabletd.mysql.settings import MySQLSettings

# Gone by itself, or so far gone that it has put down whose it is; the next look tells.
_ENDING: Final = frozenset({NO_SUCH_THREAD, NOT_OWNER_OF_THREAD})
_CANNOT_DROP_USER: Final = 1396
# A MariaDB that validates passwords wants to see them (strict_password_validation).
_HASH_NOT_TAKEN: Final = 1290
_END_SECONDS_MAX: Final = 20.0
_LOOK_AGAIN_SECONDS: Final = 0.05
_RUN_USER: Final = "tabletd_"
_RUN_USER_PATTERN: Final = re.compile(_RUN_USER + "[0-9a-f]{8}")
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Account:
    """Who a tool is on the server.

    Attributes:
        user: at most 16 characters, which MySQL 5.6 takes as well.
        host: where it may come from.
        password: at most 32 characters, MySQL's limit for replication.
        is_temporary: made for one run and dropped after it.
        requires_tls: the server refuses its connections without TLS.
    """

    user: str
    host: str
    password: str = field(repr=False)
    is_temporary: bool = True
    requires_tls: bool = False

    def __str__(self) -> str:
        return f"{self.user}@{self.host}"


def user_of(migration_uuid: str) -> str:
    """Return the user that a migration's tool is on the server.

    The row of the migration names it thereby for ever, as it does all else that a run makes.
    """
    return _RUN_USER + hashlib.sha256(migration_uuid.encode()).hexdigest()[:8]


def new_account(
    mysql_host: str, host: str = "", *, migration_uuid: str, requires_tls: bool = False
) -> Account:
    """Return the account of a run, with a fresh password; it is not made on any server yet.

    Args:
        mysql_host: the address that the tools connect to.
        host: the account's host part; empty: 127.0.0.1 where the tools connect over loopback,
            else `%`.
        migration_uuid: of the migration that runs.
        requires_tls: the tools' connections have TLS.
    """
    if not host:
        host = "127.0.0.1" if mysql_host in _LOOPBACK else "%"
    letters = string.ascii_letters + string.digits
    body = "".join(secrets.choice(letters) for _ in range(28))
    # One of each kind, for servers that validate passwords.
    return Account(user_of(migration_uuid), host, f"{body}aZ7-", requires_tls=requires_tls)


def is_run_account(user: str) -> bool:
    """Tell whether an account of this name lives no longer than a run does."""
    return _RUN_USER_PATTERN.fullmatch(user) is not None


def parse_account(text: str) -> Account | None:
    """Return the account that a row names, without its password; None for an empty text."""
    user, at, host = text.rpartition("@")
    return Account(user, host, "") if at else None


async def create_account(
    session: Session, info: ServerInfo, account: Account, grants: Sequence[str]
) -> None:
    """Make an account and give it its privileges, or make nothing.

    Args:
        session: of an account that may do so, on a writable server.
        info: the server.
        account: who is to be made.
        grants: `<privileges> ON <object>` each, quoted already.

    Raises:
        TabletdError: MISSING_GRANT naming what the daemon's own account lacks.
    """
    name = quoted_account(account.user, account.host)
    is_made = False
    try:
        # One of the same name is of an earlier run, on a server that lost its end in a fail-over.
        await drop_account(session, account)
        await _create_user(session, info, name, account.password)
        is_made = True
        if account.requires_tls:
            await session.execute(f"ALTER USER {name} REQUIRE SSL")
        for grant in grants:
            await session.execute(f"GRANT {grant} TO {name}")
    except MySQLError as error:
        if is_made:
            await drop_account(session, account)
        if error.reason not in (Reason.MISSING_GRANT, Reason.MYSQL_ACCESS_DENIED):
            raise
        raise TabletdError(
            Reason.MISSING_GRANT,
            f"cannot make the migration's MySQL account: {error.message}",
            hint="GRANT CREATE USER ON *.* to tabletd's account, and with GRANT OPTION what the "
            f"migration needs ({'; '.join(grants)}), as `tabletd grants` prints it; or configure "
            "migration_user",
        ) from error


async def _create_user(session: Session, info: ServerInfo, name: str, password: str) -> None:
    """Make the account by its password's hash where the server takes one.

    A statement can be read in the process list and the general log, a MariaDB's also in its binary
    log. Tools' drivers know the plugin that this hash is for; MySQL 8.4 has it switched off.
    """
    # The name may hold per cent signs, and only here the statement has parameters.
    create = f"CREATE USER {name.replace('%', '%%')} IDENTIFIED "
    if not info.is_mariadb and not (5, 7) <= info.version[:2] < (8, 4):
        await session.execute(create + "BY %s", (password,))
        return
    how = "BY PASSWORD" if info.is_mariadb else "WITH mysql_native_password AS"
    try:
        await session.execute(f"{create}{how} %s", (native_hash(password),))
    except MySQLError as error:
        if error.errno != _HASH_NOT_TAKEN:
            raise
        await session.execute(create + "BY %s", (password,))


def native_hash(password: str) -> str:
    """Return what servers keep of a password for the plugin mysql_native_password."""
    first = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(first, usedforsecurity=False).hexdigest().upper()


async def drop_account(session: Session, account: Account) -> None:
    """Drop a run's account; nothing happens when it is gone, or when it was a configured one."""
    if not account.is_temporary:
        return
    try:
        await session.execute(f"DROP USER {quoted_account(account.user, account.host)}")
    except MySQLError as error:
        if error.errno != _CANNOT_DROP_USER:
            raise


async def end_connections(settings: MySQLSettings, marks: Sequence[str]) -> None:
    """End what a dead tool's account still does on the server, and wait until it has ended.

    A server goes on with a statement whose client is dead: with a RENAME that waits for a lock, for
    one. Whether the tables were swapped can only be told after that. It is done as the account
    itself, which may see and end its own connections without any privilege.

    Args:
        settings: how to log in as the account.
        marks: names of the run's own tables; a connection counts when its statement has one of
            them. Empty: every other connection of the account counts.

    Raises:
        MySQLUnavailable: the server is not there.
        TabletdError: TIMEOUT when they are still there after 20 s.
    """
    pool = Pool(settings, name="MigrationAccount", size_max=1)
    await pool.open()
    try:
        async with asyncio.timeout(_END_SECONDS_MAX), pool.session() as session:
            while await _kill_others(session, settings.user, marks):  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    except TimeoutError:
        raise TabletdError(
            Reason.TIMEOUT,
            f"connections of {settings.user} are still there {_END_SECONDS_MAX:g} s after KILL",
            hint="see SHOW PROCESSLIST",
        ) from None
    except MySQLUnavailable as error:
        if not isinstance(error, MySQLError) or error.reason is not Reason.MYSQL_ACCESS_DENIED:
            raise
        _logger.info("the account %s cannot log in any more", settings.user)
    finally:
        await pool.close()


async def _kill_others(session: Session, user: str, marks: Sequence[str]) -> bool:
    found = await session.execute(
        "SELECT id, info FROM information_schema.processlist WHERE user = %s AND id <> %s",
        (user, session.connection_id),
    )
    counted = [
        int(number)
        for number, info in found.rows
        if not marks or any(mark in str(info or "") for mark in marks)
    ]
    for number in counted:
        try:
            await session.execute(f"KILL {int(number)}")
        except MySQLError as error:
            if error.errno not in _ENDING:
                raise
    return bool(counted)
