"""Names inside SQL text, and marks for values, which are always parameters."""

from __future__ import annotations

from collections.abc import Collection

from tabletd.errors import Reason, TabletdError

NAME_LENGTH_MAX = 64
ACCOUNT_NAME_LENGTH_MAX = 80


def identifier(*parts: str) -> str:
    """Return a back-quoted name: `identifier("_vt", "heartbeat")` gives `` `_vt`.`heartbeat` ``.

    Args:
        parts: schema and table, or one name, each as it is, without quotes of its own.

    Raises:
        TabletdError: INVALID_REQUEST for a name that no MySQL server takes: empty, longer than 64
            characters, with NUL or a character outside the Basic Multilingual Plane, or ending in
            a space.
    """
    if not parts:
        raise TabletdError(Reason.INVALID_REQUEST, "a name is expected, found none")
    return ".".join(_quoted(part) for part in parts)


def _quoted(name: str) -> str:
    fault = _fault(name)
    if fault:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"{name[:80]!r} cannot be the name of a schema, table or column: it {fault}",
            hint="MySQL names have 1 to 64 characters, no NUL, no emoji, no space at the end",
        )
    return "`" + name.replace("`", "``") + "`"


def _fault(name: str) -> str:
    if not name:
        return "is empty"
    if len(name) > NAME_LENGTH_MAX:
        return f"has {len(name)} characters"
    if "\0" in name:
        return "contains NUL"
    if any(ord(character) > 0xFFFF or 0xD800 <= ord(character) <= 0xDFFF for character in name):
        return "contains a character outside the Basic Multilingual Plane"
    if name.endswith(" "):
        return "ends in a space"
    return ""


def account(user: str, host: str) -> str:
    """Return `'user'@'host'` for CREATE USER, GRANT and DROP USER, which take no parameters.

    Raises:
        TabletdError: INVALID_REQUEST for an empty or overlong part, a control character, a quote
            or a backslash: our own accounts have none, and how they are escaped depends on the
            session's sql_mode.
    """
    for part, what in ((user, "user"), (host, "host")):
        if not part or len(part) > ACCOUNT_NAME_LENGTH_MAX or not _is_plain(part):
            raise TabletdError(
                Reason.INVALID_REQUEST,
                f"{part[:80]!r} cannot be the {what} of a MySQL account here",
                hint=f"1 to {ACCOUNT_NAME_LENGTH_MAX} characters, no quote, no backslash",
            )
    return f"'{user}'@'{host}'"


def _is_plain(text: str) -> bool:
    return text.isprintable() and not set(text) & set("'\"`\\")


def marks(values: Collection[object]) -> str:
    """Return the marks of a list of values: `%s, %s`."""
    return ", ".join(["%s"] * len(values))
