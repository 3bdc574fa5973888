"""Daemons beside the real pairs, one set for all tests of this package, found at work by each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress

import grpc.aio
import pytest

from tabletd.sandbox.vexec_client import VExecClient
from tests.support.daemons import EVERY_CASE, Case, TabletPair, connected
from tests.support.tablet_fixtures import mariadb_tablets, mysql57_tablets

__all__ = ["mariadb_tablets", "mysql57_tablets"]


@pytest.fixture(params=EVERY_CASE)
def case(request: pytest.FixtureRequest) -> Case:
    """One tool on one server, in a clean schema: every case, where a test does not choose."""
    fixture, strategy = request.param
    tablets: TabletPair = request.getfixturevalue(fixture)
    tablets.heal()
    return Case(tablets, strategy)


@pytest.fixture(params=["mysql57_tablets", "mariadb_tablets"], ids=["MySQL 5.7", "MariaDB"])
def tablets(request: pytest.FixtureRequest) -> TabletPair:
    """Each pair, in a clean schema."""
    pair: TabletPair = request.getfixturevalue(request.param)
    pair.heal()
    return pair


@pytest.fixture
async def client(case: Case) -> AsyncIterator[VExecClient]:
    """Speaks to the daemon of the case's primary."""
    async with connected(case.tablets.primary) as client:
        yield client
        # What a failed test leaves pending would hold up every test after it.
        with suppress(grpc.aio.AioRpcError):
            await client.cancel_all()
