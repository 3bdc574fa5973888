"""What the server's error numbers become."""

from __future__ import annotations

import pytest

from tabletd.errors import MySQLUnavailable, NotWritable, Reason
from tabletd.mysql.errors import MySQLError, connect_error, server_error
from tabletd.mysql.settings import MySQLSettings


@pytest.mark.parametrize(
    ("errno", "reason"),
    [
        (1040, Reason.TOO_MANY_CONNECTIONS),
        (1203, Reason.TOO_MANY_CONNECTIONS),
        (1044, Reason.MISSING_GRANT),
        (1142, Reason.MISSING_GRANT),
        (1227, Reason.MISSING_GRANT),
        (1370, Reason.MISSING_GRANT),
        (1419, Reason.MISSING_GRANT),
        (1045, Reason.MYSQL_ACCESS_DENIED),
        (1049, Reason.TABLE_NOT_FOUND),
        (1051, Reason.TABLE_NOT_FOUND),
        (1146, Reason.TABLE_NOT_FOUND),
        (1050, Reason.TABLE_EXISTS),
        (1064, Reason.DDL_SYNTAX),
        (1205, Reason.LOCK_WAIT),
        (1213, Reason.DEADLOCK),
        (1969, Reason.TIMEOUT),
        (3024, Reason.TIMEOUT),
        (1060, Reason.INVALID_REQUEST),
        (1072, Reason.INVALID_REQUEST),
        (1091, Reason.INVALID_REQUEST),
        (1406, Reason.INVALID_REQUEST),
        (1053, Reason.MYSQL_UNAVAILABLE),
        (1927, Reason.MYSQL_UNAVAILABLE),
        (2013, Reason.MYSQL_UNAVAILABLE),
        (1317, Reason.MYSQL_ERROR),
        (9999, Reason.MYSQL_ERROR),
    ],
)
def test_an_errno_has_its_reason(errno: int, reason: Reason) -> None:
    error = server_error(errno, "HY000", "words of the server")
    assert error.reason is reason
    assert "words of the server" in error.message
    assert error.facts["errno"] == str(errno)
    assert ("sent" in error.facts) is (reason is Reason.MYSQL_UNAVAILABLE)
    assert isinstance(error, MySQLUnavailable) is (reason is Reason.MYSQL_UNAVAILABLE)


@pytest.mark.parametrize(
    ("errno", "text"),
    [
        (1290, "The MySQL server is running with the --read-only option"),
        (1290, "The MySQL server is running with the --super-read-only option"),
        (1792, "Cannot execute statement in a READ ONLY transaction."),
        (1836, "Running in read-only mode"),
    ],
)
def test_a_read_only_server_is_not_writable(errno: int, text: str) -> None:
    assert isinstance(server_error(errno, "HY000", text), NotWritable)


def test_errno_1290_of_another_option_is_not_read_only() -> None:
    text = "The MySQL server is running with the --secure-file-priv option"
    error = server_error(1290, "HY000", text)
    assert (type(error), error.reason) == (MySQLError, Reason.MYSQL_ERROR)


@pytest.mark.parametrize(
    ("errno", "text", "hint"),
    [
        (1142, "ALTER command denied to user 'u'@'h' for table 't'", "GRANT ALTER ON 't' TO"),
        (1227, "you need (at least one of) the SUPER privilege(s) for", "GRANT SUPER ON *.* TO"),
        (1227, "the SUPER, BINLOG MONITOR privilege(s)", "GRANT BINLOG MONITOR ON"),
        (1044, "Access denied for user 'u'@'h' to database '_vt'", "privileges on _vt"),
        (1410, "You are not allowed to create a user with GRANT", "CREATE USER"),
    ],
)
def test_a_missing_grant_is_named_in_the_hint(errno: int, text: str, hint: str) -> None:
    assert hint in str(server_error(errno, "42000", text).hint)


def test_a_refused_login_names_place_and_account_and_never_the_password() -> None:
    settings = MySQLSettings(host="db1", port=3307, user="clerk", password="hunter2")
    error = connect_error(settings, "shop", 1045, "Access denied for user 'clerk'@'h'")
    assert "'clerk' at db1:3307" in str(error)
    assert "hunter2" not in f"{error} {error!r} {error.facts} {settings!r}"
