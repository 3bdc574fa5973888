"""Rigs for the tests of the engines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tabletd.executor.migration import Strategy
from tests.integration.engines.rig import Rig, rig_on
from tests.support.servers import RealServer


@pytest.fixture
async def mysql_rig(mysql57: RealServer, database: str, tmp_path: Path) -> AsyncIterator[Rig]:
    """Engines on MySQL 5.7."""
    async with rig_on(mysql57, database, tmp_path) as rig:
        rig.server.query("SET GLOBAL log_bin_trust_function_creators = 1")
        yield rig


@pytest.fixture
async def mariadb_rig(mariadb: RealServer, database: str, tmp_path: Path) -> AsyncIterator[Rig]:
    """Engines on MariaDB 10.11."""
    async with rig_on(mariadb, database, tmp_path) as rig:
        rig.server.query("SET GLOBAL log_bin_trust_function_creators = 1")
        yield rig


@pytest.fixture
def telling_mariadb_rig(mariadb_rig: Rig) -> Iterator[Rig]:
    """Engines on a MariaDB that tells who holds metadata locks."""
    with mariadb_rig.server.telling_lock_holders():
        yield mariadb_rig


@pytest.fixture(params=["mysql_rig", "mariadb_rig"])
def any_rig(request: pytest.FixtureRequest) -> Rig:
    """Each flavour's rig in turn."""
    rig: Rig = request.getfixturevalue(request.param)
    return rig


@pytest.fixture(
    params=[
        (Strategy.GH_OST, "mysql_rig"),
        (Strategy.PT_OSC, "mysql_rig"),
        (Strategy.PT_OSC, "mariadb_rig"),
    ],
    ids=["gh-ost-mysql57", "pt-osc-mysql57", "pt-osc-mariadb"],
)
def tool_and_rig(request: pytest.FixtureRequest) -> tuple[Strategy, Rig]:
    """Each tool on the servers that it serves."""
    strategy, name = request.param
    return strategy, request.getfixturevalue(name)
