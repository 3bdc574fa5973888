from __future__ import annotations

import asyncio
import inspect
import threading

import pytest

from tabletd_client import Changed, Client, Status, TabletdClientError, UpToDate, sync
from tests.support.fake_fleet import FakeFleet, state


async def test_a_script_without_asyncio_submits_and_waits(fleet: FakeFleet) -> None:
    def script() -> list[Status]:
        with sync.connect(fleet.address) as client:
            submission = client.apply("commerce", "alter table t add i int", strategy="gh-ost")
            return [end.status for end in client.wait("commerce", submission.uuids)]

    fleet.tablets[100].put(state("COMPLETE"))
    assert await asyncio.to_thread(script) == [Status.COMPLETE]


async def test_a_script_without_asyncio_watches(fleet: FakeFleet) -> None:
    def script() -> list[Status]:
        seen: list[Status] = []
        with sync.connect(fleet.address) as client, client.watch("commerce") as events:
            for event in events:
                if isinstance(event, Changed):
                    seen.append(event.migration.status)
                if isinstance(event, UpToDate) and event.shard == "-80":
                    break
        return seen

    fleet.tablets[100].put(state("RUNNING"))
    assert await asyncio.to_thread(script) == [Status.RUNNING]
    assert "tabletd_client" not in {thread.name for thread in threading.enumerate()}


async def test_errors_come_through(fleet: FakeFleet) -> None:
    def script() -> None:
        with sync.connect(fleet.address) as client, client.watch("commerce", uuids=["x"]) as events:
            next(events)

    with pytest.raises(TabletdClientError, match="is no UUID"):
        await asyncio.to_thread(script)


def test_every_method_of_the_client_is_there() -> None:
    def methods(of: type[object]) -> set[str]:
        return {name for name, _ in inspect.getmembers(of, callable) if not name.startswith("_")}

    assert methods(sync.SyncClient) - {"run"} == methods(Client)
