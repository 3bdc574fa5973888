"""The statements on `_vt.heartbeat`."""

from __future__ import annotations

from typing import Final, LiteralString

from tabletd.lease import IF_HELD, IF_WRITABLE

# Values are given twice in an upsert: VALUES() is deprecated in MySQL 8.0, and MariaDB has no row
# alias.

_COLUMNS: Final[LiteralString] = "keyspaceShard, tabletUid, ts, series, seq, sentNs"
_VALUES: Final[LiteralString] = "%s, %s, %s, %s, %s, %s"
_ELSE: Final[LiteralString] = """
    ON DUPLICATE KEY UPDATE tabletUid = %s, ts = %s, series = %s, seq = %s, sentNs = %s"""

# For STATEMENT binlogs: what depends on the server's own variables would be evaluated again, and
# differently, on each replica.
UPSERT: Final[LiteralString] = f"""
    INSERT INTO _vt.heartbeat ({_COLUMNS})
    VALUES ({_VALUES}){_ELSE}"""  # noqa: S608  (constants)

# The server takes the lock that `SET GLOBAL read_only` waits for before it evaluates the condition,
# so there is no moment between the check and the write; with SUPER nothing else would refuse it.
# The variable is a number, and from MariaDB 12 on a word.
UPSERT_IF_WRITABLE: Final[LiteralString] = f"""
    INSERT INTO _vt.heartbeat ({_COLUMNS})
    SELECT {_VALUES} FROM DUAL WHERE CAST(@@global.read_only AS CHAR) IN ('0', 'OFF'){_ELSE}"""  # noqa: S608

# The same for a daemon that may have to share its server; takes the values of a lease's term too.
UPSERT_IF_HELD: Final[LiteralString] = f"""
    INSERT INTO _vt.heartbeat ({_COLUMNS})
    SELECT {_VALUES} FROM DUAL WHERE 1 = 1{IF_WRITABLE}{IF_HELD}{_ELSE}"""  # noqa: S608

LOCK_TABLE: Final[LiteralString] = "LOCK TABLES _vt.heartbeat WRITE"
LOCK_TABLE_AND_LEASE: Final[LiteralString] = "LOCK TABLES _vt.heartbeat WRITE, _vt.lease READ"
UNLOCK_TABLE: Final[LiteralString] = "UNLOCK TABLES"

BINLOG_FORMAT: Final[LiteralString] = "SHOW SESSION VARIABLES LIKE 'binlog_format'"

# All columns, since a table that another make's daemon has made has three of them.
SELECT_BEAT: Final[LiteralString] = "SELECT * FROM _vt.heartbeat WHERE keyspaceShard = %s"
