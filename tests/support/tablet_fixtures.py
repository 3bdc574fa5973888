"""Daemons beside the real pairs, for a conftest to take: one set for all tests of its package."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemons import Case, TabletPair, wait_until_serving
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
                    report.sections.append((f"log of {daemon.alias}", daemon.log_tail(80)))
    return report
