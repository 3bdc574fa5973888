"""Who is asked about the primary of our shard."""

from __future__ import annotations

import pytest

from tabletd.app.primary import PrimaryDaemon
from tabletd.errors import Reason, TabletdError
from tabletd.heartbeat import WriterQuestion
from tabletd.topology import Layout, StaticTopology, TabletPlace
from tests.support.clock import FakeClock
from tests.support.fakes_lag import FakeWriterDaemon

QUESTION = WriterQuestion(0, 0, want_heartbeats=False)
REPLICA = TabletPlace("zone1", 101, "commerce", "0", "127.0.0.1", 16101)


def without_primary() -> StaticTopology:
    """Return what a replica knows that was told of itself only."""
    return StaticTopology(Layout((REPLICA,)), clock=FakeClock())


async def test_where_no_daemon_of_the_primary_is_known_its_server_is_asked() -> None:
    server = FakeWriterDaemon(FakeClock())
    primary = PrimaryDaemon(without_primary(), keyspace="commerce", shard="0", server=server)
    await primary.ask(QUESTION, timeout_seconds=1)
    assert server.questions == [QUESTION]


async def test_where_neither_is_known_it_is_said_which_setting_names_them() -> None:
    primary = PrimaryDaemon(without_primary(), keyspace="commerce", shard="0")
    with pytest.raises(TabletdError, match=r"topology_file.*primary_sql") as refusal:
        await primary.ask(QUESTION, timeout_seconds=1)
    assert refusal.value.reason is Reason.NO_PRIMARY
