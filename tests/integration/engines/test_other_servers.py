"""Servers that not every machine has: MySQL 8.0.12 and MariaDB 11.4."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.executor.migration import Strategy
from tabletd.executor.states import Status
from tabletd.mysql.privileges import Feature
from tabletd.sandbox.accounts import DAEMON_PASSWORD, DAEMON_USER, create_daemon_account
from tests.conftest import StartServer
from tests.integration.engines.rig import Rig, rig_on
from tests.support.pools import pool_of
from tests.support.servers import RealServer

pytestmark = pytest.mark.slow
ADD = "ALTER TABLE orders ADD COLUMN extra INT"
# What a comparison finds equal on the one server it may find different on another.
CHANGE = (
    f"{ADD}, MODIFY id INT UNSIGNED NOT NULL AUTO_INCREMENT, MODIFY amount DECIMAL(16,4) NOT NULL, "
    "MODIFY code VARCHAR(30) CHARACTER SET latin1 NOT NULL, MODIFY note TEXT"
)
NARROW = "ALTER TABLE orders MODIFY code VARCHAR(3) NOT NULL"


async def narrowing_is_refused(
    rig: Rig, strategy: Strategy, *, allow_unsafe_cutover: bool = False
) -> None:
    with pytest.raises(TabletdError, match=r"of code that does not fit \(id = ") as refused:
        await rig.run(strategy, NARROW, allow_unsafe_cutover=allow_unsafe_cutover)
    assert refused.value.reason is Reason.PREFLIGHT_REFUSED


@asynccontextmanager
async def rig_with_exact_grants(server: RealServer, tmp_path: Path) -> AsyncGenerator[Rig]:
    """Engines that work with the daemon's own account, as `tabletd grants` prints it."""
    schema = server.create_database()
    server.query("SET GLOBAL log_bin_trust_function_creators = 1")
    make = partial(create_daemon_account, keyspace=schema, also=tuple(Feature))
    await asyncio.to_thread(make, server.server)
    daemon = pool_of(server, user=DAEMON_USER, password=DAEMON_PASSWORD, size_max=8)
    async with rig_on(server, schema, tmp_path) as rig, daemon as pool:
        rig.pool = pool
        rig.create_orders(1000)
        yield rig


@pytest.fixture
async def mysql80_rig(start_server: StartServer, tmp_path: Path) -> AsyncIterator[Rig]:
    """Engines on MySQL 8.0.12."""
    server = await asyncio.to_thread(start_server, "mysql-8.0")
    async with rig_with_exact_grants(server, tmp_path) as rig:
        yield rig


@pytest.fixture
async def mariadb114_rig(start_server: StartServer, tmp_path: Path) -> AsyncIterator[Rig]:
    """Engines on MariaDB 11.4."""
    server = await asyncio.to_thread(start_server, "mariadb-11.4")
    async with rig_with_exact_grants(server, tmp_path) as rig:
        yield rig


async def test_pt_osc_on_mysql_8(mysql80_rig: Rig) -> None:
    await narrowing_is_refused(mysql80_rig, Strategy.PT_OSC)
    outcome, _ = await mysql80_rig.run(Strategy.PT_OSC, CHANGE)
    assert outcome.status is Status.COMPLETE, outcome
    assert mysql80_rig.leftovers(outcome.old_table) == []


async def test_gh_ost_on_mysql_8_0_12_is_refused_and_run_unsafely_only_by_the_operator(
    mysql80_rig: Rig,
) -> None:
    rig = mysql80_rig
    with pytest.raises(TabletdError) as refused:
        await rig.run(Strategy.GH_OST, ADD)
    assert refused.value.reason is Reason.UNSUPPORTED_SERVER

    await narrowing_is_refused(rig, Strategy.GH_OST, allow_unsafe_cutover=True)
    outcome, record = await rig.run(Strategy.GH_OST, CHANGE, allow_unsafe_cutover=True)
    assert outcome.status is Status.COMPLETE, outcome
    assert "--cut-over=two-step" in outcome.message
    assert any("writes may get lost" in message for message in record.messages)
    assert rig.leftovers(outcome.old_table) == []


async def test_direct_on_mysql_8(mysql80_rig: Rig) -> None:
    outcome, _ = await mysql80_rig.run(Strategy.DIRECT, ADD)
    assert outcome.status is Status.COMPLETE, outcome


async def test_pt_osc_on_mariadb_11_4(mariadb114_rig: Rig) -> None:
    await narrowing_is_refused(mariadb114_rig, Strategy.PT_OSC)
    outcome, _ = await mariadb114_rig.run(Strategy.PT_OSC, CHANGE)
    assert outcome.status is Status.COMPLETE, outcome
    assert mariadb114_rig.leftovers(outcome.old_table) == []
