"""The wheel, installed as its users do: into an empty environment, by each interpreter there is.

By default one set of libraries for each interpreter, the oldest that are allowed among them;
`make dist-test` has all (`DIST_TEST=whole`).
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tabletd import __version__
from tests.dist.conftest import Distribution
from tests.dist.environments import Environment, Interpreter, bare_environment, interpreters, wheels
from tests.support.waiting import eventually_blocking

NEWEST: Final = "server"
OLDEST: Final = "oldest"
NEWEST_CLIENT: Final = "newest-client"
OWN_VERSION: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
IMPORTS: Final = """
import pathlib, tabletd_client, tabletd_client.client, tabletd_client.sync, tabletd_pb
for stub in pathlib.Path(tabletd_pb.__file__).parent.glob("*_pb2*.py"):
    __import__(f"tabletd_pb.{stub.stem}")
for name in tabletd_client.__all__:
    getattr(tabletd_client, name)
"""
PING: Final = """
import grpc, sys
from tabletd_pb import tabletmanagerdata_pb2 as data, tabletmanagerservice_pb2_grpc as service
with grpc.insecure_channel(sys.argv[1]) as channel:
    stub = service.TabletManagerStub(channel)
    print(stub.Ping(data.PingRequest(payload="hello"), timeout=60).payload)
"""

ANSWER: Final = """
import concurrent.futures, grpc, sys
from tabletd_pb import tabletmanagerdata_pb2 as data, tabletmanagerservice_pb2_grpc as service
class Tablet(service.TabletManagerServicer):
    def Ping(self, request, context):
        return data.PingResponse(payload=request.payload)
server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
service.add_TabletManagerServicer_to_server(Tablet(), server)
sys.argv[1:] = [f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"]
server.start()
"""


def cases() -> list[tuple[Interpreter, str]]:
    """Return interpreters and the libraries to try them with."""
    whole = os.environ.get("DIST_TEST") == "whole"
    return [
        (interpreter, libraries)
        for interpreter in interpreters()
        for libraries in (OLDEST, NEWEST)
        if whole or (libraries == OLDEST) == (interpreter.version == OWN_VERSION)
    ]


@pytest.fixture(params=cases(), ids=lambda case: f"{case[0].version} {case[1]}")
def environment(
    request: pytest.FixtureRequest, distribution: Distribution, tmp_path: Path
) -> Environment:
    """An empty environment that the wheel and what it needs can be installed into."""
    interpreter, libraries = request.param
    return empty_environment(interpreter, libraries, distribution, tmp_path)


def empty_environment(
    interpreter: Interpreter, libraries: str, distribution: Distribution, directory: Path
) -> Environment:
    """Make one for these libraries; without their wheels the test is skipped."""
    fetched = wheels(libraries, interpreter)
    if fetched is None:
        pytest.skip(f"no wheels for Python {interpreter.version}: scripts/setup.sh wheels")
    return Environment(interpreter, directory / "env", fetched, distribution.wheel.parent)


@contextmanager
def daemon(environment: Environment, directory: Path) -> Generator[tuple[str, str]]:
    """Run the installed daemon without a server; yields its gRPC and HTTP addresses."""
    log = directory / "log"
    command: list[str | Path] = [
        environment.program("tabletd"), "serve", "--tablet-alias=zone1-1", "--keyspace=shop",
        f"--mysql-socket={directory}/none", "--grpc-port=0", "--http-port=0",
        f"--run-directory={directory}/run",
    ]  # fmt: skip
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, stderr=sink, stdout=sink, env=bare_environment(), cwd=directory
        )
    try:
        serving = eventually_blocking(
            lambda: (
                re.search(r"serving .*grpc=(\S+) http=(\S+)", log.read_text())
                or process.poll() is not None
            )
        )
        assert isinstance(serving, re.Match), log.read_text()
        yield serving[1], serving[2]
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0, log.read_text()
        assert "Traceback" not in log.read_text()
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_each_extra_brings_what_its_command_needs_and_the_base_no_more_than_a_client(
    environment: Environment, tmp_path: Path
) -> None:
    environment.install("tabletd")
    assert environment.packages().keys() - {"typing_extensions"} == {
        "grpcio", "protobuf", "tabletd",
    }  # fmt: skip
    environment.python(IMPORTS)
    assert "pip install 'tabletd[cli]'" in environment.run("tabletctl", "--help").stderr

    environment.install("tabletd[cli]")
    assert "Usage: tabletctl" in environment.run("tabletctl", "--help").stdout
    assert "# TIMEOUT" in environment.run("tabletctl", "explain-error", "TIMEOUT").stdout

    environment.install("tabletd[server]")
    environment.check()
    assert f"tabletd {__version__}" in environment.run("tabletd", "--version").stdout
    assert "TABLETD_CONFIG" in environment.run("tabletd", "serve", "--help").stdout
    good = ("--tablet-alias=zone1-1", "--keyspace=shop")
    assert "is valid" in environment.run("tabletd", "config", "check", *good).stdout

    with daemon(environment, tmp_path) as (grpc, http):
        assert environment.run("python", "-c", PING, grpc).stdout == "hello\n"
        with urllib.request.urlopen(f"http://{http}/metrics", timeout=60) as page:
            assert b"tabletd_" in page.read()


@pytest.mark.slow
@pytest.mark.parametrize("interpreter", interpreters(), ids=lambda one: one.version)
def test_clients_work_with_newer_libraries_than_the_daemon_may_have(
    interpreter: Interpreter, distribution: Distribution, tmp_path: Path
) -> None:
    client = empty_environment(interpreter, NEWEST_CLIENT, distribution, tmp_path)
    client.install("tabletd[cli]")
    client.check()
    assert _release(client.packages()["grpcio"]) >= (1, 84)
    client.python(IMPORTS)
    assert client.python(ANSWER + PING) == "hello\n"
    assert "# TIMEOUT" in client.run("tabletctl", "explain-error", "TIMEOUT").stdout


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])
