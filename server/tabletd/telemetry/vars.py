"""Counters, gauges and histograms under their documented names, as `/debug/vars` shows them.

One `Registry` is made by the composition root and handed to the components; the same instruments
feed the expvar page and, through `telemetry.otel`, Prometheus and OTLP.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

VarValue = int | float | str | dict[str, int]


class Counter:
    """A number of events since the start of the process."""

    def __init__(self, name: str, help_text: str) -> None:
        self.name = name
        self.help_text = help_text
        self.value = 0

    def add(self, amount: int = 1) -> None:
        """Count `amount` more; negative only for sums of signed values (lag under skew)."""
        self.value += amount

    def export(self) -> VarValue:
        return self.value


class LabelledCounters:
    """Numbers of events since the start of the process, by labels that are all known before.

    Args:
        name: expvar name.
        help_text: what is counted.
        labels: their names.
        cells: the values of the labels of each number.
    """

    def __init__(
        self,
        name: str,
        help_text: str,
        labels: Sequence[str],
        cells: Iterable[tuple[str, ...]],
    ) -> None:
        self.name = name
        self.help_text = help_text
        self.labels = tuple(labels)
        self.values = dict.fromkeys(cells, 0)

    def add(self, *cell: str) -> None:
        """Count one more; KeyError for labels that were not named."""
        self.values[cell] += 1

    def export(self) -> VarValue:
        """Return each number under its labels with dots between them, as Vitess does."""
        return {".".join(cell): value for cell, value in self.values.items()}


class Gauge:
    """A value of now: set by its owner, or asked from a function at the time it is shown."""

    def __init__(
        self, name: str, help_text: str, read: Callable[[], int | float | str] | None = None
    ) -> None:
        self.name = name
        self.help_text = help_text
        self._read = read
        self._value: int | float | str = 0

    def set(self, value: int | float | str) -> None:
        self._value = value

    def export(self) -> VarValue:
        return self._read() if self._read is not None else self._value


class Histogram:
    """Counts by upper bound, with the sum of all values.

    Args:
        name: expvar name.
        help_text: what is measured, with its unit.
        cutoffs: ascending upper bounds; a value belongs to the first bucket whose bound is not
            below it.
        labels: a label for each bound and one more for what lies above the last.
    """

    def __init__(
        self, name: str, help_text: str, cutoffs: Sequence[int], labels: Sequence[str]
    ) -> None:
        if len(labels) != len(cutoffs) + 1:
            raise ValueError("a histogram needs one label more than it has cutoffs")
        self.name = name
        self.help_text = help_text
        self.cutoffs = tuple(cutoffs)
        self.labels = tuple(labels)
        self.buckets = [0] * len(labels)
        self.total = 0

    def add(self, value: int) -> None:
        self.buckets[bisect_left(self.cutoffs, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        return sum(self.buckets)

    def export(self) -> VarValue:
        """Return each label's count, then `Count` and `Total`, as Go's expvar does."""
        return {
            **dict(zip(self.labels, self.buckets, strict=True)),
            "Count": self.count,
            "Total": self.total,
        }


Var = Counter | LabelledCounters | Gauge | Histogram
_VarT = TypeVar("_VarT", Counter, LabelledCounters, Gauge, Histogram)


class Registry:
    """The instruments of one daemon, by name."""

    def __init__(self) -> None:
        self._vars: dict[str, Var] = {}

    def counter(self, name: str, help_text: str) -> Counter:
        return self._add(Counter(name, help_text))

    def labelled_counters(
        self,
        name: str,
        help_text: str,
        labels: Sequence[str],
        cells: Iterable[tuple[str, ...]],
    ) -> LabelledCounters:
        return self._add(LabelledCounters(name, help_text, labels, cells))

    def gauge(
        self, name: str, help_text: str, read: Callable[[], int | float | str] | None = None
    ) -> Gauge:
        return self._add(Gauge(name, help_text, read))

    def histogram(
        self, name: str, help_text: str, cutoffs: Sequence[int], labels: Sequence[str]
    ) -> Histogram:
        return self._add(Histogram(name, help_text, cutoffs, labels))

    def __iter__(self) -> Iterator[Var]:
        return iter(self._vars.values())

    def __getitem__(self, name: str) -> Var:
        return self._vars[name]

    def export(self) -> dict[str, VarValue]:
        """Return every instrument's present value by name, sorted, ready for JSON."""
        return {name: self._vars[name].export() for name in sorted(self._vars)}

    def _add(self, var: _VarT) -> _VarT:
        if var.name in self._vars:
            raise ValueError(f"{var.name} is registered twice")
        self._vars[var.name] = var
        return var
