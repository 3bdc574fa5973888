"""Which statements `Query.Execute` and `ExecuteQuery` take, and which of them write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.executor.lexer import Kind, significant, split_statements, tokenize

_READING: Final = frozenset(
    {"SELECT", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "VALUES", "TABLE", "WITH"}
)
_CHANGING_ROWS: Final = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE"})
_DDL: Final = frozenset({"CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE"})
_TRANSACTION: Final = frozenset(
    {"BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "XA"}
)


@dataclass(frozen=True)
class PlainStatement:
    """One statement that may be passed to the server.

    Attributes:
        text: as the caller wrote it, without a closing semicolon.
        writes: it changes rows or the schema.
    """

    text: str
    writes: bool


def plain_statement(
    sql: str, *, ansi_quotes: bool = False, backslash_escapes: bool = True
) -> PlainStatement:
    """Check that a text is one statement of a kind that makes sense by itself.

    Args:
        sql: the caller's text.
        ansi_quotes: as in `executor.lexer.tokenize`.
        backslash_escapes: as in `executor.lexer.tokenize`.

    Raises:
        TabletdError: INVALID_REQUEST for no statement, several, or one that needs a session of
            the caller's own; UNSUPPORTED_METHOD for the forms on migrations, which VExec does;
            DDL_SYNTAX for a text that cannot be read.
    """
    statements = split_statements(sql, ansi_quotes=ansi_quotes, backslash_escapes=backslash_escapes)
    if len(statements) != 1:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"one statement is expected, found {len(statements) or 'none'}",
            hint="send each statement in a call of its own, or use ExecuteMultiFetchAsDba",
        )
    text = statements[0]
    tokens = significant(
        tokenize(text, ansi_quotes=ansi_quotes, backslash_escapes=backslash_escapes)
    )
    words = [token.upper for token in tokens if token.kind is Kind.WORD]
    verb = words[0] if words else ""
    if len(words) > 1 and words[1].startswith("VITESS_"):
        raise TabletdError(
            Reason.UNSUPPORTED_METHOD,
            f"{verb} {words[1]} is not offered in this form",
            hint="SHOW, ALTER and REVERT VITESS_MIGRATION are, outside of versioned comments; or "
            "use TabletManager.VExec with a statement on _vt.schema_migrations",
        )
    if verb in _READING:
        return PlainStatement(text, verb == "WITH" and not _CHANGING_ROWS.isdisjoint(words))
    if verb in _DDL or verb in _CHANGING_ROWS:
        return PlainStatement(text, writes=True)
    raise _refusal(verb)


def _refusal(verb: str) -> TabletdError:
    if verb in _TRANSACTION:
        hint = "there are no transactions here: connect to the MySQL server itself"
    else:
        hint = "SELECT, SHOW, DML and DDL are taken here; ExecuteFetchAsDba takes any statement"
    return TabletdError(
        Reason.INVALID_REQUEST, f"{verb or 'this statement'} is not taken here", hint=hint
    )
