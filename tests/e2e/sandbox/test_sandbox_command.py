"""`tabletd sandbox` as a user types it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import psutil
import pymysql
import pytest

from tabletd.sandbox.vexec_client import vexec_client
from tabletd.topology import read_layout
from tests.support.waiting import eventually


class RunTabletd(Protocol):
    """Run `tabletd sandbox ...` in a directory for temporary files of the test's own."""

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def sandbox(servers_directory: Path) -> Iterator[RunTabletd]:
    directory = servers_directory / "sandboxes"
    directory.mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(directory)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tabletd", "sandbox", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=170,
        )

    yield run
    run("stop", "--all")
    assert processes_in(directory) == []


def processes_in(directory: Path) -> list[str]:
    found: list[str] = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if any(f"{directory}/" in word for word in words):
            found.append(" ".join(words)[:200])
    return found


def started(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_what_is_refused_is_not_said_to_start(sandbox: RunTabletd) -> None:
    for wrong in (("--name", "../x"), ("--shards", "0,1"), ("--replicas", "-1")):
        done = sandbox("start", *wrong)
        assert (done.returncode, done.stdout) == (1, ""), wrong


def test_start_prints_every_tablet_as_json_and_stop_leaves_nothing(
    sandbox: RunTabletd, servers_directory: Path
) -> None:
    record = started(sandbox("start", "--json", "--keyspace", "shop"))

    assert record["name"] == "default"
    assert record["keyspace"] == "shop"
    primary, replica = record["tablets"]
    assert (primary["alias"], primary["type"], primary["shard"]) == (
        "zone1-0000000100",
        "primary",
        "0",
    )
    assert (replica["alias"], replica["type"]) == ("zone1-0000000101", "replica")
    assert set(primary) == {
        *("alias", "type", "shard", "mysql_host", "mysql_port", "mysql_socket", "grpc", "http"),
    }
    for tablet in record["tablets"]:
        with urllib.request.urlopen(f"http://{tablet['http']}/debug/vars", timeout=60) as answer:
            assert answer.status == 200
    status = json.loads(sandbox("status", "--json").stdout)
    assert [tablet["tabletd_running"] for tablet in status[0]["tablets"]] == [True, True]

    assert sandbox("stop").returncode == 0

    assert processes_in(servers_directory / "sandboxes") == []
    assert list((servers_directory / "sandboxes").glob("*/default")) == []


def test_sandboxes_with_names_live_side_by_side(
    sandbox: RunTabletd, servers_directory: Path
) -> None:
    first = started(sandbox("start", "--json", "--name", "one", "--replicas", "0"))
    taken = sandbox("start", "--json", "--name", "one")
    second = started(
        sandbox("start", "--json", "--name", "two", "--replicas", "0", "--shards", "-80,80-")
    )

    assert taken.returncode == 1
    assert "there is a sandbox named one already" in taken.stderr
    assert [tablet["shard"] for tablet in second["tablets"]] == ["-80", "80-"]
    (topology,) = (servers_directory / "sandboxes").glob("*/two/topology.toml")
    listed = read_layout(topology).tablets
    assert [
        (place.alias, place.shard, place.grpc_address, place.mysql_port) for place in listed
    ] == [
        (tablet["alias"], tablet["shard"], tablet["grpc"], tablet["mysql_port"])
        for tablet in second["tablets"]
    ]
    assert sandbox("stop", "--name", "two").returncode == 0
    status = json.loads(sandbox("status", "--json").stdout)
    assert [each["name"] for each in status] == ["one"]
    assert status[0]["tablets"][0]["mysql_port"] == first["tablets"][0]["mysql_port"]
    assert status[0]["tablets"][0]["mysql_running"]


def test_stop_ends_what_a_killed_start_left(sandbox: RunTabletd, servers_directory: Path) -> None:
    started(sandbox("start", "--json", "--name", "torn", "--replicas", "0"))
    for state in (servers_directory / "sandboxes").glob("*/torn/sandbox.json"):
        state.unlink()

    assert sandbox("stop", "--name", "torn").returncode == 0

    assert processes_in(servers_directory / "sandboxes") == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("stop", "--name", "nobody"), "there is no sandbox named nobody"),
        (("start", "--name", "../x"), "is no sandbox name"),
        (("start", "--shards", "80"), "'80' is no shard"),
        (("start", "--server", "oracle"), "oracle"),
    ],
)
def test_a_mistake_is_answered_in_one_line_without_a_traceback(
    sandbox: RunTabletd, arguments: tuple[str, ...], text: str
) -> None:
    done = sandbox(*arguments)

    assert done.returncode in (1, 2)
    assert text in done.stderr
    assert "Traceback" not in done.stderr


async def test_stop_in_the_middle_of_a_migration_leaves_nothing(
    sandbox: RunTabletd, servers_directory: Path
) -> None:
    record = started(await asyncio.to_thread(sandbox, "start", "--json", "--replicas", "0"))
    tablet = record["tablets"][0]
    with closing(
        pymysql.connect(unix_socket=tablet["mysql_socket"], user="root", database="commerce")
    ) as root:
        cursor = root.cursor()
        cursor.execute("CREATE TABLE t (id INT PRIMARY KEY)")
        cursor.execute("INSERT INTO t SELECT seq FROM seq_1_to_1000")
        root.commit()
    async with vexec_client(tablet["grpc"], record["keyspace"]) as client:
        migration_uuid = await client.submit(
            "t", "ALTER TABLE t ADD COLUMN a INT", "pt-osc", options="--chunk-size=10 --sleep=1"
        )
        await client.wait(migration_uuid, until={"running"})
        directory = servers_directory / "sandboxes"
        await eventually(lambda: any("pt-online" in each for each in processes_in(directory)))

    stopped = await asyncio.to_thread(sandbox, "stop")

    assert stopped.returncode == 0, stopped.stderr
    assert processes_in(directory) == []
    assert list(directory.glob("*/default")) == []
