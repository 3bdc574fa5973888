"""The bounds of the lag, for any clocks, delays, losses and reorderings: never wrong."""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from tabletd.heartbeat.beats import Beat, Beats, Look
from tabletd.heartbeat.writer_time import Bracket, TimeSample, WriterTime

MS = 1_000_000
SERIES = 77

choices = st.builds(random.Random, st.integers(0, 2**64))


class DriftingClock:
    """Shows another time than the true one, and runs faster or slower from second to second."""

    def __init__(self, choice: random.Random, seconds: int) -> None:
        self._start_ns = choice.randrange(0, 10**17)
        rates_ppm = [choice.randint(-200, 200) for _ in range(seconds)]
        self._gained_ns = list(accumulate((rate * 1000 for rate in rates_ppm), initial=0))

    def at(self, true_ns: int) -> int:
        """Return what it shows at a true time, in nanoseconds."""
        second, rest_ns = divmod(true_ns, 10**9)
        gained_ns = self._gained_ns[second] + (
            (self._gained_ns[second + 1] - self._gained_ns[second]) * rest_ns // 10**9
        )
        return self._start_ns + true_ns + gained_ns


@dataclass
class World:
    """A primary, its replica and the network between their daemons; times are true ones."""

    choice: random.Random
    interval_ns: int
    beats_count: int
    lag_ns_max: int
    network_ns_max: int
    commits: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    beats: list[tuple[int, int, int, int]] = field(default_factory=list[tuple[int, int, int, int]])

    def __post_init__(self) -> None:
        self.end_ns = (self.beats_count + 2) * self.interval_ns + self.lag_ns_max
        seconds = self.end_ns // 10**9 + 3
        self.writer, self.reader = (DriftingClock(self.choice, seconds) for _ in range(2))
        visible_ns = 0
        for number in range(1, self.beats_count + 1):
            sent_ns = number * self.interval_ns + self._some(3 * MS)
            committed_ns = sent_ns + self._some(4 * MS)
            answered_ns = committed_ns + self._some(4 * MS)
            visible_ns = max(visible_ns, committed_ns + self._some(self.lag_ns_max))
            self.beats.append((number, sent_ns, answered_ns, visible_ns))
            self.commits.append((committed_ns, visible_ns))
            # What an application commits between two beats, visible in the same order.
            other_ns = committed_ns + self._some(self.interval_ns // 2)
            visible_ns = max(visible_ns, other_ns + self._some(self.lag_ns_max))
            self.commits.append((other_ns, visible_ns))

    def _some(self, ns_max: int) -> int:
        return self.choice.randint(0, ns_max)

    def looks(self) -> list[tuple[int, int, Look]]:
        """Return looks at the replica: when answered, when answered truly, and what was seen."""
        found: list[tuple[int, int, Look]] = []
        true_ns = self.interval_ns + self.lag_ns_max + 10 * MS
        visible = [beat[3] for beat in self.beats]
        while true_ns < self.end_ns:
            seen_ns = true_ns + self._some(5 * MS)
            answered_ns = seen_ns + self._some(5 * MS)
            if number := bisect_right(visible, seen_ns):
                sent_ns = self.writer.at(self.beats[number - 1][1])
                asked, answered = self.reader.at(true_ns), self.reader.at(answered_ns)
                found.append((answered_ns, seen_ns, Look(asked, answered, SERIES, number, sent_ns)))
            true_ns = answered_ns + self._some(self.interval_ns)
        return found

    def exchanges(self) -> list[tuple[int, TimeSample, list[Beat]]]:
        """Return exchanges, some overtaken by later ones: when heard, and what."""
        found: list[tuple[int, TimeSample, list[Beat]]] = []
        asked_ns = 0
        while asked_ns < self.end_ns - 4 * self.network_ns_max:
            received_ns = asked_ns + self._some(self.network_ns_max)
            sent_ns = received_ns + self._some(MS)
            heard_ns = sent_ns + self._some(self.network_ns_max)
            told = [
                Beat(number, self.writer.at(sent), self.writer.at(done))
                for number, sent, done, _ in self.beats
                if done <= sent_ns
            ]
            sample = TimeSample(
                self.reader.at(asked_ns),
                self.writer.at(received_ns),
                self.writer.at(sent_ns),
                self.reader.at(heard_ns),
            )
            if self.choice.random() < 0.8:
                found.append((heard_ns, sample, told[-self.choice.randint(1, 20) :]))
            asked_ns += 1 + self._some(5 * self.interval_ns)
        return found

    def age_of_oldest_missing_ns(self, true_ns: int) -> int:
        """Return what the lag is at a true time, on the reader's clock."""
        missing = [done for done, seen in self.commits if done <= true_ns < seen]
        return self.reader.at(true_ns) - self.reader.at(min(missing)) if missing else 0

    def figure_ns(self, true_ns: int, number: int) -> int:
        """Return the lag of the newest beat that has arrived, or the age of an overdue one."""
        commits = self.commits[::2]
        done_ns, visible_ns = commits[number - 1]
        figure_ns = self.reader.at(visible_ns) - self.reader.at(done_ns)
        if number < len(commits) and commits[number][0] <= true_ns:
            age_ns = self.reader.at(true_ns) - self.reader.at(commits[number][0])
            figure_ns = max(figure_ns, age_ns)
        return figure_ns


worlds = st.builds(
    World,
    choice=choices,
    interval_ns=st.sampled_from([50 * MS, 100 * MS, 1000 * MS]),
    beats_count=st.integers(1, 25),
    lag_ns_max=st.sampled_from([0, 2 * MS, 150 * MS, 3000 * MS]),
    network_ns_max=st.sampled_from([0, MS, 40 * MS, 900 * MS]),
)


@given(world=worlds)
def test_the_true_lag_is_always_inside_the_bounds(world: World) -> None:
    beats = Beats()
    looks, exchanges = world.looks(), world.exchanges()
    moments = sorted(
        [(heard_ns, 0, index) for index, (heard_ns, *_) in enumerate(exchanges)]
        + [(answered_ns, 1, index) for index, (answered_ns, *_) in enumerate(looks)]
    )
    last: tuple[int, Look] | None = None
    for _, is_look, index in moments:
        if is_look:
            _, seen_ns, look = looks[index]
            beats.note_look(look)
            last = seen_ns, look
        else:
            _, sample, told = exchanges[index]
            assert beats.note_exchange(SERIES, sample, told)
        reading = beats.reading()
        if reading is None or last is None:
            continue
        seen_ns, look = last
        # The look was true at one moment of those that it took, so as much is open.
        assert reading.lower_ns <= world.age_of_oldest_missing_ns(seen_ns) <= reading.upper_ns
        assert reading.lower_ns <= world.figure_ns(seen_ns, look.sequence) <= reading.upper_ns
        assert reading.lower_ns <= reading.lag_ns <= reading.upper_ns
        beat_lag = beats.beat_lag()
        done_ns, visible_ns = world.commits[2 * (look.sequence - 1)]
        true_ns = world.reader.at(visible_ns) - world.reader.at(done_ns)
        assert beat_lag is not None
        assert beat_lag.low_ns <= true_ns <= beat_lag.high_ns


@given(world=worlds)
def test_what_happened_on_the_writers_clock_is_always_inside_its_bounds_on_ours(
    world: World,
) -> None:
    time = WriterTime()
    for heard_ns, sample, _ in sorted(world.exchanges(), key=lambda exchange: exchange[0]):
        assert time.note(sample)
        for true_ns in (0, heard_ns // 2, heard_ns, (heard_ns + world.end_ns) // 2, world.end_ns):
            bracket = time.here(world.writer.at(true_ns))
            assert bracket.low_ns <= world.reader.at(true_ns) <= bracket.high_ns


@given(
    round_trips_ns=st.lists(st.integers(0, 500 * MS), min_size=1, max_size=20),
    choice=choices,
)
def test_the_best_round_trip_is_kept(round_trips_ns: list[int], choice: random.Random) -> None:
    time, now_ns = WriterTime(drift_ppm_max=0), 0
    for round_trip_ns in round_trips_ns:
        there_ns = choice.randint(0, round_trip_ns)
        heard_ns = now_ns + round_trip_ns
        assert time.note(TimeSample(now_ns, now_ns + there_ns, now_ns + there_ns, heard_ns))
        now_ns = heard_ns
    error_ns = time.error_ns(now_ns)
    assert error_ns is not None
    assert error_ns <= min(round_trips_ns) // 2


@given(
    jump_ns=st.integers(1, 10**13) | st.integers(-(10**13), -1),
    round_trip_ns=st.integers(0, 50 * MS),
    choice=choices,
)
def test_a_clock_that_jumped_is_found_or_the_jump_is_within_the_bounds(
    jump_ns: int, round_trip_ns: int, choice: random.Random
) -> None:
    time, start_ns = WriterTime(), 10**14
    offsets_ns = (0, jump_ns)
    agrees = True
    for number, offset_ns in enumerate(offsets_ns):
        asked_ns = start_ns + number * 10**9
        there_ns = asked_ns + choice.randint(0, round_trip_ns) + offset_ns
        agrees = time.note(TimeSample(asked_ns, there_ns, there_ns, asked_ns + round_trip_ns))
    assert agrees or abs(jump_ns) > 0
    now_ns = start_ns + 2 * 10**9
    if not agrees:
        bracket = time.here(now_ns + jump_ns)
        assert bracket.low_ns <= now_ns <= bracket.high_ns
    else:
        assert abs(jump_ns) <= 2 * round_trip_ns + 10**7


def test_a_question_that_was_heard_before_it_was_asked_is_left_out() -> None:
    time = WriterTime()
    assert time.note(TimeSample(10, 5, 5, 9))
    assert time.note(TimeSample(10, 6, 5, 11))
    assert not time.is_known


def test_a_bracket_knows_its_middle() -> None:
    assert Bracket(2, 6).middle_ns == 4
