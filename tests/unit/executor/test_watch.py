from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tabletd.errors import MySQLUnavailable, Reason, TabletdError
from tabletd.executor import watch as watch_module
from tabletd.executor.engines.base import EtaState
from tabletd.executor.watch import (
    Changed,
    News,
    Removed,
    Reset,
    Subscription,
    UpToDate,
    Watch,
    Wish,
)
from tests.support.waiting import eventually
from tests.support.watched import FakeTable, watch_over, watched


async def _next(subscription: Subscription) -> News:
    async with asyncio.timeout(60):
        return await anext(subscription)


async def _state(subscription: Subscription) -> list[News]:
    """Return what is told up to the first sign that it is all."""
    news = [await _next(subscription)]
    while not isinstance(news[-1], UpToDate):
        news.append(await _next(subscription))
    return news


def _ids(news: list[News]) -> list[int]:
    return [one.migration.id for one in news if isinstance(one, Changed)]


async def test_a_watch_begins_with_a_reset_and_the_whole_state() -> None:
    table = FakeTable()
    table.put(watched(1, migration_status="complete"))
    table.put(watched(2))
    async with watch_over(table) as watch, watch.subscribe(Wish()) as subscription:
        news = await _state(subscription)
    assert isinstance(news[0], Reset)
    assert _ids(news) == [1, 2]
    assert isinstance(news[-1], UpToDate)
    assert [one.sequence for one in news] == sorted(one.sequence for one in news)


async def test_a_change_is_told_at_once_when_the_watch_is_woken() -> None:
    table = FakeTable()
    table.put(watched(1))
    async with watch_over(table) as watch, watch.subscribe(Wish()) as subscription:
        await _state(subscription)
        table.change(1, migration_status="running", stage="gh-ost: copying rows")
        watch.wake()
        changed = await _next(subscription)
        assert isinstance(changed, Changed)
        assert changed.migration.migration_status == "running"
        assert changed.sequence == watch.sequence


async def test_a_change_made_elsewhere_and_a_new_row_are_found_without_a_wake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch_module, "POLL_SECONDS", 0.05)
    table = FakeTable()
    table.put(watched(1))
    async with watch_over(table) as watch, watch.subscribe(Wish()) as subscription:
        await _state(subscription)
        table.change(1, migration_status="cancelled")
        table.put(watched(2, migration_status="complete"))
        news = [await _next(subscription), await _next(subscription)]
        assert sorted(_ids(news)) == [1, 2]


async def test_a_hundred_watchers_cost_one_reader() -> None:
    table = FakeTable()
    table.put(watched(1))
    async with watch_over(table) as watch, AsyncExitStack() as stack:
        subscriptions = [
            await stack.enter_async_context(watch.subscribe(Wish())) for _ in range(100)
        ]
        for subscription in subscriptions:
            await _state(subscription)
        looks = table.looks
        table.change(1, migration_status="running")
        watch.wake()
        for subscription in subscriptions:
            assert isinstance(await _next(subscription), Changed)
        assert table.looks <= looks + 2


async def test_nothing_is_read_while_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "POLL_SECONDS", 0.01)
    table = FakeTable()
    async with watch_over(table) as watch:
        async with watch.subscribe(Wish()):
            pass
        # What was begun when the last one left is still ended.
        await asyncio.sleep(0.1)
        looks = table.looks
        watch.wake()
        await asyncio.sleep(0.3)
        assert table.looks == looks


async def test_a_watch_goes_on_after_the_last_number_without_what_was_read() -> None:
    table = FakeTable()
    table.put(watched(1))
    table.put(watched(2))
    async with watch_over(table) as watch:
        async with watch.subscribe(Wish()) as subscription:
            last = (await _state(subscription))[-1].sequence
        table.change(2, migration_status="running")
        del table.by_id[1]
        wish = Wish(resume_series=watch.series, resume_after=last)
        async with watch.subscribe(wish) as subscription:
            news = await _state(subscription)
    assert not any(isinstance(one, Reset) for one in news)
    assert _ids(news) == [2]
    assert [one.migration.id for one in news if isinstance(one, Removed)] == [1]


@pytest.mark.parametrize("wish", [Wish(resume_series="of another run"), Wish(resume_after=99)])
async def test_a_number_that_is_not_known_begins_anew(wish: Wish) -> None:
    table = FakeTable()
    table.put(watched(1))
    async with watch_over(table) as watch, watch.subscribe(wish) as subscription:
        news = await _state(subscription)
    assert isinstance(news[0], Reset)
    assert _ids(news) == [1]


async def test_a_number_whose_removals_are_forgotten_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch_module, "REMOVED_MAX", 1)
    table = FakeTable()
    for number in (1, 2, 3):
        table.put(watched(number))
    async with watch_over(table) as watch:
        async with watch.subscribe(Wish()) as subscription:
            last = (await _state(subscription))[-1].sequence
        wish = Wish(resume_series=watch.series, resume_after=last)
        del table.by_id[1], table.by_id[2]
        async with watch.subscribe(wish) as subscription:
            # The removals themselves are younger than the number.
            news = await _state(subscription)
    assert isinstance(news[0], Reset)
    assert _ids(news) == [3]


async def test_filters_let_through_what_is_wanted() -> None:
    table = FakeTable()
    table.put(watched(1, migration_context="a"))
    table.put(watched(2, migration_context="b"))
    table.put(watched(3, migration_context="a", migration_status="failed"))
    uuid = table.by_id[2].migration_uuid
    async with watch_over(table) as watch:
        for wish, ids in (
            (Wish(migration_context="a"), [1, 3]),
            (Wish(uuids=frozenset({uuid})), [2]),
            (Wish(pending_only=True), [1, 2]),
        ):
            async with watch.subscribe(wish) as subscription:
                assert _ids(await _state(subscription)) == ids


async def test_one_that_ends_is_told_once_more_to_those_who_watch_pending_ones() -> None:
    table = FakeTable()
    table.put(watched(1))
    async with watch_over(table) as watch:
        async with watch.subscribe(Wish(pending_only=True)) as subscription:
            last = (await _state(subscription))[-1].sequence
            table.change(1, migration_status="complete")
            watch.wake()
            news = await _next(subscription)
            assert isinstance(news, Changed)
            assert news.migration.migration_status == "complete"
            table.change(1, artifacts="_a_del,")
            table.put(watched(2))
            watch.wake()
            assert _ids([await _next(subscription)]) == [2]
        wish = Wish(pending_only=True, resume_series=watch.series, resume_after=last)
        async with watch.subscribe(wish) as subscription:
            assert sorted(_ids(await _state(subscription))) == [1, 2]


async def test_a_reader_that_is_too_slow_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "BUFFER_MAX", 2)
    table = FakeTable()
    async with watch_over(table) as watch, watch.subscribe(Wish()) as subscription:
        await _state(subscription)
        for number in (1, 2, 3):
            table.put(watched(number))
        watch.wake()
        await eventually(lambda: subscription.is_ended)
        assert [*_ids([await _next(subscription), await _next(subscription)])] == [1, 2]
        with pytest.raises(TabletdError) as error:
            await _next(subscription)
    assert error.value.reason is Reason.SLOW_READER


async def test_silence_is_broken_by_a_sign_of_life_only_while_the_table_can_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch_module, "SIGN_OF_LIFE_SECONDS", 0.05)
    table = FakeTable()
    async with watch_over(table) as watch, watch.subscribe(Wish()) as subscription:
        await _state(subscription)
        assert isinstance(await _next(subscription), UpToDate)
        table.error = MySQLUnavailable("it is away")
        watch.wake()
        await eventually(lambda: not watch.is_current)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await anext(subscription)


async def test_all_streams_end_when_the_tablet_is_no_longer_the_primary() -> None:
    table = FakeTable()
    async with watch_over(table) as watch:
        async with watch.subscribe(Wish()) as subscription:
            await _state(subscription)
            await watch.make_non_primary()
            with pytest.raises(TabletdError) as error:
                await _next(subscription)
            assert error.value.reason is Reason.NOT_PRIMARY
        with pytest.raises(TabletdError) as refused:
            await _enter(watch)
        assert refused.value.reason is Reason.NOT_PRIMARY
        await watch.make_primary()
        async with watch.subscribe(Wish()) as subscription:
            await _state(subscription)


async def test_a_refusal_keeps_nothing_of_the_calls_that_were_refused_before() -> None:
    async with watch_over(FakeTable()) as watch:
        await watch.make_non_primary()
        lengths: list[int] = []
        for _ in range(3):
            with pytest.raises(TabletdError, match="not the primary") as refusal:
                await _enter(watch)
            lengths.append(len(refusal.traceback))
    assert lengths == lengths[:1] * 3


async def test_a_table_that_cannot_be_read_is_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "FIRST_LOOK_SECONDS_MAX", 0.2)
    table = FakeTable()
    table.error = MySQLUnavailable("it is away")
    async with watch_over(table) as watch:
        with pytest.raises(TabletdError) as error:
            await _enter(watch)
    assert error.value.reason is Reason.MYSQL_UNAVAILABLE


async def _enter(watch: Watch) -> None:
    async with watch.subscribe(Wish()):
        pass


@pytest.mark.parametrize(
    ("cells", "state"),
    [
        ({"migration_status": "queued", "eta_seconds": -1}, EtaState.NONE),
        ({"migration_status": "running", "eta_seconds": -1}, EtaState.NONE),
        ({"migration_status": "running", "eta_seconds": -1, "table_rows": 9}, EtaState.MEASURING),
        ({"migration_status": "running", "eta_seconds": 7}, EtaState.READY),
        ({"migration_status": "running", "eta_seconds": 0}, EtaState.DUE),
        ({"migration_status": "complete", "eta_seconds": 0}, EtaState.NONE),
    ],
)
def test_what_an_eta_is_worth(cells: dict[str, object], state: EtaState) -> None:
    assert watched(1, **cells).eta_state is state


async def test_the_first_state_is_not_older_than_the_call() -> None:
    table = FakeTable()
    async with watch_over(table) as watch, watch.subscribe(Wish()) as early:
        await _state(early)
        table.put(watched(1))
        async with watch.subscribe(Wish()) as late:
            assert _ids(await _state(late)) == [1]
