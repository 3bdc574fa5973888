"""The command line: help, exit codes, settings as flags."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tabletd import __version__
from tabletd.config import KEYS, SECRETS

NEEDED = ("--tablet-alias", "zone1-100", "--keyspace", "shop")


def tabletd(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TABLETD_")}
    return subprocess.run(
        [sys.executable, "-m", "tabletd", *arguments],
        env={**clean, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_version_is_printed() -> None:
    answer = tabletd("--version")
    assert (answer.returncode, answer.stdout) == (0, f"tabletd {__version__}\n")


def test_help_names_the_commands_without_loading_their_modules() -> None:
    code = (
        "import sys; sys.argv = ['tabletd', '--help']\n"
        "from tabletd.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'grpc', 'pydantic', 'aiomysql', 'starlette'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert all(word in answer.stdout for word in ("serve", "config", "sandbox", "demo"))


def test_a_package_that_is_not_installed_is_named_in_one_line() -> None:
    code = (
        "import sys; sys.argv = ['tabletd', 'sandbox', 'status']; sys.modules['psutil'] = None\n"
        "from tabletd.cli import main\n"
        "main()"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 1
    assert answer.stderr == (
        "tabletd: the Python package psutil is missing (pip install 'tabletd[server]')\n"
    )


def test_serve_has_a_flag_for_every_setting_but_the_passwords() -> None:
    text = tabletd("serve", "--help").stdout
    for key in KEYS:
        flag = f"--{key.replace('_', '-')} "
        if key in SECRETS:
            assert flag not in text
        else:
            assert f"--{key.replace('_', '-')}" in text


def test_the_help_says_what_each_setting_may_be() -> None:
    text = tabletd("serve", "--help").stdout
    for flag in (
        "--tablet-type <auto|primary|replica>",
        "--default-online-strategy <mysql|gh-ost|pt-osc>",
        "--mysql-port <int>",
        "--heartbeat-interval <duration>",
        "--topology-file <path>",
    ):
        assert flag in text


def test_a_valid_configuration_is_said_to_be_valid() -> None:
    answer = tabletd("config", "check", *NEEDED)
    assert (answer.returncode, answer.stdout) == (0, "configuration is valid\n")


def test_a_topology_file_that_the_daemon_would_refuse_is_refused_by_the_check() -> None:
    answer = tabletd("config", "check", *NEEDED, "--topology-file", "/nowhere/topology.toml")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "/nowhere/topology.toml" in answer.stderr


@pytest.mark.parametrize("command", [("config", "check"), ("serve",)])
def test_a_wrong_configuration_ends_with_2_and_one_line(command: tuple[str, ...]) -> None:
    answer = tabletd(*command, *NEEDED, TABLETD_GRPC_PROT="1")
    assert answer.returncode == 2
    assert answer.stderr.startswith("tabletd: invalid configuration: ")
    assert "TABLETD_GRPC_PORT" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_an_unknown_flag_ends_with_2() -> None:
    answer = tabletd("serve", *NEEDED, "--grpc-prot", "1")
    assert answer.returncode == 2
    assert "--grpc-prot" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_show_tells_each_value_with_its_source_and_hides_passwords(tmp_path: Path) -> None:
    toml = tmp_path / "tabletd.toml"
    toml.write_text('keyspace = "shop"\nmysql_password = "sesame"\n')
    toml.chmod(0o600)
    answer = tabletd(
        "config",
        "show",
        "--config",
        str(toml),
        "--allow-unsafe-cutover",
        TABLETD_TABLET_ALIAS="a-1",
    )
    assert answer.returncode == 0
    assert "sesame" not in answer.stdout
    lines = answer.stdout.splitlines()
    assert f'mysql_password = "(hidden)"  # {toml}' in lines
    assert 'tablet_alias = "a-1"  # TABLETD_TABLET_ALIAS' in lines
    assert "allow_unsafe_cutover = true  # --allow-unsafe-cutover" in lines
    assert 'unhealthy_threshold = "2h"  # default' in lines


def test_check_looks_whether_the_password_files_can_be_read(tmp_path: Path) -> None:
    answer = tabletd("config", "check", *NEEDED, "--mysql-password-file", str(tmp_path / "none"))
    assert answer.returncode == 2
    assert "mysql_password_file" in answer.stderr


def test_why_a_daemon_cannot_start_is_said_in_the_form_of_its_log(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("sesame")
    password.chmod(0o644)
    settings = ("--log-format", "json", "--mysql-password-file", str(password))
    answer = tabletd("serve", *NEEDED, *settings)
    assert answer.returncode == 2
    (line,) = answer.stderr.splitlines()
    assert json.loads(line)["event"].startswith("cannot start: mysql_password_file: ")
