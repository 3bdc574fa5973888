"""Every metric that the rules of Prometheus and the dashboard name is on a daemon's page."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import grpc

from tabletd.sandbox.accounts import create_daemon_account
from tabletd.sandbox.daemons import start_daemon
from tabletd_pb import tabletmanagerdata_pb2 as tm
from tests.support.certificates import Authority
from tests.support.monitoring import exposed_series, wanted_series
from tests.support.processes import DIES_WITH_US
from tests.support.servers import RealServer
from tests.support.stubs import manager
from tests.support.waiting import eventually_blocking


def test_what_is_asked_of_prometheus_is_there(mariadb: RealServer, tmp_path: Path) -> None:
    mariadb.query("CREATE DATABASE shop")
    create_daemon_account(mariadb.server, keyspace="shop")
    authority = Authority(tmp_path)
    ours = authority.pair("server")
    daemon = start_daemon(
        mariadb.server,
        tmp_path / "tabletd",
        alias="zone1-0000000101",
        keyspace="shop",
        settings={
            "shutdown_grace": "2s",
            "grpc_cert": str(ours.cert),
            "grpc_key": str(ours.key),
            "tablet_manager_grpc_ca": str(authority.ca),
        },
        launcher=DIES_WITH_US,
    )
    missing = wanted_series()

    def all_are_there() -> bool:
        with urllib.request.urlopen(f"http://{daemon.http}/metrics", timeout=60) as answer:
            missing.difference_update(exposed_series(answer.read().decode()))
        return not missing

    try:
        # Times of calls appear with the first call.
        credentials = grpc.ssl_channel_credentials(authority.ca.read_bytes())
        with grpc.secure_channel(daemon.grpc, credentials) as channel:
            manager(channel).Ping(tm.PingRequest(payload="here"), timeout=60)
        eventually_blocking(all_are_there, what="every series is exposed")
    except AssertionError:
        raise AssertionError(f"not exposed: {sorted(missing)}") from None
    finally:
        daemon.kill()
