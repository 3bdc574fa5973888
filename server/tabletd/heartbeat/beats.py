"""What a replica's reader knows of beats, and the bounds of the lag that follow from it.

Pure: fed with looks at the replica and with what the writer's daemon told, all in nanoseconds. It
rests on commits becoming visible on the replica in the order in which the primary made them.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tabletd.heartbeat.writer_time import Bracket, TimeSample, WriterTime

# More than an hour of beats at the longest interval, seven minutes at 100 ms.
BEATS_KEPT_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Beat:
    """One heartbeat that was committed, on its writer's clock.

    Attributes:
        sequence: its number in its series.
        sent_ns: just before it was sent to the server.
        committed_ns: just after the server said that it is committed.
    """

    sequence: int
    sent_ns: int
    committed_ns: int


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the heartbeat's row on the replica.

    Attributes:
        asked_ns: just before, on our clock.
        answered_ns: just after, on our clock.
        series: of the beat that was seen.
        sequence: of the beat that was seen.
        sent_ns: when that beat was sent, on its writer's clock.
    """

    asked_ns: int
    answered_ns: int
    series: int
    sequence: int
    sent_ns: int


@dataclass(frozen=True, slots=True)
class Reading:
    """The lag at the moment of the last look, in nanoseconds.

    Attributes:
        lag_ns: the lag of the newest beat that has arrived, or the age of the oldest overdue one.
        lower_ns: the oldest missing commit was at least this old.
        upper_ns: it was at most this old.
        at_ns: the moment, on our clock.
    """

    lag_ns: int
    lower_ns: int
    upper_ns: int
    at_ns: int


class _Series:
    """The beats of one run of a writer's daemon."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.time = WriterTime()
        # When each was committed, on our clock: facts of the past, which no later drift changes.
        self._commits: dict[int, Bracket] = {}
        self._order: list[int] = []

    @property
    def newest(self) -> int:
        return self._order[-1] if self._order else 0

    def note(self, beats: Iterable[Beat]) -> None:
        for beat in beats:
            if beat.sequence in self._commits:
                continue
            sent, committed = self.time.here(beat.sent_ns), self.time.here(beat.committed_ns)
            self._commits[beat.sequence] = Bracket(sent.low_ns, committed.high_ns)
            insort(self._order, beat.sequence)
        for sequence in self._order[:-BEATS_KEPT_MAX]:
            del self._commits[sequence]
        del self._order[:-BEATS_KEPT_MAX]

    def commit_of(self, seen: Look) -> Bracket | None:
        """Return when a beat that was seen was committed; None: its writer's clock is not known."""
        if (known := self._commits.get(seen.sequence)) is not None:
            return known
        if not self.time.is_known:
            return None
        sent = self.time.here(seen.sent_ns)
        return Bracket(min(sent.low_ns, seen.answered_ns), seen.answered_ns)

    def likely_commit_ns(self, seen: Look, commit: Bracket) -> int:
        """Return the best guess of a commit: what is not told yet took as long as the last one."""
        if seen.sequence in self._commits or not self._order:
            return commit.middle_ns
        last = self._commits[self._order[-1]]
        return min(commit.high_ns, commit.low_ns + (last.high_ns - last.low_ns) // 2)

    def newest_commit(self) -> Bracket | None:
        """Return the commit of the newest known beat."""
        return self._commits[self._order[-1]] if self._order else None

    def oldest_after(self, sequence: int) -> Bracket | None:
        """Return the commit of the oldest known beat after one."""
        place = bisect_right(self._order, sequence)
        return self._commits[self._order[place]] if place < len(self._order) else None


@dataclass(frozen=True, slots=True)
class _Seen:
    """A beat that has arrived, and the figure of the one before, if that is known."""

    answered_ns: int
    absent_ns: int | None
    commit: Bracket
    likely_commit_ns: int
    lag_before_ns: int | None

    @property
    def lag(self) -> Bracket:
        high_ns = max(0, self.answered_ns - self.commit.low_ns)
        low_ns = 0 if self.absent_ns is None else max(0, self.absent_ns - self.commit.high_ns)
        return Bracket(min(low_ns, high_ns), high_ns)

    @property
    def likely_lag_ns(self) -> int:
        # It came after it was missed, and not before it was committed.
        since_ns = self.likely_commit_ns
        earliest_ns = since_ns if self.absent_ns is None else max(since_ns, self.absent_ns)
        least_ns, most_ns = earliest_ns - since_ns, self.answered_ns - since_ns
        likely_ns = self.lag_before_ns
        # A look that was late leaves much possible; that it took as long as usual is likelier than
        # anything else, where it is possible.
        if likely_ns is None or not least_ns <= likely_ns <= most_ns:
            likely_ns = (least_ns + most_ns) // 2
        return min(max(likely_ns, self.lag.low_ns), self.lag.high_ns)


class Beats:
    """All that is known of the beats of one shard on one replica."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start anew: our own clock stood still, or our role changed."""
        self._current: _Series | None = None
        self._former: _Series | None = None
        # The last look, and the first of those that saw the same beat.
        self._look: Look | None = None
        self._first: Look | None = None
        # A moment at which that beat was not there yet.
        self._absent_ns: int | None = None
        # The figure of the beat before.
        self._lag_before_ns: int | None = None

    @property
    def series(self) -> int:
        """The series of the daemon that was asked last; 0: none was."""
        return 0 if self._current is None else self._current.number

    @property
    def newest_sequence(self) -> int:
        """The newest beat of that series that is known to be committed; 0: none."""
        return 0 if self._current is None else self._current.newest

    def note_look(self, look: Look) -> bool:
        """Take a look; return whether it saw another beat than the one before."""
        before, self._look = self._look, look
        if before is not None and (before.series, before.sequence) == (look.series, look.sequence):
            return False
        seen = self._seen()
        self._lag_before_ns = None if seen is None else seen.likely_lag_ns
        self._first = look
        went_back = before is not None and (
            before.series == look.series and before.sequence > look.sequence
        )
        self._absent_ns = None if before is None or went_back else before.asked_ns
        return True

    def note_exchange(self, series: int, sample: TimeSample, beats: Iterable[Beat]) -> bool:
        """Take what the writer's daemon told.

        Returns:
            Whether it agrees with what it told before; when it does not, a clock stood still or
            was set, and all that was known is forgotten.
        """
        if not sample.is_possible:
            return True
        if self._current is None or self._current.number != series:
            self._former, self._current = self._current, _Series(series)
        if not self._current.time.note(sample):
            self.forget()
            self._current = _Series(series)
            self._current.time.note(sample)
            self._current.note(beats)
            return False
        self._current.note(beats)
        return True

    def clock_error_ns(self, now_ns: int) -> int | None:
        """Return how wrong the writer's time may be here; None: it is not known."""
        return None if self._current is None else self._current.time.error_ns(now_ns)

    def next_commit(self) -> Bracket | None:
        """Return when the oldest beat that has not arrived was committed; None: none is known."""
        if self._look is None or (series := self._series_of(self._look)) is None:
            return None
        found = series.oldest_after(self._look.sequence)
        if found is None and series is self._former and self._current is not None:
            found = self._current.oldest_after(0)
        return found

    def newest_commit(self) -> Bracket | None:
        """Return when the newest beat that anybody knows of was committed; None: not known."""
        told = self._current.newest_commit() if self._current is not None else None
        seen = self.seen_commit()
        if told is None or seen is None:
            return seen
        return max(told, seen, key=lambda commit: commit.low_ns)

    def seen_commit(self) -> Bracket | None:
        """Return when the newest beat that has arrived was committed; None: not known."""
        return None if (seen := self._seen()) is None else seen.commit

    def beat_lag(self) -> Bracket | None:
        """Return the bounds of the lag of the newest beat that has arrived; None: not known."""
        return None if (seen := self._seen()) is None else seen.lag

    def reading(self) -> Reading | None:
        """Return the lag at the last look; None: the time of the beat's writer is not known."""
        look, seen = self._look, self._seen()
        if look is None or seen is None:
            return None
        upper_ns = max(0, look.answered_ns - seen.commit.low_ns)
        lag_ns, lower_ns = seen.likely_lag_ns, 0
        if (missing := self.next_commit()) is not None:
            lower_ns = min(upper_ns, max(0, look.asked_ns - missing.high_ns))
            middle_ns = (look.asked_ns + look.answered_ns) // 2
            lag_ns = max(lag_ns, middle_ns - missing.middle_ns)
        return Reading(min(max(lag_ns, lower_ns), upper_ns), lower_ns, upper_ns, look.answered_ns)

    def _seen(self) -> _Seen | None:
        """Return what is known of the newest beat that has arrived."""
        first = self._first
        if first is None or (series := self._series_of(first)) is None:
            return None
        if (commit := series.commit_of(first)) is None:
            return None
        likely_ns = series.likely_commit_ns(first, commit)
        return _Seen(first.answered_ns, self._absent_ns, commit, likely_ns, self._lag_before_ns)

    def _series_of(self, look: Look) -> _Series | None:
        for series in (self._current, self._former):
            if series is not None and series.number == look.series:
                return series
        return None
