"""Daemons beside the real pairs, for a conftest to take: one set for all tests of its package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemons import TabletPair, wait_until_serving
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
