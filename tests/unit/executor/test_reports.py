"""A run's token is good for one end, once."""

from __future__ import annotations

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.executor.migration import Migration, Strategy
from tabletd.executor.reports import ReportedEnds


def row(run: str = "a run's token") -> Migration:
    return Migration(
        1, "uuid", "ks", "0", "shop", "orders", "", Strategy.GH_OST, run_token_hash=run
    )


def news(ends: ReportedEnds, status: str, of: Migration) -> bool:
    with ends.taking(of, status) as is_news:
        return is_news


def test_signs_of_life_are_news_as_often_as_they_come() -> None:
    ends = ReportedEnds()
    assert [news(ends, "running", row()) for _ in range(3)] == [True] * 3


@pytest.mark.parametrize("end", ["complete", "failed"])
def test_an_end_is_news_once_and_nothing_follows_it(end: str) -> None:
    ends = ReportedEnds()
    assert [news(ends, end, row()) for _ in range(3)] == [True, False, False]
    for other in {"running", "complete", "failed"} - {end}:
        with pytest.raises(TabletdError, match=f"has reported {end} already") as refused:
            news(ends, other, row())
        assert refused.value.reason is Reason.ILLEGAL_TRANSITION


def test_the_same_end_is_taken_once_when_it_comes_twice_at_the_same_time() -> None:
    ends = ReportedEnds()
    with ends.taking(row(), "complete") as first, ends.taking(row(), "complete") as second:
        assert (first, second) == (True, False)


def test_an_end_that_could_not_be_written_down_may_come_again() -> None:
    ends = ReportedEnds()
    with pytest.raises(ConnectionError), ends.taking(row(), "complete"):
        raise ConnectionError
    assert news(ends, "complete", row())


def test_another_run_of_the_same_migration_has_an_end_of_its_own() -> None:
    ends = ReportedEnds()
    assert news(ends, "failed", row("first"))
    assert news(ends, "running", row("second"))
    assert news(ends, "complete", row("second"))


def test_memory_stays_flat_however_many_runs_end() -> None:
    ends = ReportedEnds()
    for number in range(3_000):
        assert news(ends, "complete", row(f"run {number}"))
    assert not news(ends, "complete", row("run 2999"))
    assert news(ends, "complete", row("run 0"))
