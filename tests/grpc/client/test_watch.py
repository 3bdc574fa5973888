from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd_client import (
    Changed,
    Client,
    Disconnected,
    Event,
    Removed,
    Status,
    TabletdClientError,
    UpToDate,
)
from tests.support.fake_fleet import OTHER_UUID, UUID, FakeFleet, state
from tests.support.waiting import eventually


async def _until(events: AsyncIterator[Event], kind: type[Event], count: int = 1) -> list[Event]:
    """Return the events up to the given number of one kind."""
    seen: list[Event] = []
    async with asyncio.timeout(60):
        while sum(isinstance(event, kind) for event in seen) < count:
            seen.append(await anext(events))
    return seen


async def _next(events: AsyncIterator[Event]) -> Event:
    async with asyncio.timeout(60):
        return await anext(events)


async def _watched(fleet: FakeFleet, uid: int) -> None:
    await eventually(lambda: fleet.tablets[uid].watchers)


async def test_a_watch_begins_with_the_state_of_every_shard(
    fleet: FakeFleet, client: Client
) -> None:
    fleet.tablets[100].put(state("RUNNING"))
    fleet.tablets[200].put(state("QUEUED", shard="80-"))
    async with client.watch("commerce") as events:
        seen = await _until(events, UpToDate, 2)
    states = {
        (event.migration.shard, event.migration.status)
        for event in seen
        if isinstance(event, Changed)
    }
    assert states == {("-80", Status.RUNNING), ("80-", Status.QUEUED)}


async def test_changes_and_removals_are_told_as_they_come(fleet: FakeFleet, client: Client) -> None:
    async with client.watch("commerce") as events:
        await _until(events, UpToDate, 2)
        fleet.tablets[100].put(state("RUNNING", rows_copied=7, rows_estimated=9))
        changed = await _next(events)
        assert isinstance(changed, Changed)
        assert (changed.migration.rows_copied, changed.migration.rows_estimated) == (7, 9)
        fleet.tablets[100].remove(UUID)
        assert await _next(events) == Removed(UUID, "commerce", "-80")


async def test_a_broken_watch_resumes_after_the_last_sequence_that_was_read(
    fleet: FakeFleet, client: Client
) -> None:
    tablet = fleet.tablets[100]
    tablet.put(state("QUEUED"))
    async with client.watch("commerce") as events:
        await _until(events, UpToDate, 2)
        tablet.failing["Watch"] = TabletdError(Reason.TOO_MANY_CALLS, "too many")
        fleet.tablets[100].put(state("RUNNING"))
        assert isinstance(await _next(events), Changed)
        # The stream is cut while the daemon lives on.
        await tablet.cut()
        lost = await _next(events)
        assert isinstance(lost, Disconnected)
        tablet.failing.clear()
        tablet.put(state("COMPLETE"))
        seen = await _until(events, UpToDate)
    assert tablet.watches[-1].resume_series == tablet.series
    assert tablet.watches[-1].resume_after == 2
    assert [e.migration.status for e in seen if isinstance(e, Changed)] == [Status.COMPLETE]


async def test_after_a_restart_only_what_differs_is_told(fleet: FakeFleet, client: Client) -> None:
    tablet = fleet.tablets[100]
    tablet.put(state("RUNNING"), state("QUEUED", uuid=OTHER_UUID))
    async with client.watch("commerce") as events:
        await _until(events, UpToDate, 2)
        await tablet.stop()
        lost = await _next(events)
        assert isinstance(lost, Disconnected)
        assert (lost.shard, lost.reason) == ("-80", "NOT_REACHABLE")
        del tablet.states[OTHER_UUID]
        await tablet.start()
        assert await _next(events) == Removed(OTHER_UUID, "commerce", "-80")
        assert await _next(events) == UpToDate("commerce", "-80")


async def test_a_moved_primary_is_found_again(fleet: FakeFleet, client: Client) -> None:
    old, new = fleet.tablets[100], fleet.tablets[101]
    old.put(state("RUNNING"))
    async with client.watch("commerce") as events:
        await _until(events, UpToDate, 2)
        new.put(state("FAILED", message="tablet failure"))
        old.kind, new.kind = "REPLICA", "PRIMARY"
        await old.stop()
        await _until(events, Disconnected)
        changed = await _next(events)
    assert isinstance(changed, Changed)
    assert (changed.migration.status, changed.migration.message) == (
        Status.FAILED,
        "tablet failure",
    )


async def test_the_end_of_a_pending_migration_is_told_even_when_it_came_during_an_outage(
    fleet: FakeFleet, client: Client
) -> None:
    tablet = fleet.tablets[100]
    tablet.put(state("RUNNING"), state("FAILED", uuid=OTHER_UUID))
    async with client.watch("commerce", pending_only=True) as events:
        first = await _until(events, UpToDate, 2)
        assert [e.migration.uuid for e in first if isinstance(e, Changed)] == [UUID]
        await tablet.stop()
        await _until(events, Disconnected)
        tablet.states[UUID] = state("COMPLETE")
        await tablet.start()
        changed = await _next(events)
    assert isinstance(changed, Changed)
    assert changed.migration.status is Status.COMPLETE


async def test_what_a_shard_refuses_for_good_ends_the_watch(
    fleet: FakeFleet, client: Client
) -> None:
    fleet.tablets[200].failing["Watch"] = TabletdError(Reason.PERMISSION_DENIED, "not you")
    with pytest.raises(TabletdClientError) as caught:
        async with client.watch("commerce") as events:
            await _until(events, UpToDate, 2)
    assert (caught.value.reason, caught.value.message) == ("PERMISSION_DENIED", "not you")


async def test_an_error_of_the_caller_leaves_the_watch_as_it_is(client: Client) -> None:
    with pytest.raises(ValueError, match="mine"):
        async with client.watch("commerce"):
            raise ValueError("mine")


async def test_leaving_a_watch_ends_its_streams(fleet: FakeFleet, client: Client) -> None:
    async with client.watch("commerce") as events:
        await _until(events, UpToDate, 2)
        assert (fleet.tablets[100].watchers, fleet.tablets[200].watchers) == (1, 1)
    await eventually(lambda: not any(fleet.tablets[uid].watchers for uid in (100, 200)))


async def test_filters_are_the_servers(fleet: FakeFleet, client: Client) -> None:
    fleet.tablets[100].put(state("RUNNING"), state("QUEUED", uuid=OTHER_UUID))
    async with client.watch("commerce", uuids=[UUID.upper()], context="release-7") as events:
        seen = await _until(events, UpToDate, 2)
    assert [e.migration.uuid for e in seen if isinstance(e, Changed)] == [UUID]
    assert list(fleet.tablets[200].watches[0].uuids) == [UUID]


async def test_waiting_ends_with_the_last_shard(fleet: FakeFleet, client: Client) -> None:
    fleet.tablets[100].put(state("COMPLETE"))
    fleet.tablets[200].put(state("RUNNING", shard="80-"))
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        waiting = group.create_task(client.wait("commerce", [UUID]))
        await _watched(fleet, 200)
        assert not waiting.done()
        fleet.tablets[200].put(state("FAILED", shard="80-", message="it broke"))
    ends = {(end.shard, end.status, end.message) for end in waiting.result()}
    assert ends == {("-80", Status.COMPLETE, ""), ("80-", Status.FAILED, "it broke")}


async def test_waiting_for_what_is_not_there_says_so(client: Client) -> None:
    with pytest.raises(TabletdClientError) as caught:
        await client.wait("commerce", [UUID])
    assert caught.value.reason == "MIGRATION_NOT_FOUND"


async def test_waiting_goes_on_while_a_failed_tablets_migration_is_to_be_tried_again(
    client: Client, fleet: FakeFleet
) -> None:
    tablet = fleet.tablets[100]
    tablet.put(state("FAILED", tablet_failure=True))
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        waiting = group.create_task(client.wait("commerce", [UUID]))
        await _watched(fleet, 100)
        tablet.put(state("RUNNING", retries=1))
        tablet.put(state("FAILED", tablet_failure=True, retries=1))
    (ended,) = waiting.result()
    assert (ended.status, ended.retries) == (Status.FAILED, 1)
