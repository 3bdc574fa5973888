"""How many checks were refused, by what for, and by what kind of app asked."""

from __future__ import annotations

from enum import StrEnum
from itertools import product
from typing import Final

from tabletd.telemetry.vars import Registry
from tabletd.throttler.rules import name_parts

_TOOLS: Final = ("gh-ost", "pt-osc")
# Migrations' names and those that callers choose are not told apart: there is no end of them.
_OTHER_APPS: Final = "other"


class Cause(StrEnum):
    """What a check was refused for."""

    RULE = "rule"
    """Somebody has set a rule for the app."""
    LAG = "lag"
    """A replica that is measured lags."""
    METRIC = "metric"
    """A metric other than the lag is over its threshold."""
    UNKNOWN = "unknown"
    """A replica is silent or stopped, a metric is not measured, or no rules were read yet."""
    SLOWED = "slowed"
    """The lag is near its threshold, and below it."""
    PRIORITY = "priority"
    """Apps of normal priority were refused a moment ago."""


class Refusals:
    """Counts refused checks.

    Args:
        registry: gets the counter.
    """

    def __init__(self, registry: Registry) -> None:
        self._counters = registry.labelled_counters(
            "ThrottlerRefusals",
            "checks that were refused, by cause and kind of app",
            ("cause", "app"),
            product((cause.value for cause in Cause), (*_TOOLS, _OTHER_APPS)),
        )

    def add(self, cause: Cause, app: str) -> None:
        """Count one.

        Args:
            cause: what for.
            app: who asked, parts joined by colons.
        """
        parts = name_parts(app)
        self._counters.add(cause, next((tool for tool in _TOOLS if tool in parts), _OTHER_APPS))
