"""Named bind variables (`:name`, `::names`) become parameters of the statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from tabletd.errors import Reason, TabletdError
from tabletd.executor.lexer import Kind, Token, tokenize
from tabletd.mysql.quote import marks

# A list stands for the values of an IN (...), anything else for itself.
BindValue = object


def bind(
    sql: str,
    variables: Mapping[str, BindValue],
    *,
    ansi_quotes: bool = False,
    backslash_escapes: bool = True,
) -> tuple[str, list[Any]]:
    """Replace each bind variable by a place holder; strings, names and comments are left alone.

    Args:
        sql: the statement as the caller wrote it.
        variables: a list for `::names`, one value for `:name`.
        ansi_quotes: as in `executor.lexer.tokenize`.
        backslash_escapes: as in `executor.lexer.tokenize`.

    Returns:
        The statement with `%s` for each value and every other `%` doubled, and the values in order.

    Raises:
        TabletdError: INVALID_REQUEST for a variable without a value or of the wrong kind;
            DDL_SYNTAX for a text that cannot be read.
    """
    tokens = tokenize(sql, ansi_quotes=ansi_quotes, backslash_escapes=backslash_escapes)
    parts: list[str] = []
    values: list[Any] = []
    position = 0
    while position < len(tokens):
        colons = _colons_before_name(tokens, position)
        if colons == 0:
            parts.append(tokens[position].text.replace("%", "%%"))
            position += 1
            continue
        given = _value(tokens[position + colons].text, variables, is_list=colons == 2)
        values.extend(given)
        holders = marks(given)
        parts.append(f"({holders})" if colons == 2 else holders)
        position += colons + 1
    return "".join(parts), values


def _colons_before_name(tokens: list[Token], position: int) -> int:
    """Return 1 for `:name`, 2 for `::names`, 0 where no bind variable begins."""
    for colons in (2, 1):
        ahead = tokens[position : position + colons + 1]
        if (
            len(ahead) == colons + 1
            and all(token.upper == ":" for token in ahead[:-1])
            and ahead[-1].kind is Kind.WORD
        ):
            return colons
    return 0


def _value(name: str, variables: Mapping[str, BindValue], *, is_list: bool) -> Sequence[object]:
    if name not in variables:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"missing bind var {name}",
            hint="give a value for every variable that the statement names",
        )
    value = variables[name]
    if isinstance(value, list) != is_list:
        expected = "a list of values" if is_list else "one value"
        raise TabletdError(Reason.INVALID_REQUEST, f"bind var {name}: {expected} is expected")
    values = cast(list[object], value) if is_list else [value]
    if not values:
        raise TabletdError(Reason.INVALID_REQUEST, f"bind var {name}: the list is empty")
    return values
