"""Rules for apps: who is held back whatever the lag is, how often, until when.

An app's name is a list of parts with colons between them (`online-ddl:gh-ost:<uuid>`), so a rule
may name a migration, a tool, or all migrations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from tabletd.errors import Reason, TabletdError

ONLINE_DDL_APP: Final = "online-ddl"
ALL_APPS: Final = "all"
# "For ever": what a statement without EXPIRE means to Vitess.
FOREVER_SECONDS: Final = 100 * 365.25 * 86_400
APP_NAME_BYTES_MAX: Final = 256

_NANOSECONDS_PER_SECOND: Final = 1_000_000_000
# Vitess's own helpers, which must never be held up. Source: tablet throttler of Vitess.
_EXEMPT_APPS: Final = frozenset({"binlog-watcher", "messager", "schema-tracker"})


@dataclass(frozen=True, slots=True)
class AppRule:
    """One rule.

    Attributes:
        name: of the app, or of a part of its name.
        ratio: share of its checks that are denied, 0 to 1.
        is_exempt: the app may always go on.
        expires_at_ns: end of the rule by the server's clock, nanoseconds since the Unix epoch.
        expires_monotonic: the same moment on this process's monotonic clock, seconds.
    """

    name: str
    ratio: float
    is_exempt: bool
    expires_at_ns: int
    expires_monotonic: float

    @property
    def expires_at(self) -> datetime:
        """End of the rule, UTC, to the second."""
        return datetime.fromtimestamp(self.expires_at_ns // _NANOSECONDS_PER_SECOND, UTC)

    @property
    def words(self) -> str:
        """The rule as a refusal names it."""
        share = "" if self.ratio >= 1 else f" for {self.ratio:.0%} of its checks"
        return f"{self.name} is throttled{share} until {self.expires_at:%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say about one check.

    Attributes:
        denied_by: the rule that denies it; None: no rule does.
        is_exempt: it may go on, whatever the metrics are.
    """

    denied_by: AppRule | None = None
    is_exempt: bool = False


def judge(
    app: str,
    rules: Mapping[str, AppRule],
    *,
    now_monotonic: float,
    random: Callable[[], float],
) -> Verdict:
    """Hold an app against the rules: its whole name, each part, and `all` if none was named.

    Args:
        app: its name, parts joined by colons.
        rules: by name; those that have expired do not count.
        now_monotonic: the present moment, seconds.
        random: gives a number from 0 to below 1 for each rule that is asked.
    """
    names = name_parts(app)
    if not _EXEMPT_APPS.isdisjoint(names):
        return Verdict(is_exempt=True)
    if rules.keys().isdisjoint(names) and ALL_APPS not in rules:  # as nearly always
        return _NO_RULE
    found = _in_force(names, rules, now_monotonic) or _in_force(_ALL, rules, now_monotonic)
    if not found:
        return _NO_RULE
    if any(rule.is_exempt for rule in found):
        return Verdict(is_exempt=True)
    return Verdict(next((rule for rule in found if random() < rule.ratio), None))


_ALL: Final = (ALL_APPS,)
_NO_RULE: Final = Verdict()


def name_parts(app: str) -> tuple[str, ...]:
    """Return the names that a rule for this app may have: the whole, then each part, once."""
    return _short_name_parts(app) if len(app) <= APP_NAME_BYTES_MAX else _name_parts(app)


def _name_parts(app: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys([app, *app.split(":")]))


# A tool asks ten times a second by the same name.
_short_name_parts = lru_cache(maxsize=512)(_name_parts)


def _in_force(
    names: Iterable[str], rules: Mapping[str, AppRule], now_monotonic: float
) -> list[AppRule]:
    return [
        rule
        for name in names
        if (rule := rules.get(name)) is not None and rule.expires_monotonic > now_monotonic
    ]


def checked_name(app: str) -> str:
    """Return a name that a rule may have.

    Raises:
        TabletdError: INVALID_REQUEST for an empty or endless one.
    """
    name = app.strip()
    if not name or len(name.encode("utf-8", "replace")) > APP_NAME_BYTES_MAX:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"the name of an app has 1 to {APP_NAME_BYTES_MAX} bytes, not {app[:40]!r}",
            hint=f"name a migration's uuid, {ONLINE_DDL_APP}, gh-ost, pt-osc or {ALL_APPS}",
        )
    return name


def checked_ratio(ratio: float) -> float:
    """Return a share from 0 to 1.

    Raises:
        TabletdError: INVALID_REQUEST for any other number.
    """
    if not 0 <= ratio <= 1:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"the ratio {ratio:g} is not between 0 and 1",
            hint="1 denies every check, 0.5 every other one",
        )
    return ratio


def checked_expiry(seconds: float) -> float:
    """Return how long a rule holds; what is longer than for ever is for ever.

    Raises:
        TabletdError: INVALID_REQUEST for what is over already, or no number.
    """
    if math.isnan(seconds) or seconds <= 0:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"a rule that ends in {seconds:g} s never holds",
            hint="to end a rule, unthrottle its app",
        )
    return min(seconds, FOREVER_SECONDS)
