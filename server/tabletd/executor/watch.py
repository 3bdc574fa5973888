"""News of migrations for all who watch them, from one reader of the table."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from tabletd.clock import Clock
from tabletd.errors import Reason, TabletdError
from tabletd.executor.watch_rows import (
    HISTORY_MAX,
    ROWS_AT_ONCE,
    MigrationReader,
    WatchedMigration,
)
from tabletd.loops import every
from tabletd.streams import Stream

POLL_SECONDS: Final = 1.0
WHOLE_LOOK_SECONDS: Final = 15.0
SIGN_OF_LIFE_SECONDS: Final = 5.0
FIRST_LOOK_SECONDS_MAX: Final = 10.0
# Many writes in a row are told together.
PAUSE_SECONDS: Final = 0.03
BUFFER_MAX: Final = 1_000
REMOVED_MAX: Final = 1_000

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Changed:
    """The state of a migration.

    Attributes:
        sequence: number of this news.
        migration: the whole of it.
        ended_sequence: number of the news that it has ended; 0: it has not, or long ago.
    """

    sequence: int
    migration: WatchedMigration
    ended_sequence: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Removed:
    """A migration whose row is gone; `migration` is what it was last."""

    sequence: int
    migration: WatchedMigration


@dataclass(frozen=True, slots=True)
class Reset:
    """What was said before does not count."""

    sequence: int


@dataclass(frozen=True, slots=True)
class UpToDate:
    """Nothing is held back."""

    sequence: int


News = Changed | Removed | Reset | UpToDate


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to watch, and where to go on.

    Attributes:
        uuids: only these, in lower case; empty: all.
        migration_context: only of this context; empty: of all.
        pending_only: only those that have not ended, and the end of each.
        resume_series: what `resume_after` counts in; empty: from the beginning.
        resume_after: the last number that was read.
    """

    uuids: frozenset[str] = frozenset()
    migration_context: str = ""
    pending_only: bool = False
    resume_series: str = ""
    resume_after: int = 0

    def covers(self, news: Changed | Removed, after: int) -> bool:
        """Tell whether news is wanted by one who has read up to a number."""
        migration = news.migration
        if self.uuids and migration.migration_uuid not in self.uuids:
            return False
        if self.migration_context and migration.migration_context != self.migration_context:
            return False
        if isinstance(news, Removed) or not self.pending_only or migration.is_pending:
            return True
        return news.ended_sequence > after


class Subscription(Stream[News]):
    """News for one watcher: the state, then what changes, with a sign of life in between.

    Iteration ends with a TabletdError: SLOW_READER when more than `BUFFER_MAX` changes wait to be
    read, NOT_PRIMARY, SHUTTING_DOWN.
    """

    def __init__(self, watch: Watch, wish: Wish, first: Collection[News]) -> None:
        super().__init__(BUFFER_MAX, _too_slow)
        self._watch = watch
        self._wish = wish
        self._first = deque(first)

    def tell(self, news: Changed | Removed) -> None:
        """Put news if it is wanted."""
        if self._wish.covers(news, news.sequence - 1):
            self.put(news)

    async def __anext__(self) -> News:
        if self._first:
            return self._first.popleft()
        while True:
            try:
                async with asyncio.timeout(SIGN_OF_LIFE_SECONDS):
                    return await super().__anext__()
            except TimeoutError:
                # Silence, while the server is away, is what a watcher has to know.
                if self._watch.is_current:
                    return UpToDate(self._watch.sequence)


class Watch:
    """Reads the table while somebody watches, and tells each watcher what is new.

    Numbers grow with each change; the newest news of each migration is kept, so that a watcher goes
    on from any number. Of ended migrations the newest `HISTORY_MAX` are shown.

    Args:
        reader: of the table.
        clock: for the time between looks at the whole table.
    """

    def __init__(self, reader: MigrationReader, *, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self.series = secrets.token_hex(8)
        self.sequence = 0
        self._latest: dict[int, Changed] = {}  # by id, in the order of their numbers
        self._fingerprints: dict[int, int] = {}
        self._pending: set[int] = set()
        self._newest_id = 0
        self._removed: deque[Removed] = deque(maxlen=REMOVED_MAX)
        self._forgotten_up_to = 0
        self._subscriptions: set[Subscription] = set()
        self._watchers = 0
        self._is_watched = asyncio.Event()
        self._is_complete = False
        self._begun = self._done = 0  # looks at the table
        self._looked = asyncio.Event()
        self._wake = asyncio.Event()
        self._whole_look_at = 0.0
        self._failure: TabletdError | None = None
        self._closed: Callable[[], TabletdError] | None = _not_primary
        self._is_loaded = False

    @property
    def is_current(self) -> bool:
        """Whether the last look at the table succeeded."""
        return self._is_complete and self._failure is None

    def wake(self) -> None:
        """Look at the table at once: something was written."""
        self._wake.set()

    async def make_primary(self) -> None:
        """Tell watchers from now on."""
        if self._closed is not None:
            self._closed = None
            self._is_complete = False

    async def make_non_primary(self) -> None:
        """End all streams: the primary knows more."""
        self._end(_not_primary)

    async def close(self) -> None:
        """End all streams and accept no new one."""
        self._end(_shut_down)

    async def run(self) -> None:
        """Read while somebody watches, until cancelled."""
        await every(
            POLL_SECONDS,
            self._step,
            name="watch of migrations",
            logger=_logger,
            wake=self._wake,
            tolerate=(TabletdError,),
            on_failure=self._failed,
        )

    @asynccontextmanager
    async def subscribe(self, wish: Wish) -> AsyncGenerator[Subscription]:
        """Receive the state and all news while the context lasts.

        Raises:
            TabletdError: NOT_PRIMARY, SHUTTING_DOWN; why the table cannot be read.
        """
        if self._closed is not None:
            raise self._closed()
        self._watchers += 1
        self._is_watched.set()
        try:
            await self._first_look()
            subscription = Subscription(self, wish, list(self._state(wish)))
            self._subscriptions.add(subscription)
            try:
                yield subscription
            finally:
                self._subscriptions.discard(subscription)
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._is_watched.clear()
                self._is_complete = False

    async def _first_look(self) -> None:
        """Wait for a look that began after this call: who has just submitted sees it."""
        wanted = self._begun + 1
        self.wake()
        try:
            async with asyncio.timeout(FIRST_LOOK_SECONDS_MAX):
                while self._done < wanted and self._closed is None:
                    await self._looked.wait()
        except TimeoutError:
            raise self._failure or TabletdError(
                Reason.TIMEOUT, "the migrations were not read in time", hint="try again"
            ) from None
        if self._closed is not None:
            raise self._closed()

    def _state(self, wish: Wish) -> Iterator[News]:
        """Return what a new watcher has to know before any change."""
        after = wish.resume_after
        is_known = self._forgotten_up_to <= after <= self.sequence
        if wish.resume_series != self.series or not is_known:
            yield Reset(0)
            after = 0
            news: list[Changed | Removed] = list(self._latest.values())
        else:
            news = [one for one in self._latest.values() if one.sequence > after]
            news += [one for one in self._removed if one.sequence > after]
            news.sort(key=lambda one: one.sequence)
        ended_after = after if wish.resume_series == self.series and is_known else self.sequence
        yield from (one for one in news if wish.covers(one, ended_after))
        yield UpToDate(self.sequence)

    # Reading

    async def _step(self) -> None:
        await self._is_watched.wait()
        now = self._clock.monotonic_seconds()
        self._begun += 1
        is_whole = not self._is_complete or now >= self._whole_look_at
        if is_whole:
            await self._look_at_all()
            self._whole_look_at = now + WHOLE_LOOK_SECONDS
        rows, gone = await self._reader.changes(self._pending, self._newest_id)
        self._take(rows)
        self._take_away(gone)
        self._failure, self._is_loaded = None, True
        self._is_complete = self._watchers > 0
        self._done = self._begun
        self._let_go()
        await asyncio.sleep(PAUSE_SECONDS)

    async def _look_at_all(self) -> None:
        """Find what changed in rows that had ended, and what is gone."""
        found = await self._reader.fingerprints()
        known = self._fingerprints
        changed = sorted(key for key, value in found.items() if known.get(key) != value)
        for start in range(0, len(changed), ROWS_AT_ONCE):
            self._take(await self._reader.rows(changed[start : start + ROWS_AT_ONCE]))
        self._fingerprints = found
        # With as many rows as are shown, older ones may be there and only not looked at.
        oldest = min(found, default=0) if len(found) >= HISTORY_MAX else 0
        missing = self._latest.keys() - found.keys() - self._pending
        self._take_away([key for key in missing if key >= oldest])
        for key in [key for key in missing if key < oldest]:
            self._latest.pop(key, None)

    def _take(self, rows: Collection[WatchedMigration]) -> None:
        for row in rows:
            before = self._latest.get(row.id)
            self._newest_id = max(self._newest_id, row.id)
            if before is not None and before.migration == row:
                continue
            self.sequence += 1
            ended_sequence = 0
            if row.is_pending:
                self._pending.add(row.id)
            else:
                self._pending.discard(row.id)
                ended_sequence = self._ended_sequence(before)
            # Taken out and put in again, so that the order is that of the numbers.
            self._latest.pop(row.id, None)
            self._latest[row.id] = Changed(self.sequence, row, ended_sequence)
            self._tell(self._latest[row.id])

    def _ended_sequence(self, before: Changed | None) -> int:
        if before is not None and not before.migration.is_pending:
            return before.ended_sequence
        is_history = before is None and not self._is_loaded
        return 0 if is_history else self.sequence

    def _take_away(self, ids: Collection[int]) -> None:
        for key in sorted(ids):
            self._pending.discard(key)
            before = self._latest.pop(key, None)
            if before is None:
                continue
            self.sequence += 1
            if len(self._removed) == REMOVED_MAX:
                self._forgotten_up_to = self._removed[0].sequence
            self._removed.append(Removed(self.sequence, before.migration))
            self._tell(self._removed[-1])

    def _tell(self, news: Changed | Removed) -> None:
        for subscription in list(self._subscriptions):
            subscription.tell(news)
            if subscription.is_ended:
                self._subscriptions.discard(subscription)

    def _failed(self, error: TabletdError) -> None:
        self._failure = error

    def _end(self, error: Callable[[], TabletdError]) -> None:
        """Refuse from now on, with an error of its own for each: one that is raised grows."""
        self._closed = error
        for subscription in self._subscriptions:
            subscription.end(error())
        self._subscriptions.clear()
        self._is_watched.clear()
        self._let_go()

    def _let_go(self) -> None:
        """Let those look again who wait for a look at the table."""
        self._looked.set()
        self._looked = asyncio.Event()


def _too_slow() -> TabletdError:
    return TabletdError(
        Reason.SLOW_READER,
        f"{BUFFER_MAX} changes of migrations wait to be read",
        hint="read faster, or watch fewer migrations; resume after the last number",
    )


def _not_primary() -> TabletdError:
    return TabletdError(
        Reason.NOT_PRIMARY,
        "this tablet is not the primary of its shard: the migrations are watched there",
        hint="ask Vtctld.GetTablets which one is",
    )


def _shut_down() -> TabletdError:
    return TabletdError(Reason.SHUTTING_DOWN, "the daemon is shut down")
