"""Which schemas a DDL statement names, however the server is set to read it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product
from typing import Final

from tabletd.errors import TabletdError
from tabletd.executor import ddl
from tabletd.executor.lexer import Kind, Token, name_value, significant, tokenize

# What the daemon's account may read there is not for everybody who may change tables.
SYSTEM_SCHEMAS: Final = frozenset(
    {"_vt", "information_schema", "mysql", "performance_schema", "sys"}
)
_MARKS: Final = frozenset({Kind.VERSION_OPEN, Kind.VERSION_CLOSE})
_NAMES: Final = frozenset({Kind.WORD, Kind.NAME, Kind.STRING, Kind.NUMBER})


def system_schemas(sql: str) -> frozenset[str]:
    """Return the schemas of the server's own, or the daemon's, that stand before a point.

    An alias of that name counts as well: a SELECT does not show which of the two it is.

    Raises:
        TabletdError: DDL_SYNTAX, no server could read the text.
    """
    found = {name.lower() for reading in _readings(sql) for name in _qualifiers(reading)}
    return SYSTEM_SCHEMAS & found


def stays_in_schema(sql: str, schema: str) -> bool:
    """Tell whether a text is one DDL statement on tables or views of a schema, and no more.

    Args:
        sql: as it is going to be sent.
        schema: may stand before a point; what a SELECT inside reads may be another's, but not
            one of `SYSTEM_SCHEMAS`.
    """
    try:
        statement = ddl.parse(sql)
        readings = list(_readings(sql))
    except TabletdError:
        return False
    if any(_has_several_statements(reading) for reading in readings):
        return False
    named = {name for reading in readings for name in _qualifiers(reading)}
    if not SYSTEM_SCHEMAS.isdisjoint(name.lower() for name in named):
        return False
    if statement.action is ddl.Action.CREATE or statement.kind is ddl.ObjectKind.VIEW:
        named = {name.schema for name in (statement.name, *statement.more_names) if name.schema}
    return named <= {schema}


def _readings(sql: str) -> Iterator[list[Token]]:
    """Read a text under each sql_mode that matters, with and without its versioned comments.

    A mode under which it has no end is left out.

    Raises:
        TabletdError: DDL_SYNTAX, it has none as servers come.
    """
    yield from _with_and_without_comments(tokenize(sql))
    if '"' not in sql and "\\" not in sql:
        return
    for ansi_quotes, backslash_escapes in list(product((False, True), repeat=2)):
        try:
            tokens = tokenize(sql, ansi_quotes=ansi_quotes, backslash_escapes=backslash_escapes)
        except TabletdError:
            continue
        yield from _with_and_without_comments(tokens)


def _with_and_without_comments(tokens: list[Token]) -> Iterator[list[Token]]:
    code = [token for token in significant(tokens) if token.kind not in _MARKS]
    yield code
    if any(token.versioned for token in code):
        yield [token for token in code if not token.versioned]


def _qualifiers(tokens: list[Token]) -> Iterator[str]:
    for before, point in pairwise(tokens):
        is_point = point.upper == "." or (point.kind is Kind.NUMBER and point.text.startswith("."))
        if is_point and before.kind in _NAMES:
            yield before.text if before.kind is Kind.NUMBER else name_value(before)


def _has_several_statements(tokens: list[Token]) -> bool:
    ends = [index for index, token in enumerate(tokens) if token.upper == ";"]
    return bool(ends) and any(token.upper != ";" for token in tokens[ends[0] :])
