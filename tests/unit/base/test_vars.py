from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabletd.telemetry.vars import Histogram, Registry

CUTOFFS = (0, 10, 100)
LABELS = ("0", "10", "100", ">100")


def test_a_value_equal_to_a_bound_belongs_to_that_bucket() -> None:
    histogram = Histogram("H", "values", CUTOFFS, LABELS)
    for value in (-5, 0, 10, 11, 100, 101):
        histogram.add(value)
    assert histogram.export() == {"0": 2, "10": 1, "100": 2, ">100": 1, "Count": 6, "Total": 217}


@given(st.lists(st.integers()))
def test_the_histogram_counts_each_value_once_and_sums_them(values: list[int]) -> None:
    histogram = Histogram("H", "values", CUTOFFS, LABELS)
    for value in values:
        histogram.add(value)
    assert histogram.count == len(values)
    assert histogram.total == sum(values)


def test_a_histogram_without_a_label_for_the_rest_is_refused() -> None:
    with pytest.raises(ValueError, match="one label more"):
        Histogram("H", "values", CUTOFFS, LABELS[:-1])


def test_the_registry_exports_present_values_sorted_by_name() -> None:
    registry = Registry()
    state = ["starting"]
    registry.counter("Writes", "writes").add(3)
    registry.gauge("State", "state", read=lambda: state[0])
    state[0] = "serving"
    assert list(registry.export().items()) == [("State", "serving"), ("Writes", 3)]


def test_labelled_counters_are_exported_with_all_their_cells() -> None:
    registry = Registry()
    counters = registry.labelled_counters(
        "Refusals", "refusals", ("cause", "app"), [("rule", "gh-ost"), ("lag", "other")]
    )
    counters.add("lag", "other")
    counters.add("lag", "other")
    assert registry.export() == {"Refusals": {"rule.gh-ost": 0, "lag.other": 2}}
    with pytest.raises(KeyError):
        counters.add("lag", "a uuid")


def test_a_name_is_registered_once() -> None:
    registry = Registry()
    registry.counter("Writes", "writes")
    with pytest.raises(ValueError, match="Writes is registered twice"):
        registry.gauge("Writes", "again")
