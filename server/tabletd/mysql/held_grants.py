"""What an account has been granted, read from SHOW GRANTS."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tabletd.mysql.flavor import ServerInfo
from tabletd.mysql.privileges import Grant, covered_by_super
from tabletd.mysql.session import Session
from tabletd.mysql.variables import as_text

# Behind TO there may be the hash of a password: nothing of a line is ever shown.
_LINE: Final = re.compile(
    r"GRANT (?P<what>.+?) ON (?P<schema>\*|(?P<quote>[`\"]).+?(?P=quote))"
    r"\.(?P<table>\*|[`\"].+?[`\"]) TO (?P<rest>.*)",
    re.S,
)
_OPTION: Final = "GRANT OPTION"
_ALL: Final = "ALL PRIVILEGES"


@dataclass(frozen=True, slots=True)
class _Held:
    schema: re.Pattern[str] | None  # None: the whole server
    table: str
    privileges: frozenset[str]

    def reaches(self, grant: Grant) -> bool:
        if self.schema is None:
            return True
        is_in = grant.schema != "*" and self.schema.fullmatch(grant.schema) is not None
        return is_in and self.table in ("*", grant.table)


class HeldGrants:
    """Privileges of one account; those that it has by a role only are not among them.

    Args:
        lines: of SHOW GRANTS.
        server: flavour and version.
    """

    def __init__(self, lines: Iterable[str], server: ServerInfo) -> None:
        self._server = server
        self._held = [held for line in lines if (held := _read(line)) is not None]

    def lacks(self, grant: Grant) -> tuple[str, ...]:
        """Return what of a GRANT the account has not been given, `GRANT OPTION` included."""
        here = set[str]().union(*(one.privileges for one in self._held if one.reaches(grant)))
        wanted = [*grant.privileges, *([_OPTION] if grant.with_grant_option else [])]
        return tuple(name for name in wanted if not self._has(name, here))

    def _has(self, name: str, here: set[str]) -> bool:
        if name in here or (name != _OPTION and _ALL in here):
            return True
        return "SUPER" in here and covered_by_super(name, self._server)


async def held_grants(session: Session, server: ServerInfo) -> HeldGrants:
    """Ask the server what the session's own account may do."""
    found = await session.execute("SHOW GRANTS FOR CURRENT_USER()")
    return HeldGrants((as_text(line) for (line,) in found.rows), server)


def _read(line: str) -> _Held | None:
    match = _LINE.match(line)
    if match is None:
        return None  # a role, or PROXY
    privileges = {one.strip().upper() for one in re.split(r",(?![^(]*\))", match["what"])}
    if f"WITH {_OPTION}" in match["rest"]:
        privileges.add(_OPTION)
    is_global = match["schema"] == "*"
    schema = None if is_global else re.compile(_pattern(_unquoted(match["schema"])), re.S)
    return _Held(schema, _unquoted(match["table"]), frozenset(privileges))


def _unquoted(name: str) -> str:
    return name if name == "*" else name[1:-1].replace(name[0] * 2, name[0])


def _pattern(name: str) -> str:
    """Return a schema's name in a GRANT as a regular expression."""
    parts: list[str] = []
    escaped = False
    for sign in name:
        if escaped or sign not in "\\_%":
            parts.append(re.escape(sign))
            escaped = False
        elif sign == "\\":
            escaped = True
        else:
            parts.append("." if sign == "_" else ".*")
    return "".join(parts)
