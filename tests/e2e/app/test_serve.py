"""`tabletd serve` as a process beside a real server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2

from tabletd.sandbox.accounts import DAEMON_PASSWORD, DAEMON_USER, create_daemon_account
from tabletd.sandbox.daemons import Daemon, start_daemon
from tabletd_pb import query_pb2
from tabletd_pb import tabletmanagerdata_pb2 as tm
from tests.conftest import StartServer
from tests.support.processes import DIES_WITH_US
from tests.support.servers import RealServer
from tests.support.stubs import health_service, manager, query_service
from tests.support.two_daemons import variables
from tests.support.waiting import eventually_blocking

ALIAS = "zone1-0000000101"


@contextmanager
def daemon(server: RealServer, directory: Path, **settings: str) -> Generator[Daemon]:
    started = start_daemon(
        server.server,
        directory / "tabletd",
        alias=ALIAS,
        keyspace="shop",
        settings={"heartbeat_interval": "100ms", "shutdown_grace": "2s", **settings},
        launcher=DIES_WITH_US,
    )
    try:
        yield started
    finally:
        started.kill()


def page(address: str, path: str) -> str:
    with urllib.request.urlopen(f"http://{address}{path}", timeout=60) as answer:
        return str(answer.read().decode())


def health(channel: grpc.Channel) -> query_pb2.StreamHealthResponse:
    stream = query_service(channel).StreamHealth(query_pb2.StreamHealthRequest(), timeout=60)
    first: query_pb2.StreamHealthResponse = next(iter(stream))
    stream.cancel()
    return first


def error_of(channel: grpc.Channel) -> str:
    return health(channel).realtime_stats.health_error


def wait_until_serving(channel: grpc.Channel, within_seconds: float = 60) -> None:
    eventually_blocking(lambda: health(channel).serving, within_seconds, "the tablet serves")


@pytest.fixture
def shop(mariadb: RealServer) -> RealServer:
    mariadb.query("CREATE DATABASE shop")
    create_daemon_account(mariadb.server, keyspace="shop")
    return mariadb


def test_a_daemon_serves_beats_answers_and_ends_cleanly(shop: RealServer, tmp_path: Path) -> None:
    with daemon(shop, tmp_path) as tabletd, grpc.insecure_channel(tabletd.grpc) as channel:
        stub = manager(channel)
        wait_until_serving(channel)
        assert stub.Ping(tm.PingRequest(payload="hello")).payload == "hello"
        answer = stub.VExec(tm.VExecRequest(query="SELECT * FROM _vt.schema_migrations"))
        assert "migration_uuid" in {field.name for field in answer.result.fields}
        beats = "SELECT ts FROM _vt.heartbeat WHERE keyspaceShard = 'shop:0'"
        before = eventually_blocking(lambda: shop.query(beats), what="a heartbeat")[0][0]
        eventually_blocking(lambda: shop.scalar(beats) > before)
        overall = health_service(channel).Check(health_pb2.HealthCheckRequest())
        assert overall.status == health_pb2.HealthCheckResponse.SERVING
        # A busy server may answer a beat so late that it counts as failed.
        eventually_blocking(lambda: variables(tabletd)["HeartbeatWrites"] > 0)
        assert variables(tabletd)["TabletStateName"] == "SERVING"
        assert page(tabletd.http, "/healthz") == "ok\n"
        assert "tabletd_heartbeat_writes_total" in page(tabletd.http, "/metrics")
        assert ALIAS in page(tabletd.http, "/")
        tabletd.terminate()
        assert not tabletd.is_running
        log = tabletd.log.read_text()
        assert log.splitlines()[-1].endswith("stopped")
        assert "Traceback" not in log


def test_a_stream_ends_with_unavailable_when_the_daemon_is_told_to_stop(
    shop: RealServer, tmp_path: Path
) -> None:
    with daemon(shop, tmp_path) as tabletd, grpc.insecure_channel(tabletd.grpc) as channel:
        wait_until_serving(channel)
        stream = query_service(channel).StreamHealth(query_pb2.StreamHealthRequest(), timeout=60)
        next(iter(stream))
        psutil.Process(tabletd.identity.pid).send_signal(signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as caught:
            for _ in stream:
                pass
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "tabletserver is shutdown" in str(caught.value.details())


def test_a_second_signal_ends_it_at_once(shop: RealServer, tmp_path: Path) -> None:
    with (
        daemon(shop, tmp_path, shutdown_grace="1m") as tabletd,
        grpc.insecure_channel(tabletd.grpc) as channel,
    ):
        process = psutil.Process(tabletd.identity.pid)
        sleeping = manager(channel).Sleep.future(
            tm.SleepRequest(duration=60 * 1_000_000_000), wait_for_ready=True
        )
        eventually_blocking(lambda: '"RpcCallsOpen": 1' in page(tabletd.http, "/debug/vars"))
        process.send_signal(signal.SIGTERM)
        eventually_blocking(lambda: "stopping" in tabletd.log.read_text())
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        eventually_blocking(lambda: not tabletd.is_running)
        assert time.monotonic() - began < 50
        assert "exiting at once" in tabletd.log.read_text()
        assert sleeping.exception(60)


def test_a_hangup_rereads_what_can_be_changed_and_names_what_cannot(
    shop: RealServer, tmp_path: Path
) -> None:
    with daemon(shop, tmp_path) as tabletd, grpc.insecure_channel(tabletd.grpc) as channel:
        wait_until_serving(channel)
        configuration = tabletd.directory / "tabletd.toml"
        process = psutil.Process(tabletd.identity.pid)
        configuration.write_text(
            configuration.read_text() + 'throttle_threshold = "7s"\nmysql_connect_timeout = "9s"\n'
        )
        process.send_signal(signal.SIGHUP)
        eventually_blocking(lambda: "changed: throttle_threshold" in tabletd.log.read_text())
        assert json.loads(page(tabletd.http, "/throttler/check"))["Threshold"] == 7.0
        assert "not changed before a restart: mysql_connect_timeout" in tabletd.log.read_text()
        configuration.write_text("keyspace = ")
        process.send_signal(signal.SIGHUP)
        eventually_blocking(lambda: "configuration is unchanged" in tabletd.log.read_text())
        assert page(tabletd.http, "/healthz") == "ok\n"


@pytest.mark.parametrize("which", ["grpc_port", "http_port"])
def test_a_port_in_use_is_named_and_ends_it_with_2(
    shop: RealServer, tmp_path: Path, which: str
) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        answer = run_serve(shop, tmp_path, **{which: port})
    assert answer[0] == 2
    assert f"127.0.0.1:{port}: Address already in use" in answer[1]
    assert which in answer[1]
    assert "Traceback" not in answer[1]


def run_serve(server: RealServer, directory: Path, **settings: str) -> tuple[int, str]:
    """Run a daemon that is expected to end by itself; return its exit code and its log."""
    merged = {
        "tablet_alias": ALIAS,
        "keyspace": "shop",
        "mysql_port": str(server.port),
        "mysql_user": DAEMON_USER,
        "grpc_port": "0",
        "http_port": "0",
        "run_directory": str(directory / "run"),
        **settings,
    }
    flags = [
        word for key, value in merged.items() for word in (f"--{key.replace('_', '-')}", value)
    ]
    answer = subprocess.run(
        [sys.executable, "-m", "tabletd", "serve", *flags],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "TABLETD_MYSQL_PASSWORD": DAEMON_PASSWORD},
    )
    return answer.returncode, answer.stderr


def test_a_wrong_password_is_said_and_waited_out(shop: RealServer, tmp_path: Path) -> None:
    settings = {"mysql_user": "tabletd", "mysql_password": "wrong-one"}
    with (
        daemon(shop, tmp_path, **settings) as tabletd,
        grpc.insecure_channel(tabletd.grpc) as channel,
    ):
        eventually_blocking(lambda: "1045" in error_of(channel))
        assert not health(channel).serving
        with pytest.raises(grpc.RpcError) as caught:
            manager(channel).ExecuteFetchAsDba(tm.ExecuteFetchAsDbaRequest(query=b"SELECT 1"))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "'tabletd'" in str(caught.value.details())
        shop.query("SET PASSWORD FOR tabletd@'127.0.0.1' = PASSWORD('wrong-one')")
        wait_until_serving(channel)
        log = tabletd.log.read_text()
        assert "check the configured user and password" in log
        assert "wrong-one" not in log
        assert "Traceback" not in log


def test_a_server_that_comes_later_is_waited_for(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server("mariadb")
    server.query("CREATE DATABASE shop")
    create_daemon_account(server.server, keyspace="shop")
    server.shut_down()
    with daemon(server, tmp_path) as tabletd, grpc.insecure_channel(tabletd.grpc) as channel:
        stub = manager(channel)
        assert stub.Ping(tm.PingRequest(payload="p"), wait_for_ready=True).payload == "p"
        eventually_blocking(
            lambda: "cannot be reached" in health(channel).realtime_stats.health_error
        )
        with pytest.raises(urllib.error.HTTPError) as unhealthy:
            page(tabletd.http, "/healthz")
        assert unhealthy.value.code == 500
        assert b"vttablet is not serving" in unhealthy.value.read()
        assert "cannot be reached" in page(tabletd.http, "/")
        server.restart()
        wait_until_serving(channel)
        server.kill()
        eventually_blocking(lambda: not health(channel).serving)
        server.restart()
        wait_until_serving(channel)
        assert "Traceback" not in tabletd.log.read_text()


def test_a_missing_grant_is_named_in_the_health(shop: RealServer, tmp_path: Path) -> None:
    shop.query("CREATE USER weak@'127.0.0.1' IDENTIFIED BY 'weak-secret'")
    settings = {"mysql_user": "weak", "mysql_password": "weak-secret"}
    with (
        daemon(shop, tmp_path, **settings) as tabletd,
        grpc.insecure_channel(tabletd.grpc) as channel,
    ):
        eventually_blocking(lambda: "GRANT" in error_of(channel))
        assert "SLAVE MONITOR" in error_of(channel)
        assert not health(channel).serving
        with pytest.raises(grpc.RpcError) as caught:
            manager(channel).ExecuteFetchAsDba(
                tm.ExecuteFetchAsDbaRequest(query=b"CREATE TABLE shop.t (id INT)")
            )
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "shop" in str(caught.value.details())
        assert "Traceback" not in tabletd.log.read_text()


def test_the_password_is_in_no_argument_environment_or_log(
    shop: RealServer, tmp_path: Path
) -> None:
    shop.query("SET PASSWORD FOR tabletd@'127.0.0.1' = PASSWORD('open-sesame')")
    password_file = tmp_path / "password"
    password_file.write_text("open-sesame\n")
    password_file.chmod(0o600)
    settings = {"mysql_user": "tabletd", "mysql_password_file": str(password_file)}
    with (
        daemon(shop, tmp_path, log_level="debug", **settings) as tabletd,
        grpc.insecure_channel(tabletd.grpc) as channel,
    ):
        wait_until_serving(channel)
        process = psutil.Process(tabletd.identity.pid)
        seen = [*process.cmdline(), *process.environ().values(), tabletd.log.read_text()]
        seen += [page(tabletd.http, path) for path in ("/", "/debug/vars", "/metrics")]
        assert not [text for text in seen if "sesame" in text]
