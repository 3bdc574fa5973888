"""The Debian package: installed, configured, at work, upgraded under work, removed, purged."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import psutil
import pytest

from tabletd import __version__
from tabletd.sandbox.servers import free_port
from tests.deb.machine import (
    CONFIGURATION,
    LOGS,
    NAME,
    STATE,
    UNIT,
    Service,
    install,
    installed_version,
    revised,
    run,
    tools,
    traces,
)
from tests.support.servers import RealServer
from tests.support.waiting import eventually_blocking

# apt fetches systemd and Python first, where they are not there.
pytestmark = pytest.mark.timeout(1200)

PASSWORD = "sesame opens"
SLOW = "pt-osc --chunk-size=20 --chunk-time=0 --sleep=0.05"


def configure(server: RealServer) -> str:
    """Say in the configuration which server it is; return the address of the gRPC port."""
    server.script(
        f"CREATE USER {NAME}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'",
        f"GRANT ALL PRIVILEGES ON *.* TO {NAME}@'127.0.0.1' WITH GRANT OPTION",
    )
    secret = CONFIGURATION.parent / "mysql.password"
    run("install", "-m", "0640", "-g", NAME, "/dev/null", secret)
    secret.write_text(PASSWORD + "\n")
    grpc_port = free_port()
    chosen = {
        "tablet_alias": '"zone1-0000000100"',
        "keyspace": '"shop"',
        "mysql_port": str(server.port),
        "mysql_password_file": f'"{secret}"',
        "grpc_port": str(grpc_port),
        "http_port": str(free_port()),
    }
    text = CONFIGURATION.read_text()
    for key, value in chosen.items():
        text, found = re.subn(rf"^#{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
        assert found == 1, key
    CONFIGURATION.write_text(text)
    return f"127.0.0.1:{grpc_port}"


def fact(server: RealServer, column: str) -> object:
    """Return what the row of the only migration says."""
    return server.scalar(f"SELECT {column} FROM _vt.schema_migrations")


def begin_migration(service: Service, server: RealServer) -> psutil.Process:
    """Start the service beside a server, and a migration that lasts; return its tool, at work."""
    server.script("CREATE DATABASE shop", "CREATE TABLE shop.t (id INT PRIMARY KEY)")
    server.script("INSERT INTO t SELECT seq FROM seq_1_to_6000", database="shop")
    address = configure(server)
    service.start()
    service.hears("STATUS=PRIMARY SERVING")
    alter = ("--strategy", SLOW, "ALTER TABLE t ADD COLUMN note INT")
    run("/usr/bin/tabletctl", "apply", "-y", "-s", address, *alter)
    eventually_blocking(lambda: fact(server, "rows_copied"), what="rows are copied")
    (tool,) = tools()
    return tool


def test_the_package_brings_commands_account_directories_and_a_unit(
    package: Path, service: Service
) -> None:
    install(package)
    assert installed_version() == f"{__version__}-1"
    assert run("/usr/bin/tabletd", "--version") == f"tabletd {__version__}\n"
    assert "Usage: tabletctl" in run("/usr/bin/tabletctl", "--help")
    assert run("systemd-analyze", "verify", "--man=no", UNIT) == ""
    assert run("dpkg", "--verify", NAME) == ""
    assert [path.owner() for path in (CONFIGURATION.parent, STATE, LOGS)] == ["root", NAME, NAME]
    assert stat.S_IMODE(STATE.stat().st_mode) == 0o700
    assert CONFIGURATION.parent.group() == NAME
    checked = run("/usr/bin/tabletd", "config", "check", "--config", CONFIGURATION, ok=False)
    assert "tablet_alias is required" in checked


def test_a_migration_outlives_an_upgrade_and_settings_and_state_outlive_all_but_a_purge(
    package: Path, service: Service, mariadb: RealServer, tmp_path: Path
) -> None:
    install(package)
    tool = begin_migration(service, mariadb)
    service.stop()
    settings = CONFIGURATION.read_text()
    install(revised(package, tmp_path))
    assert installed_version() == f"{__version__}-2"
    assert CONFIGURATION.read_text() == settings
    assert tool.is_running()
    service.start()
    eventually_blocking(lambda: "its tool is taken over" in service.log, what="it is taken over")
    eventually_blocking(
        lambda: fact(mariadb, "migration_status") == "complete", 250, "the migration completes"
    )
    service.stop()

    run("apt-get", "remove", "-y", "-q", NAME)
    assert not Path("/usr/bin/tabletd").exists()
    assert not UNIT.exists()
    assert CONFIGURATION.read_text() == settings
    assert "ApplySchema" in (LOGS / "audit.log").read_text()
    assert list(STATE.iterdir())
    run("apt-get", "purge", "-y", "-q", NAME)
    assert traces() == []
    assert fact(mariadb, "migration_status") == "complete"


def test_a_purge_leaves_the_state_to_tools_that_are_at_work(
    package: Path, service: Service, mariadb: RealServer
) -> None:
    install(package)
    tool = begin_migration(service, mariadb)
    service.stop()
    said = run("apt-get", "purge", "-y", "-q", NAME)
    assert "migrations are still at work" in said
    assert "/var/lib/tabletd is left to them" in said
    assert tool.is_running()
    assert traces() == [str(STATE)]
