"""The rules for apps and the stored settings: in memory for every check, in `_vt` for good."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tabletd.clock import Clock
from tabletd.errors import LeaseNotHeld, Reason, TabletdError
from tabletd.loops import every
from tabletd.mysql.result import ResultSet
from tabletd.throttler.config import ConfigChange, ThrottlerConfig, changed
from tabletd.throttler.rules import (
    FOREVER_SECONDS,
    ONLINE_DDL_APP,
    AppRule,
    Verdict,
    checked_expiry,
    checked_name,
    checked_ratio,
    judge,
)
from tabletd.throttler.store import RuleStore, Stored, StoredRule
from tabletd.throttler.tables import throttled_apps_table

REFRESH_SECONDS: Final = 5.0
# So long what the primary's daemon has told goes before our own tables, which replication brings.
_TRUSTED_SECONDS: Final = 60.0
# For trying out what a throttled migration does; both names exist in Vitess.
_ALWAYS_DENIED: Final = ("abusing-app", "always-throttled-app")
_ALWAYS_SECONDS: Final = 10 * 365.25 * 86_400
_NANOSECONDS_PER_SECOND: Final = 1_000_000_000

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RuleChange:
    """A request for the rule of one app, in the form of Vitess's `UpdateThrottlerConfig`.

    Attributes:
        app: its name, or a part of it.
        ratio: share of its checks to deny, 0 to 1.
        is_exempt: let it always go on instead.
        expires_at_ns: end of the rule, nanoseconds since the Unix epoch; a moment that is over ends
            the rule at once.
    """

    app: str
    ratio: float
    is_exempt: bool
    expires_at_ns: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a primary tells the other tablets of its shard.

    Attributes:
        rules: those that somebody has set.
        config: the settings.
        version: grows with each change.
    """

    rules: tuple[StoredRule, ...]
    config: ThrottlerConfig
    version: int


class AppRules:
    """Holds apps back by rules that people set.

    A rule acts at once, on this tablet, whether or not anything was enabled before. A primary
    writes the rules, and tells the shard's other tablets; every tablet reads its tables at its
    start, at a change of its role, and every few seconds, in which a primary also removes those
    that are over. What the primary has told goes before tables that are older.

    Args:
        store: where they are kept.
        clock: for their end, between two looks at the server's clock.
        random: a number from 0 to below 1, for rules that deny a share of the checks.

    Attributes:
        on_change: called on the primary when somebody has changed something.
    """

    def __init__(
        self, store: RuleStore, *, clock: Clock, random: Callable[[], float] = random.random
    ) -> None:
        self.on_change: Callable[[], None] = _nobody
        self._store = store
        self._clock = clock
        self._random = random
        self._built_in = {name: self._always(name) for name in _ALWAYS_DENIED}
        self._rules: dict[str, AppRule] = self._built_in
        self._config = ThrottlerConfig()
        self._version = 0
        self._told_monotonic = float("-inf")
        self._is_primary = False
        self._is_loaded = False
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()

    @property
    def is_loaded(self) -> bool:
        """Whether the stored rules have been read: before that nobody knows who is denied."""
        return self._is_loaded

    @property
    def config(self) -> ThrottlerConfig:
        """The stored settings."""
        return self._config

    def rules(self) -> Mapping[str, AppRule]:
        """Return the rules in force, by name; those that are built in among them."""
        now = self._clock.monotonic_seconds()
        return MappingProxyType(
            {name: rule for name, rule in self._rules.items() if rule.expires_monotonic > now}
        )

    def stored_rules(self) -> Mapping[str, AppRule]:
        """Return the rules in force that somebody has set, by name."""
        rules = self.rules()
        return {name: rule for name, rule in rules.items() if rule is not self._built_in.get(name)}

    def snapshot(self) -> Snapshot:
        """Return what the other tablets of the shard should know."""
        now = self._clock.monotonic_seconds()
        rules = tuple(
            StoredRule(
                rule.name,
                rule.ratio,
                rule.is_exempt,
                rule.expires_at_ns,
                rule.expires_monotonic - now,
            )
            for rule in self.stored_rules().values()
        )
        return Snapshot(rules, self._config, self._version)

    def take(self, told: Snapshot) -> bool:
        """Take over what the primary has told; returns whether it was.

        A primary takes nothing, nor does anybody what is older than what it was told of late.
        """
        now = self._clock.monotonic_seconds()
        is_old = told.version < self._version and now - self._told_monotonic < _TRUSTED_SECONDS
        if self._is_primary or is_old:
            return False
        self._told_monotonic = now
        self._keep(Stored(told.rules, told.config, told.version), now)
        return True

    def judge(self, app: str) -> Verdict:
        """Say whether a rule denies this check of an app."""
        now = self._clock.monotonic_seconds()
        return judge(app, self._rules, now_monotonic=now, random=self._random)

    def user_throttle_ratio(self, migration_uuid: str) -> float:
        """Return how much of a migration people hold back: 0 not at all, 1 wholly.

        That is the larger of the rule for all migrations and the rule for this one.
        """
        rules = self.rules()
        named = (rules.get(name) for name in (ONLINE_DDL_APP, migration_uuid))
        return max((rule.ratio for rule in named if rule and not rule.is_exempt), default=0.0)

    def show(self) -> ResultSet:
        """Return the answer to SHOW VITESS_THROTTLED_APPS."""
        return throttled_apps_table(self.rules())

    async def throttle(
        self,
        app: str,
        *,
        ratio: float = 1.0,
        expire_seconds: float = FOREVER_SECONDS,
        exempt: bool = False,
    ) -> None:
        """Set the rule of an app; it acts at once.

        Args:
            app: a migration's uuid, `online-ddl` for all migrations, `gh-ost`, `pt-osc`, `all`.
            ratio: share of its checks to deny, 0 to 1.
            expire_seconds: from now on.
            exempt: let it always go on instead.

        Raises:
            TabletdError: INVALID_REQUEST for what is out of bounds; NOT_PRIMARY; READ_ONLY; the
                server's errors.
        """
        name, share = checked_name(app), checked_ratio(ratio)
        seconds = checked_expiry(expire_seconds)
        async with self._lock:
            self._refuse_replica()
            await self._store.put_rule(name, ratio=share, expire_seconds=seconds, is_exempt=exempt)
            await self._load()
        self.on_change()
        _logger.info("rule for app %s: ratio %g, exempt %s", name, share, exempt)

    async def unthrottle(self, app: str) -> bool:
        """End the rule of an app at once; returns whether there was one.

        Raises:
            TabletdError: as for `throttle`.
        """
        name = checked_name(app)
        async with self._lock:
            self._refuse_replica()
            found = await self._store.delete_rule(name)
            await self._load()
        self.on_change()
        if found:
            _logger.info("no rule for app %s any more", name)
        return found

    async def update(self, change: ConfigChange, rule: RuleChange | None = None) -> None:
        """Change the stored settings and the rule of one app; both act at once.

        Raises:
            TabletdError: as `config.changed` and `throttle`; nothing is changed by a request that
                is refused.
        """
        if rule is not None:
            checked_name(rule.app)
            checked_ratio(rule.ratio)
        async with self._lock:
            self._refuse_replica()
            # What is stored, not what is remembered: somebody else may have written meanwhile.
            await self._load()
            wanted = changed(self._config, change)
            if wanted != self._config:
                await self._store.put_config(wanted)
            if rule is not None:
                await self._put(rule)
            await self._load()
        self.on_change()

    async def _put(self, rule: RuleChange) -> None:
        seconds = (rule.expires_at_ns - await self._store.now_ns()) / _NANOSECONDS_PER_SECOND
        if seconds <= 0:
            await self._store.delete_rule(checked_name(rule.app))
            return
        await self._store.put_rule(
            checked_name(rule.app),
            ratio=rule.ratio,
            expire_seconds=checked_expiry(seconds),
            is_exempt=rule.is_exempt,
        )

    async def make_primary(self) -> None:
        """Take rules from now on; read what the former primary has left."""
        self._is_primary = True
        self._wake.set()

    async def make_non_primary(self) -> None:
        """Take no more rules; follow those of the primary."""
        self._is_primary = False
        self._wake.set()

    async def close(self) -> None:
        """Take no more rules."""
        self._is_primary = False

    async def run(self) -> None:
        """Keep the memory like the tables; never returns."""
        await every(
            REFRESH_SECONDS,
            self.refresh,
            name="throttle rules",
            logger=_logger,
            wake=self._wake,
            tolerate=(TabletdError,),
        )

    async def refresh(self) -> None:
        """Read the tables; a primary removes the rules that are over.

        Raises:
            TabletdError: the server cannot be asked; what was known stays.
        """
        async with self._lock:
            rules = await self._load()
            if self._is_primary and any(rule.remaining_seconds <= 0 for rule in rules):
                with suppress(LeaseNotHeld):
                    await self._store.delete_expired()

    async def _load(self) -> tuple[StoredRule, ...]:
        asked_monotonic = self._clock.monotonic_seconds()
        stored = await self._store.load()
        is_told = asked_monotonic - self._told_monotonic < _TRUSTED_SECONDS
        if is_told and stored.version < self._version:
            if not self._is_primary:
                return stored.rules
            # The former primary has told us what replication did not bring.
            stored = await self._write_what_was_told(stored)
        self._keep(stored, asked_monotonic)
        return stored.rules

    async def _write_what_was_told(self, stored: Stored) -> Stored:
        told = self.snapshot()
        for gone in {rule.name for rule in stored.rules} - {rule.name for rule in told.rules}:
            await self._store.delete_rule(gone)
        for rule in told.rules:
            await self._store.put_rule(
                rule.name,
                ratio=rule.ratio,
                expire_seconds=rule.remaining_seconds,
                is_exempt=rule.is_exempt,
            )
        await self._store.put_config(told.config)
        await self._store.raise_version(told.version)
        self._told_monotonic = float("-inf")
        return await self._store.load()

    def _keep(self, stored: Stored, read_monotonic: float) -> None:
        self._rules = self._built_in | {
            rule.name: AppRule(
                name=rule.name,
                ratio=rule.ratio,
                is_exempt=rule.is_exempt,
                expires_at_ns=rule.expires_at_ns,
                expires_monotonic=read_monotonic + rule.remaining_seconds,
            )
            for rule in stored.rules
            if rule.remaining_seconds > 0
        }
        self._config = stored.config
        self._version = stored.version
        self._is_loaded = True

    def _refuse_replica(self) -> None:
        if not self._is_primary:
            raise TabletdError(
                Reason.NOT_PRIMARY,
                "the rules and settings of the throttler are kept by the shard's primary",
                hint="send it to the primary of the shard; its replicas follow",
            )

    def _always(self, name: str) -> AppRule:
        ends_ns = self._clock.wall_ns() + int(_ALWAYS_SECONDS * _NANOSECONDS_PER_SECOND)
        ends_monotonic = self._clock.monotonic_seconds() + _ALWAYS_SECONDS
        return AppRule(name, 1.0, False, ends_ns, ends_monotonic)


def _nobody() -> None:
    return
