"""What is known of the shard at a moment: worst values, who blocks, who is left out and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Protocol

from tabletd.throttler.metrics import Metric, MetricReading, Reading, Scope

# A lag over its threshold holds until it is so far below: what swings about it would flutter.
RELEASE: Final = 0.9
OWN_NAME: Final = "this tablet"


class ReplicaReadings(Protocol):
    """What is known of another tablet of the shard."""

    @property
    def is_counted(self) -> bool:
        """Whether migrations wait for this tablet; not for one that an operator has set aside."""
        ...

    def reading(self, metric: str, /) -> MetricReading | None:
        """Return a metric; None: this tablet does not tell it."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One metric of one scope.

    Attributes:
        values: what is known, and of whom, the worst first.
        blocks: reasons to refuse whatever the threshold is.
        notes: who is left out, and why.
        unknown: why there is no value at all; empty: there is one, or nobody to have one.
        error: why this tablet's own value is not to be trusted; empty: it is, or it is a fact that
            refuses by itself.
        held: the thresholds that the lag was over, and has not come down far enough below.
    """

    values: tuple[tuple[float, str], ...] = ()
    blocks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unknown: str = ""
    error: str = ""
    held: frozenset[float] = frozenset()

    @property
    def worst(self) -> float:
        """The worst value, 0 where there is none."""
        return self.values[0][0] if self.values else 0.0


Board = Mapping[tuple[Scope, Metric], Entry]


@dataclass
class BoardKeeper:
    """Makes boards, and remembers since when nothing is known of a tablet.

    Attributes:
        unknown_seconds: how long a tablet of which nothing is known blocks.
    """

    unknown_seconds: float
    _unknown_since: dict[str, float] = field(default_factory=dict[str, float])
    _held: dict[Scope, frozenset[float]] = field(default_factory=dict[Scope, frozenset[float]])

    def look(
        self,
        now: float,
        *,
        own: Mapping[Metric, Reading],
        replicas: Mapping[str, ReplicaReadings] | None,
        lag_thresholds: frozenset[float],
    ) -> Board:
        """Return what is known now.

        Args:
            now: this moment, monotonic seconds.
            own: this tablet's metrics; one that is missing is not measured.
            replicas: the shard's other tablets by address; None: this tablet is not the primary.
            lag_thresholds: all that the lag may be held against, seconds.
        """
        board = {(Scope.SELF, metric): _own_entry(metric, own.get(metric)) for metric in Metric}
        if replicas is not None:
            counted = {name: one for name, one in sorted(replicas.items()) if one.is_counted}
            names = {f"replica {name}" for name in counted}
            known = self._unknown_since
            self._unknown_since = {name: known[name] for name in known if name in names}
            for metric in Metric:
                board[Scope.SHARD, metric] = self._shard_entry(now, metric, own, counted)
        for scope in Scope:
            entry = board.get((scope, Metric.LAG))
            if entry is not None:
                held = self._still_held(scope, entry.worst, lag_thresholds)
                board[scope, Metric.LAG] = replace(entry, held=held)
        return MappingProxyType(board)

    @property
    def unknown_replicas(self) -> int:
        """Of how many tablets nothing is known."""
        return len(self._unknown_since)

    def _shard_entry(
        self,
        now: float,
        metric: Metric,
        own: Mapping[Metric, Reading],
        replicas: Mapping[str, ReplicaReadings],
    ) -> Entry:
        found = _Found()
        mine = own.get(metric)
        if metric is not Metric.LAG and mine is not None and mine.value is not None:
            found.values.append((mine.value, OWN_NAME))
        for name, replica in replicas.items():
            reading = replica.reading(metric)
            if metric is Metric.LAG:
                self._take_lag(now, f"replica {name}", reading, found)
            elif reading is not None and reading.value is not None and not reading.error:
                found.values.append((reading.value, f"replica {name}"))
        found.values.sort(key=lambda one: -one[0])
        is_missing = metric is not Metric.LAG and not found.values
        unknown = "No such metric: it is not measured yet" if is_missing else ""
        return Entry(tuple(found.values), tuple(found.blocks), tuple(found.notes), unknown)

    def _take_lag(
        self, now: float, name: str, reading: MetricReading | None, found: _Found
    ) -> None:
        value = reading.value if reading is not None else None
        error = reading.error if reading is not None else ""
        if value is None and not error:
            error = "lag not known"
        if not error or (reading is not None and reading.is_down):
            self._unknown_since.pop(name, None)
        elif now - self._unknown_since.setdefault(name, now) >= self.unknown_seconds:
            found.notes.append(f"{name}: left out after {self.unknown_seconds:g} s: {error}")
            return
        if error:
            found.blocks.append(f"{name}: {error}")
        if value is not None:
            found.values.append((value, name))

    def _still_held(
        self, scope: Scope, lag: float, thresholds: frozenset[float]
    ) -> frozenset[float]:
        exceeded = frozenset(limit for limit in thresholds if lag > limit)
        before = self._held.get(scope, frozenset()) & thresholds
        held = exceeded | {limit for limit in before if lag > RELEASE * limit}
        self._held[scope] = held
        return held


@dataclass(slots=True)
class _Found:
    """An entry in the making."""

    values: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    blocks: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])


def _own_entry(metric: Metric, reading: Reading | None) -> Entry:
    if reading is None:
        return Entry(unknown=f"No such metric: {metric} is not measured here")
    if reading.value is None:
        return Entry(unknown=f"No such metric: {reading.error or 'it is not measured yet'}")
    blocks = (f"{OWN_NAME}: {reading.error}",) if reading.error else ()
    error = "" if reading.is_down else reading.error
    return Entry(((reading.value, OWN_NAME),), blocks, error=error)
