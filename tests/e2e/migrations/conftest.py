"""Daemons beside the real pairs, one set for all tests of this package, found at work by each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from tabletd.sandbox.vexec_client import VExecClient
from tests.support.daemons import EVERY_CASE, Case, TabletPair, connected, wait_until_serving
from tests.support.servers import Pair


@pytest.fixture(scope="package")
def mariadb_tablets(
    mariadb_pair_servers: Pair, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TabletPair]:
    """Daemons beside the MariaDB pair."""
    yield from _tablets(mariadb_pair_servers, tmp_path_factory.mktemp("mariadb"))


@pytest.fixture(scope="package")
def mysql57_tablets(
    mysql57_pair_servers: Pair, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TabletPair]:
    """Daemons beside the MySQL 5.7 pair."""
    yield from _tablets(mysql57_pair_servers, tmp_path_factory.mktemp("mysql57"))


def _tablets(servers: Pair, directory: Path) -> Iterator[TabletPair]:
    pair = TabletPair(servers, directory)
    try:
        wait_until_serving(pair)
        yield pair
    finally:
        pair.stop()


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, Any]:
    """Show the ends of the daemons' logs under a test that failed."""
    report: pytest.TestReport = yield
    if report.failed:
        funcargs: dict[str, object] = getattr(item, "funcargs", {})
        for value in funcargs.values():
            found = value.tablets if isinstance(value, Case) else value
            if isinstance(found, TabletPair):
                for daemon in (found.primary, found.replica):
                    report.sections.append((f"log of {daemon.alias}", daemon.log_tail()))
    return report
