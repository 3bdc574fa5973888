"""What a caller may do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Final

from tabletd.errors import Reason, TabletdError


class Role(IntEnum):
    """A caller's rights; each role has those of the ones below it."""

    READER = 1
    OPERATOR = 2
    ADMIN = 3

    @property
    def label(self) -> str:
        """Its name, as settings and messages write it."""
        return self.name.lower()


ROLE_NAMES: Final = tuple(role.label for role in Role)


def parse_role(text: str) -> Role:
    """Return the role of a name.

    Raises:
        TabletdError: INVALID_CONFIG.
    """
    try:
        return Role[text.upper()]
    except KeyError:
        raise TabletdError(
            Reason.INVALID_CONFIG,
            f"{text[:100]!r} is no role",
            hint=f"there are {', '.join(ROLE_NAMES)}",
        ) from None


def parse_name_roles(entries: Iterable[str]) -> Mapping[str, Role]:
    """Return roles by name, of entries such as `vtctld.example=admin` or `*.ops.example=reader`.

    Raises:
        TabletdError: INVALID_CONFIG.
    """
    roles: dict[str, Role] = {}
    for entry in entries:
        name, equals, role = entry.rpartition("=")
        if not equals or not name.strip():
            raise TabletdError(
                Reason.INVALID_CONFIG,
                f"{entry!r} gives no role to a name",
                hint="write name=role, such as vtctld.example=admin",
            )
        roles[name.strip()] = parse_role(role.strip())
    return roles


def role_of_names(names: Iterable[str], roles: Mapping[str, Role]) -> Role | None:
    """Return the highest role that one of the names has; None: none has one.

    Args:
        names: of one caller.
        roles: by name; `*.example` stands for each name that ends with `.example`.
    """
    found = [
        role
        for name in names
        for pattern, role in roles.items()
        if name == pattern or (pattern.startswith("*.") and name.endswith(pattern[1:]))
    ]
    return max(found, default=None)
