"""A strategy setting such as `gh-ost --max-load=Threads_running=900`: its name and its options."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from tabletd.errors import Reason, TabletdError

_ONLINE: Final = frozenset({"online", "vitess"})


class Strategy(StrEnum):
    """How a migration is carried out: by the server itself, or by a tool.

    DIRECT and MYSQL are one way; as a strategy of `ApplySchema`, `direct` does not go through the
    queue at all.
    """

    DIRECT = "direct"
    MYSQL = "mysql"
    GH_OST = "gh-ost"
    PT_OSC = "pt-osc"

    @property
    def is_tool(self) -> bool:
        """Whether a tool alters tables, beside the server."""
        return self in (Strategy.GH_OST, Strategy.PT_OSC)


def parse_strategy(setting: str, *, online: Strategy | None = None) -> tuple[Strategy, str]:
    """Split a strategy setting into the strategy and its options, which are not judged here.

    Args:
        setting: `<name>` or `<name> <options>`; empty means `direct`.
        online: what `online` and `vitess` stand for; None: nothing.

    Raises:
        TabletdError: as `strategy_by_name`.
    """
    name, options = (*setting.split(None, 1), "", "")[:2]
    return strategy_by_name(name, online=online), options.strip()


def strategy_by_name(name: str, *, online: Strategy | None = None) -> Strategy:
    """Return the strategy of a name; the empty name means `direct`.

    Args:
        name: as written, in any case.
        online: what `online` and `vitess` stand for; None: nothing.

    Raises:
        TabletdError: INVALID_REQUEST for an unknown name (text: Vitess 9); MIGRATION_REJECTED for
            Vitess's own strategy where nothing stands for it.
    """
    lower = name.lower()
    if lower in _ONLINE:
        if online is not None:
            return online
        raise TabletdError(
            Reason.MIGRATION_REJECTED,
            f"the strategy '{name}' is not offered here",
            hint=f"offered are: {', '.join(Strategy)}; or set default_online_strategy",
        )
    try:
        return Strategy(lower or Strategy.DIRECT)
    except ValueError:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"Unknown online DDL strategy: '{name}'",
            hint="known strategies: " + ", ".join(Strategy),
        ) from None
