"""Fixtures for all tests: real servers, and a watch over blocking calls in the event loop."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Protocol

import grpc
import grpc.aio
import psutil
import pytest
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, settings

from tabletd.sandbox.releases import ReleaseName, find_release
from tests.support.logs import Logging
from tests.support.servers import Pair, RealServer, missing_release

_DIRECTORY_PREFIX = "tabletd-tests-"

# The same examples everywhere, for as long as a machine takes for them.
settings.register_profile(
    "tests", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")

# Else each daemon and command that a test starts would compile the whole program anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell ignores SIGINT for what it starts in the background, and programs that tests start and
# interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


class StartServer(Protocol):
    """Start a server that belongs to one test; arguments as those of `RealServer`."""

    def __call__(
        self,
        name: str = "mariadb",
        *,
        primary: RealServer | None = None,
        options: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
    ) -> RealServer: ...


@pytest.fixture(scope="session")
def servers_directory() -> Iterator[Path]:
    """Where the servers of this run live: short, for their sockets; swept when a run was killed."""
    root = Path(tempfile.gettempdir())
    for old in root.glob(f"{_DIRECTORY_PREFIX}*"):
        owner = old.name.removeprefix(_DIRECTORY_PREFIX).split("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(old, ignore_errors=True)
    own = psutil.Process().pid
    directory = Path(tempfile.mkdtemp(prefix=f"{_DIRECTORY_PREFIX}{own}-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def _running(name: ReleaseName, directory: Path) -> Iterator[RealServer]:
    reason = missing_release(name)
    if reason:
        pytest.skip(reason)
    server = RealServer(find_release(name), directory)
    yield server
    server.stop()


def _pair(primary: RealServer, directory: Path) -> Iterator[Pair]:
    replica = RealServer(primary.release, directory / "replica", primary=primary)
    pair = Pair(primary, replica, directory)
    yield pair
    pair.replica.stop()


@pytest.fixture(scope="session")
def mariadb_server(servers_directory: Path) -> Iterator[RealServer]:
    """A MariaDB 10.11 primary for the whole run, as the last test left it."""
    yield from _running(ReleaseName.MARIADB, servers_directory / "mariadb")


@pytest.fixture(scope="session")
def mysql57_server(servers_directory: Path) -> Iterator[RealServer]:
    """A MySQL 5.7 primary for the whole run, as the last test left it."""
    yield from _running(ReleaseName.MYSQL_57, servers_directory / "mysql57")


@pytest.fixture(scope="session")
def mariadb_pair_servers(mariadb_server: RealServer, servers_directory: Path) -> Iterator[Pair]:
    """The MariaDB primary with a replica, as the last test left them."""
    yield from _pair(mariadb_server, servers_directory / "mariadb-pair")


@pytest.fixture(scope="session")
def mysql57_pair_servers(mysql57_server: RealServer, servers_directory: Path) -> Iterator[Pair]:
    """The MySQL 5.7 primary with a replica, as the last test left them."""
    yield from _pair(mysql57_server, servers_directory / "mysql57-pair")


@pytest.fixture
def mariadb(mariadb_server: RealServer) -> RealServer:
    """A MariaDB 10.11 primary, as good as new: nothing of an earlier test."""
    mariadb_server.reset()
    return mariadb_server


@pytest.fixture
def mysql57(mysql57_server: RealServer) -> RealServer:
    """A MySQL 5.7 primary, as good as new."""
    mysql57_server.reset()
    return mysql57_server


@pytest.fixture
def mariadb_pair(mariadb_pair_servers: Pair) -> Pair:
    """A MariaDB primary and its replica, as good as new; the replica has caught up."""
    mariadb_pair_servers.reset()
    return mariadb_pair_servers


@pytest.fixture
def mysql57_pair(mysql57_pair_servers: Pair) -> Pair:
    """A MySQL 5.7 primary and its replica, as good as new; the replica has caught up."""
    mysql57_pair_servers.reset()
    return mysql57_pair_servers


@pytest.fixture(params=["mariadb", "mysql57"])
def any_server(request: pytest.FixtureRequest) -> RealServer:
    """Each flavour's primary in turn."""
    server: RealServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture(params=["mariadb_pair", "mysql57_pair"])
def any_pair(request: pytest.FixtureRequest) -> Pair:
    """Each flavour's pair in turn."""
    pair: Pair = request.getfixturevalue(request.param)
    return pair


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """The name of a new schema on the server, or on the pair's primary, that the test asks for.

    The next use of the server drops it.
    """
    for name in ("any_server", "any_pair", "mariadb_pair", "mysql57_pair", "mysql57", "mariadb"):
        if name in request.fixturenames:
            found = request.getfixturevalue(name)
            server = found.primary if isinstance(found, Pair) else found
            assert isinstance(server, RealServer)
            return server.create_database()
    raise LookupError("the fixture `database` needs a server: ask for one of them first")


@pytest.fixture
def start_server(servers_directory: Path) -> Iterator[StartServer]:
    """Start servers that belong to this test alone, for what cannot be undone."""
    started: list[RealServer] = []
    numbers = itertools.count(1)
    base = Path(tempfile.mkdtemp(prefix="own-", dir=servers_directory))

    def start(
        name: str = "mariadb",
        *,
        primary: RealServer | None = None,
        options: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
    ) -> RealServer:
        release_name = ReleaseName(name)
        reason = missing_release(release_name)
        if reason:
            pytest.skip(reason)
        server = RealServer(
            find_release(release_name),
            base / str(next(numbers)),
            primary=primary,
            options=options,
            environment=environment,
        )
        started.append(server)
        return server

    yield start
    for server in reversed(started):
        server.stop()


@pytest.fixture(autouse=True)
def no_blocking_calls_in_the_event_loop() -> Iterator[None]:
    """Fail a test in which the daemon's code blocks the loop; short file operations are allowed."""
    with blockbuster_ctx(scanned_modules=["tabletd"]) as blockbuster:
        for name, function in blockbuster.functions.items():
            if name.startswith(("os.", "io.", "builtins.")):
                function.deactivate()
        yield


@pytest.fixture(scope="session", autouse=True)
def grpc_stays_up() -> Iterator[None]:
    """Keep gRPC's poller for the whole session, as one daemon does for its life.

    It would end with its last user: when that is collected, in whatever test that happens, which
    blocks there and leaves a socket to the next collection.
    """
    grpc.aio.init_grpc_aio()
    yield
    grpc.aio.shutdown_grpc_aio()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, Any]:
    """Show the ends of the logs of servers and daemons under a test that failed."""
    report: pytest.TestReport = yield
    if report.failed:
        funcargs: dict[str, object] = getattr(item, "funcargs", {})
        for name, value in funcargs.items():
            if isinstance(value, Logging):
                for title, text in value.logs().items():
                    report.sections.append((f"log of {name}, {title}", text))
    return report
