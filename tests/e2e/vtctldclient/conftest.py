"""Two shards of each flavour, driven by Vitess's own client with the tool that fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tabletd.executor.names import create_uuid
from tabletd.mysql.privileges import Feature
from tabletd.sandbox.daemons import gh_ost_path
from tabletd.sandbox.releases import ReleaseName, find_release
from tests.support.servers import RealServer, missing_release
from tests.support.two_shards import SHARDS, TwoShards
from tests.support.vtctldclient import VERSIONS, VtctldClient, missing_program

# What clients ask for here and MySQL 5.7 wants SUPER for.
_ALSO = (Feature.FORCE_CUT_OVER, Feature.READ_ONLY)


@dataclass(frozen=True)
class Fleet:
    """Two shards and the tool that serves them.

    Attributes:
        shards: the servers and daemons.
        tool: "gh-ost" or "pt-osc".
        clients: each release of the client that is here, by version.
    """

    shards: TwoShards
    tool: str
    clients: dict[str, VtctldClient]

    def logs(self) -> dict[str, str]:
        """Return the logs of the shards."""
        return self.shards.logs()

    def table(self) -> str:
        """Create a table of nine rows on both shards; return its name."""
        name = f"t_{create_uuid()[:8]}"
        values = ", ".join(f"({number}, {number})" for number in range(9))
        self.shards.script(
            f"CREATE TABLE {name} (id int PRIMARY KEY, filled int)",
            f"INSERT INTO {name} VALUES {values}",
        )
        return name


@pytest.fixture(
    scope="package",
    params=[("mysql57_server", "gh-ost"), ("mariadb_server", "pt-osc")],
    ids=["gh-ost on MySQL 5.7", "pt-osc on MariaDB"],
)
def fleet(
    request: pytest.FixtureRequest,
    servers_directory: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Fleet]:
    missing = [missing_program(version) for version in VERSIONS]
    if all(missing):
        pytest.skip("; ".join(missing))
    fixture, tool = request.param
    if tool == "gh-ost":
        release = ReleaseName.MYSQL_57
        if gh_ost_path() is None:
            pytest.skip("no gh-ost: run scripts/setup.sh gh-ost")
        if reason := missing_release(release):
            pytest.skip(reason)
    else:
        release = ReleaseName.MARIADB
    directory = tmp_path_factory.mktemp(tool)
    first: RealServer = request.getfixturevalue(fixture)
    second = RealServer(find_release(release), servers_directory / f"{directory.name}-second")
    try:
        shards = TwoShards((first, second), directory, also=_ALSO)
        try:
            server = shards.daemons[SHARDS[0]].grpc
            clients = {
                version: VtctldClient(version, server, directory)
                for version in VERSIONS
                if not missing_program(version)
            }
            yield Fleet(shards, tool, clients)
        finally:
            shards.stop()
    finally:
        second.stop()


@pytest.fixture
def client(fleet: Fleet) -> Iterator[VtctldClient]:
    """The last release that knows gh-ost and pt-osc; nothing stays pending behind a test."""
    if reason := missing_program("0.21"):
        pytest.skip(reason)
    client = fleet.clients["0.21"]
    yield client
    client.verb("cancel")


@pytest.fixture
def newer(fleet: Fleet) -> Iterator[VtctldClient]:
    """The newest release."""
    if reason := missing_program("0.23"):
        pytest.skip(reason)
    client = fleet.clients["0.23"]
    yield client
    client.verb("cancel")
