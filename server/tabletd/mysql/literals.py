"""Parameters, written into the text of a statement by the driver; nobody else calls this."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from tabletd.errors import Reason, TabletdError

_ESCAPES: Final = str.maketrans(
    {
        "\0": "\\0",
        "\n": "\\n",
        "\r": "\\r",
        "\x1a": "\\Z",
        "'": "\\'",
        '"': '\\"',
        "\\": "\\\\",
    }
)


def bind(sql: str, params: Sequence[Any], *, backslash_escapes: bool) -> str:
    """Return the statement with each `%s` replaced by its parameter.

    Args:
        sql: the statement; `%%` stands for a per cent sign.
        params: str, bytes, bool, int, float, Decimal, datetime, date or None.
        backslash_escapes: false in a session with NO_BACKSLASH_ESCAPES.

    Raises:
        TypeError: wrong count or kind of parameters: a bug of the caller.
    """
    return sql % tuple([_literal(value, backslash_escapes) for value in params])


def encode(sql: str) -> bytes:
    """Return the statement as UTF-8.

    Raises:
        TabletdError: INVALID_REQUEST for half a surrogate pair, which is no character.
    """
    try:
        return sql.encode()
    except UnicodeEncodeError as error:
        raise TabletdError(
            Reason.INVALID_REQUEST, f"the text is no valid Unicode at character {error.start}"
        ) from None


def _literal(value: object, backslash_escapes: bool) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return "1" if value else "0"
        case int():
            return int.__repr__(value)
        case str():
            return _quoted(value, backslash_escapes)
        case bytes():
            return f"_binary X'{value.hex()}'"
        case float() if math.isfinite(value):
            return f"{value!r}" if "e" in repr(value) else f"{value!r}e0"
        case Decimal() if value.is_finite():
            return f"{value:f}"
        case datetime():
            # Sessions are in UTC.
            naive = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
            return f"'{naive.isoformat(' ')}'"
        case date():
            return f"'{value.isoformat()}'"
        case _:
            raise TypeError(f"{value!r} ({type(value).__name__}) cannot be a parameter")


def _quoted(value: str, backslash_escapes: bool) -> str:
    if backslash_escapes:
        return f"'{value.translate(_ESCAPES)}'"
    return "'" + value.replace("'", "''") + "'"
