"""Servers with every setting that is in a migration's way, and a daemon without SUPER on each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import grpc.aio
import pytest

from tabletd.sandbox.accounts import create_daemon_account
from tabletd.sandbox.daemons import Daemon, start_daemon
from tabletd.sandbox.releases import ReleaseName, find_release
from tabletd.sandbox.vexec_client import VExecClient
from tests.e2e.server_settings.harsh import (
    KEYSPACE,
    OTHER_SCHEMA,
    HarshCase,
)
from tests.support.daemons import connected
from tests.support.processes import DIES_WITH_US
from tests.support.servers import RealServer, missing_release
from tests.support.waiting import eventually_blocking

_SERVER_OPTIONS = (
    "--lower-case-table-names=1",
    "--default-time-zone=+05:30",
    "--wait-timeout=1",
    "--interactive-timeout=1",
    "--innodb-lock-wait-timeout=1",
)
_DAEMON_SETTINGS = {
    "heartbeat_interval": "250ms",
    "health_check_interval": "1s",
    "max_concurrent_migrations": "4",
    "retain_artifacts": "0s",
    "table_gc_lifecycle": "drop",
    "gc_check_interval": "1s",
    "shutdown_grace": "2s",
    "on_stop": "cancel",
    "allowed_schemas": OTHER_SCHEMA,
}


def _harsh(name: ReleaseName, directory: Path, runs: Path) -> Iterator[tuple[RealServer, Daemon]]:
    reason = missing_release(name)
    if reason:
        pytest.skip(reason)
    server = RealServer(find_release(name), directory, options=_SERVER_OPTIONS)
    server.script(
        f"CREATE DATABASE {KEYSPACE} CHARACTER SET utf8mb4",
        f"CREATE DATABASE `{OTHER_SCHEMA}` CHARACTER SET utf8mb4",
    )
    create_daemon_account(server.server, keyspace=KEYSPACE, settings=_DAEMON_SETTINGS)
    daemon = start_daemon(
        server.server,
        runs,
        alias="zone1-0000000100",
        keyspace=KEYSPACE,
        settings=_DAEMON_SETTINGS,
        launcher=DIES_WITH_US,
    )
    try:
        eventually_blocking(HarshCase(server, daemon, "").is_serving, what="the daemon serves")
        yield server, daemon
    finally:
        daemon.terminate()
        server.stop()


@pytest.fixture(scope="package")
def harsh_mariadb(
    servers_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RealServer, Daemon]]:
    """A MariaDB with hard settings and its daemon."""
    runs = tmp_path_factory.mktemp("harsh-mariadb") / "daemon"
    yield from _harsh(ReleaseName.MARIADB, servers_directory / "harsh-mariadb", runs)


@pytest.fixture(scope="package")
def harsh_mysql57(
    servers_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RealServer, Daemon]]:
    """A MySQL 5.7 with hard settings and its daemon."""
    runs = tmp_path_factory.mktemp("harsh-mysql57") / "daemon"
    yield from _harsh(ReleaseName.MYSQL_57, servers_directory / "harsh-mysql57", runs)


@pytest.fixture(
    params=[
        pytest.param(("harsh_mysql57", "gh-ost"), id="gh-ost on MySQL 5.7"),
        pytest.param(("harsh_mariadb", "pt-osc"), id="pt-osc on MariaDB"),
    ]
)
def case(request: pytest.FixtureRequest) -> HarshCase:
    """One tool on one such server, in clean schemas."""
    fixture, strategy = request.param
    server, daemon = request.getfixturevalue(fixture)
    found = HarshCase(server, daemon, strategy)
    found.prepare()
    return found


@pytest.fixture
async def client(case: HarshCase) -> AsyncIterator[VExecClient]:
    """Speaks to the case's daemon."""
    async with connected(case.daemon) as client:
        yield client
        with suppress(grpc.aio.AioRpcError):
            await client.cancel_all()
