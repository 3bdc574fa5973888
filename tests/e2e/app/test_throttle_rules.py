"""A rule for an app, set by a call or a statement, as the tools meet it over HTTP."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, cast

import grpc

from tabletd.sandbox.accounts import create_daemon_account
from tabletd.sandbox.daemons import restart_daemon, start_daemon
from tabletd.sandbox.ledger import is_serving
from tabletd_pb import (
    query_pb2,
    throttling_pb2_grpc,
    topodata_pb2,
    vtctldata_pb2,
    vttime_pb2,
)
from tabletd_pb import tabletmanagerdata_pb2 as tm
from tests.support.processes import DIES_WITH_US
from tests.support.servers import RealServer
from tests.support.stubs import manager
from tests.support.waiting import eventually_blocking

APP = "online-ddl:gh-ost:7a1b2c3d"


def checked(address: str) -> tuple[int, str]:
    """Return status and message of a check as gh-ost makes it; 0 while nobody answers."""
    url = f"http://{address}/throttler/check?app={APP}&p=low"
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            status, body = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, body = error.code, error.read()
    except OSError as error:
        return 0, str(error)
    return int(status), str(json.loads(body)["Message"])


def set_rule(address: str, *, ratio: float, seconds: int) -> None:
    rule = topodata_pb2.ThrottledAppRule(
        name="online-ddl", ratio=ratio, expires_at=vttime_pb2.Time(seconds=seconds)
    )
    request = vtctldata_pb2.UpdateThrottlerConfigRequest(keyspace="shop", throttled_app=rule)
    with grpc.insecure_channel(address) as channel:
        cast(Any, throttling_pb2_grpc.ThrottlingStub)(channel).UpdateConfig(request, timeout=60)


def execute(address: str, statement: str) -> query_pb2.QueryResult:
    with grpc.insecure_channel(address) as channel:
        request = tm.ExecuteQueryRequest(query=statement.encode(), max_rows=10)
        answer = manager(channel).ExecuteQuery(request, timeout=60)
        assert isinstance(answer, tm.ExecuteQueryResponse)
        return answer.result


def test_a_rule_holds_a_tool_back_over_a_restart_until_somebody_ends_it(
    any_server: RealServer, tmp_path: Path
) -> None:
    any_server.query("CREATE DATABASE shop")
    create_daemon_account(any_server.server, keyspace="shop")
    tabletd = start_daemon(
        any_server.server,
        tmp_path / "tabletd",
        alias="zone1-0000000101",
        keyspace="shop",
        settings={"heartbeat_interval": "100ms", "shutdown_grace": "2s"},
        launcher=DIES_WITH_US,
    )
    try:
        eventually_blocking(lambda: checked(tabletd.http) == (200, ""), what="lets tools go on")
        eventually_blocking(lambda: is_serving(tabletd.http), what="acts as the primary")
        set_rule(tabletd.grpc, ratio=1.0, seconds=int(time.time()) + 3600)
        status, message = checked(tabletd.http)
        assert (status, message.split(" until ")[0]) == (417, "online-ddl is throttled")
        tabletd.terminate()
        tabletd = restart_daemon(tabletd)
        eventually_blocking(lambda: checked(tabletd.http) == (417, message), what="denied again")
        # The rule is obeyed from the first moment, and changed by who acts as the primary.
        eventually_blocking(lambda: is_serving(tabletd.http), what="acts as the primary")
        set_rule(tabletd.grpc, ratio=0.0, seconds=0)
        assert checked(tabletd.http) == (200, "")
        execute(tabletd.grpc, "alter vitess_migration throttle all expire '1h' ratio 1")
        assert checked(tabletd.http)[0] == 417
        apps = execute(tabletd.grpc, "show vitess_throttled_apps")
        assert [field.name for field in apps.fields] == ["app", "expire_at", "ratio", "exempt"]
        assert apps.rows[-1].values.startswith(b"online-ddl")
        state = execute(tabletd.grpc, "show vitess_throttler status")
        assert [row.values for row in state.rows] == [b"015"]
        execute(tabletd.grpc, "alter vitess_migration unthrottle all")
        assert checked(tabletd.http) == (200, "")
    finally:
        tabletd.kill()
