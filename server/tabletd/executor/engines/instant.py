"""--prefer-instant-ddl: the server is asked to alter a table by its catalogue alone.

Whether it can is known by the server only, by its release and by what the table has been through.
It is asked by the statement itself with ALGORITHM=INSTANT, which has no effect where it is refused.
"""

from __future__ import annotations

from typing import Final

from tabletd.errors import TabletdError
from tabletd.executor import ddl
from tabletd.executor.lexer import significant, tokenize
from tabletd.mysql.errors import MySQLError

INSTANT_DDL: Final = '{"operation":"instant-ddl"}'
_WORD: Final = "ALGORITHM"
# 1064: what has no place for a further clause. 1800: MySQL 5.7 does not know the word.
_NOT_INSTANT: Final = frozenset({1064, 1800, 1845, 1846})


def instant_statement(statement: ddl.Statement, name: str) -> str:
    """Return an ALTER TABLE that the server does instantly or not at all.

    Empty where it cannot be one: for other statements, where the user chose an algorithm, and for
    what must not be tried on a copy.

    Args:
        statement: the user's own.
        name: of the table, in quotes.
    """
    if statement.reaches_beyond:
        return ""
    words = [token.upper for token in significant(tokenize(statement.text))]
    if words[:1] != ["ALTER"] or statement.kind is not ddl.ObjectKind.TABLE or _WORD in words:
        return ""
    return f"{statement.with_name(name)}, {_WORD}=INSTANT" if statement.alter_options else ""


def is_not_instant(failure: TabletdError | None) -> bool:
    """Tell whether the server said that it cannot, and not that the statement is wrong."""
    return isinstance(failure, MySQLError) and failure.errno in _NOT_INSTANT
