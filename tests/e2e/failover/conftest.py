"""Daemons beside the real pairs, whose roles the tests of this package change."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.daemons import Case, TabletPair
from tests.support.failover import forget_history, keep_history
from tests.support.tablet_fixtures import mariadb_tablets, mysql57_tablets

__all__ = ["mariadb_tablets", "mysql57_tablets"]


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    """One tool on one server, in a clean schema, each state of a row noted."""
    fixture, strategy = request.param
    tablets: TabletPair = request.getfixturevalue(fixture)
    tablets.heal()
    keep_history(tablets.servers.primary)
    yield Case(tablets, strategy)
    forget_history(tablets.servers.primary)
