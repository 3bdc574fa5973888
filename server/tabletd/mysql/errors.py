"""What the server's error numbers mean to us.

Sources of the numbers: MySQL 8.4 Error Reference, MariaDB Error Codes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from tabletd.errors import MySQLUnavailable, NotWritable, Reason, TabletdError
from tabletd.mysql.settings import MySQLSettings
from tabletd.mysql.tls_errors import asked_for


class MySQLError(TabletdError):
    """The server answered with an error.

    Attributes:
        errno: the server's error number.
        sqlstate: the five characters of SQL state; `HY000` where the server gave none.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        errno: int,
        sqlstate: str = "HY000",
        hint: str | None = None,
    ) -> None:
        TabletdError.__init__(self, reason, message, hint=hint, errno=errno, sqlstate=sqlstate)
        self.errno = errno
        self.sqlstate = sqlstate


class ConnectionRefused(MySQLError, MySQLUnavailable):
    """The server is there but does not let us in (password, host, schema, too many connections).

    Also a `MySQLUnavailable`: a loop that waits for a server waits this out as well, since an
    operator mends it without restarting us.
    """


# What KILL answers for a connection that has ended by itself, and for one that is another's, or so
# far at its end that it is nobody's any more.
NO_SUCH_THREAD: Final = 1094
NOT_OWNER_OF_THREAD: Final = 1095

LOGIN_METHOD: Final = 2059  # client library: the login method cannot be used

_NEEDS_TLS: Final = 3159  # MySQL: require_secure_transport

# Somebody or something ended the connection; the next statement needs a new one.
_CONNECTION_ENDED: Final = frozenset(
    {
        1053,  # server shutdown in progress
        1077,  # normal shutdown
        1079,  # shutdown complete
        1080,  # forcing close of thread
        1152,  # aborted connection
        1158, 1159, 1160, 1161,  # network read or write failed
        1184,  # aborted connection (new)
        1927,  # MariaDB: connection was killed
        2006, 2013, 2055,  # client library: gone away, lost during query
        3169,  # MySQL: session was killed
        4031,  # MySQL: disconnected because of inactivity
    }
)  # fmt: skip

_REASONS: Final[Mapping[int, Reason]] = {
    1040: Reason.TOO_MANY_CONNECTIONS,
    1203: Reason.TOO_MANY_CONNECTIONS,
    1226: Reason.TOO_MANY_CONNECTIONS,
    1044: Reason.MISSING_GRANT,
    1142: Reason.MISSING_GRANT,
    1143: Reason.MISSING_GRANT,
    1227: Reason.MISSING_GRANT,
    1370: Reason.MISSING_GRANT,
    1410: Reason.MISSING_GRANT,
    1419: Reason.MISSING_GRANT,
    1045: Reason.MYSQL_ACCESS_DENIED,
    1698: Reason.MYSQL_ACCESS_DENIED,
    1129: Reason.MYSQL_ACCESS_DENIED,
    1130: Reason.MYSQL_ACCESS_DENIED,
    1049: Reason.TABLE_NOT_FOUND,
    1051: Reason.TABLE_NOT_FOUND,
    1109: Reason.TABLE_NOT_FOUND,
    1146: Reason.TABLE_NOT_FOUND,
    4092: Reason.TABLE_NOT_FOUND,  # MariaDB: unknown view
    1050: Reason.TABLE_EXISTS,
    1007: Reason.TABLE_EXISTS,
    1064: Reason.DDL_SYNTAX,
    4161: Reason.DDL_SYNTAX,  # MariaDB: unknown data type
    1065: Reason.INVALID_REQUEST,
    1048: Reason.INVALID_REQUEST,
    1054: Reason.INVALID_REQUEST,
    1059: Reason.INVALID_REQUEST,
    1060: Reason.INVALID_REQUEST,  # the column is there already
    1061: Reason.INVALID_REQUEST,  # the index is there already
    1062: Reason.INVALID_REQUEST,
    **dict.fromkeys(range(1067, 1076), Reason.INVALID_REQUEST),  # default, key or auto column
    1090: Reason.INVALID_REQUEST,  # all columns would be dropped
    1091: Reason.INVALID_REQUEST,  # no such column or index to drop
    1102: Reason.INVALID_REQUEST,
    1103: Reason.INVALID_REQUEST,
    1136: Reason.INVALID_REQUEST,
    1139: Reason.INVALID_REQUEST,
    1153: Reason.INVALID_REQUEST,
    1264: Reason.INVALID_REQUEST,
    1265: Reason.INVALID_REQUEST,
    1292: Reason.INVALID_REQUEST,
    1300: Reason.INVALID_REQUEST,
    1364: Reason.INVALID_REQUEST,
    1366: Reason.INVALID_REQUEST,
    1406: Reason.INVALID_REQUEST,
    1205: Reason.LOCK_WAIT,
    1213: Reason.DEADLOCK,
    1969: Reason.TIMEOUT,  # MariaDB: max_statement_time
    3024: Reason.TIMEOUT,  # MySQL: max_execution_time
    1290: Reason.READ_ONLY,
    1792: Reason.READ_ONLY,
    1836: Reason.READ_ONLY,
    **dict.fromkeys(range(3685, 3700), Reason.INVALID_REQUEST),  # MySQL: regular expressions
}

_HINTS: Final[Mapping[int, str]] = {
    1040: "raise max_connections, or end connections that nobody needs",
    1203: "raise the account's max_user_connections",
    1213: "try again: the server has rolled this back to end a deadlock",
    1205: "another session holds the lock: see SHOW PROCESSLIST and information_schema.innodb_trx",
    1317: "somebody issued KILL QUERY for this statement",
    1410: "GRANT CREATE USER ON *.* TO the account that tabletd logs in with",
    1419: "SET GLOBAL log_bin_trust_function_creators = 1, or GRANT SUPER ON *.* to the account",
    1129: "run FLUSH HOSTS on the server",
    1153: "raise max_allowed_packet",
    2059: "is it a MySQL server? Accounts can log in by mysql_native_password,"
    " caching_sha2_password, sha256_password, ed25519, and with TLS by mysql_clear_password",
}

_COMMAND_DENIED: Final = re.compile(
    r"^(?P<grant>.+?) command denied to user .* for (?:table|column) (?P<on>.+)$"
)
_NEEDS_PRIVILEGE: Final = re.compile(r"the (?P<grant>.+?) privilege\(s\)")
_DENIED_SCHEMA: Final = re.compile(r" to database '(?P<schema>.*)'$")


def server_error(errno: int, sqlstate: str, text: str) -> TabletdError:
    """Translate the server's answer to a statement.

    Args:
        errno: the error number.
        sqlstate: five characters, or empty.
        text: the server's own words.

    Returns:
        NotWritable under read_only, MySQLUnavailable when the connection was ended, else a
        MySQLError.
    """
    message = f"MySQL error {errno} ({sqlstate or 'HY000'}): {text}"
    if errno in _CONNECTION_ENDED:
        ended = f"the connection was ended by the server: {message}"
        return MySQLUnavailable(ended, errno=errno, sent=True)
    reason = _REASONS.get(errno, Reason.MYSQL_ERROR)
    if reason is Reason.READ_ONLY:
        # 1290 stands for any server option that forbids something; its name is in the text.
        if errno != 1290 or "read-only" in text or "read_only" in text:
            return NotWritable(f"nothing was written: {message}")
        reason = Reason.MYSQL_ERROR
    return MySQLError(
        reason,
        message,
        errno=errno,
        sqlstate=sqlstate or "HY000",
        hint=_HINTS.get(errno) or _grant_hint(errno, text),
    )


def _grant_hint(errno: int, text: str) -> str | None:
    """Name the missing grant from the server's own words, which differ little by version."""
    if errno in {1142, 1143} and (found := _COMMAND_DENIED.match(text)):
        return f"GRANT {found['grant']} ON {found['on']} TO the account that tabletd logs in with"
    if errno == 1227 and (found := _NEEDS_PRIVILEGE.search(text)):
        # Any of them does; SUPER is the one that gives far more than what was wanted.
        any_of = found["grant"].split(", ")
        grant = next((one for one in any_of if one != "SUPER"), "SUPER")
        return (
            f"GRANT {grant} ON *.* TO the account that tabletd logs in with; `tabletd grants` "
            "prints all that it needs"
        )
    if errno == 1044:
        found = _DENIED_SCHEMA.search(text)
        schema = found["schema"] if found else "the schema"
        return f"grant the account that tabletd logs in with its privileges on {schema}"
    return None


def connect_error(
    settings: MySQLSettings,
    database: str | None,
    errno: int,
    text: str,
    *,
    is_encrypted: bool = False,
) -> TabletdError:
    """Translate the server's answer to a login.

    Args:
        settings: server and account.
        database: default schema.
        errno: the error number.
        text: the server's own words.
        is_encrypted: the connection has TLS.

    Returns:
        ConnectionRefused: always names the address and the account, never the password.
    """
    who = f"{settings.user!r} at {settings.address}"
    reason = _REASONS.get(errno, Reason.MYSQL_ERROR)
    hint = _HINTS.get(errno, "see the server's error log")
    if errno in _CONNECTION_ENDED:
        return unreachable(settings, text)
    if errno == _NEEDS_TLS:
        return asked_for(settings, text)
    if errno in {1045, 1698}:
        hint = "check the configured user and password, and that the account may come from here"
        hint += _denied_for_want_of_tls(settings, is_encrypted=is_encrypted)
    elif errno == 1130:
        hint = f"create the account {settings.user!r} for the host that we come from"
    elif errno in {1049, 1044}:
        hint = f"create the schema {database!r}, or GRANT the account its privileges on it"
    return ConnectionRefused(
        reason, f"MySQL does not let in {who}: error {errno}: {text}", errno=errno, hint=hint
    )


def _denied_for_want_of_tls(settings: MySQLSettings, *, is_encrypted: bool) -> str:
    """Servers do not say that an account asks for more than a password."""
    tls = settings.connection_tls
    if settings.unix_socket or (is_encrypted and tls is not None and tls.cert is not None):
        return ""
    if is_encrypted:
        return "; an account made with REQUIRE X509 needs mysql_ssl_cert and mysql_ssl_key"
    return (
        "; this connection has no TLS: an account made with REQUIRE SSL, or a MariaDB with "
        "require_secure_transport, needs mysql_ssl_mode"
    )


def unreachable(settings: MySQLSettings, cause: object) -> MySQLUnavailable:
    """Return the error for a server that nobody answers for."""
    return MySQLUnavailable(
        f"MySQL at {settings.address} cannot be reached: {cause}",
        hint="is the server running, and are host, port or socket the right ones?",
        address=settings.address,
    )


def connection_lost(settings: MySQLSettings, *, sent: bool) -> MySQLUnavailable:
    """Return the error for a broken connection.

    Args:
        settings: the server.
        sent: a statement was on its way: whether it took effect is not known. Becomes the fact
            `sent` of the error.
    """
    lost = f"the connection to MySQL at {settings.address} was lost"
    if not sent:
        return MySQLUnavailable(lost, address=settings.address)
    return MySQLUnavailable(
        f"{lost} during a statement; whether it took effect is not known",
        address=settings.address,
        sent=True,
    )


def timed_out(settings: MySQLSettings, what: str, limit_seconds: float) -> TabletdError:
    """Return the error for something that took longer than its limit."""
    return TabletdError(
        Reason.TIMEOUT,
        f"{what} at {settings.address} took longer than {limit_seconds:.3g} s",
        hint="is the server overloaded, frozen, or the table locked?",
        address=settings.address,
        limit_seconds=limit_seconds,
    )
