"""A bug in a background task takes the daemon down in good order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tabletd.sandbox.accounts import DAEMON_PASSWORD, DAEMON_USER, create_daemon_account
from tests.support.servers import RealServer

PROGRAM = """
import asyncio, sys
from tabletd.app import components, daemon
from tabletd.config import load_config

ordinary = components.Components.background

async def fail():
    await asyncio.sleep(0.3)
    raise RuntimeError("a bug of the test")

components.Components.background = lambda self: (*ordinary(self), ("buggy", fail()))
flags = dict(word.split("=", 1) for word in sys.argv[1:])
config = load_config(flags, {}).config
sys.exit(daemon.serve(config, reread=lambda: config))
"""


def test_a_bug_ends_the_daemon_with_1_and_its_traceback_in_the_log(
    mariadb: RealServer, tmp_path: Path
) -> None:
    mariadb.query("CREATE DATABASE shop")
    create_daemon_account(mariadb.server, keyspace="shop")
    flags = {
        "tablet_alias": "zone1-101",
        "keyspace": "shop",
        "mysql_port": mariadb.port,
        "mysql_user": DAEMON_USER,
        "mysql_password": DAEMON_PASSWORD,
        "grpc_port": 0,
        "http_port": 0,
        "run_directory": tmp_path,
        "log_format": "json",
    }
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, *(f"{name}={value}" for name, value in flags.items())],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 1, answer.stderr
    assert "a bug of the test" in answer.stderr
    events = [line for line in answer.stderr.splitlines() if '"event": "stopped"' in line]
    assert events, answer.stderr
    assert "never awaited" not in answer.stderr
    assert "was never retrieved" not in answer.stderr
