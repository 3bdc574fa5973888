"""What is installed beside the program, as systemd's own tools read it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import pytest

from tabletd.access.audit import AuditLog
from tabletd.access.caller import Caller
from tabletd.access.roles import Role
from tabletd.app.access import audit_path
from tabletd.app.queue import state_directory
from tabletd.config import Config, load_config, shown_settings

ROOT: Final = Path(__file__).resolve().parents[2]
FILES: Final = ROOT / "packaging"
UNIT: Final = FILES / "systemd" / "tabletd.service"
CONFIGURATION: Final = FILES / "tabletd.toml"
# Of 100, by systemd's own reckoning: the network, and tools that go on, cost us the rest.
EXPOSURE_MAX: Final = 20
NAMES: Final = 'tablet_alias = "zone1-0000000100"\nkeyspace = "commerce"\n'


def needs(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not there: scripts/setup.sh service")


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def directives() -> dict[str, list[str]]:
    """Return the values of each directive of the unit, in their order."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def environment() -> dict[str, str]:
    return dict(
        word.split("=", 1) for line in directives()["Environment"] for word in shlex.split(line)
    )


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    needs("systemd-analyze")
    # Whether the program is installed here is not the question.
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("ExecStart=/usr/bin/tabletd", "ExecStart=/bin/true"))
    assert run("systemd-analyze", "verify", "--man=no", unit) == ""


def test_systemd_takes_the_service_for_a_confined_one() -> None:
    needs("systemd-analyze")
    limit = f"--threshold={EXPOSURE_MAX}"
    run("systemd-analyze", "security", "--offline=true", "--no-pager", limit, UNIT)


def test_what_tools_need_outlives_the_service() -> None:
    found = directives()
    assert found["KillMode"] == ["process"]
    assert found["OOMPolicy"] == ["continue"]
    assert "PrivateTmp" not in found
    assert "RuntimeDirectory" not in found
    assert found["ProtectSystem"] == ["strict"]
    # The boot that a tool runs in is read in /proc/sys.
    assert "ProcSubset" not in found


def test_runs_and_logs_lie_where_the_service_may_write(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    config = load_config({"tablet_alias": "zone1-1", "keyspace": "shop"}, {}, CONFIGURATION).config
    state = Path("/var/lib") / directives()["StateDirectory"][0]
    assert state_directory(config).is_relative_to(state)
    logs = Path("/var/log") / directives()["LogsDirectory"][0]
    assert audit_path(config).is_relative_to(logs)


def test_the_audit_log_is_rotated_wherever_it_is() -> None:
    first = next(
        line for line in (FILES / "logrotate" / "tabletd").read_text().splitlines() if "{" in line
    )
    patterns = first.rstrip("{ ").split()
    for written in ("/var/log/tabletd/audit.log", "/var/lib/tabletd/zone1-0000000100/audit.log"):
        assert any(fnmatch(written, pattern) for pattern in patterns)


async def test_the_audit_log_goes_on_in_a_new_file_after_a_rotation(tmp_path: Path) -> None:
    needs("logrotate")
    path = tmp_path / "audit.log"
    rules = tmp_path / "rules"
    text = (FILES / "logrotate" / "tabletd").read_text()
    text = re.sub(r"^/.*\{$", f"{path} {{", text, flags=re.MULTILINE)
    user = "root root" if os.geteuid() == 0 else ""
    rules.write_text(text.replace("su tabletd tabletd", f"su {user}" if user else ""))
    rules.chmod(0o644)
    audit = AuditLog(path, "zone1-1")

    async def note(target: str) -> None:
        caller = Caller(Role.OPERATOR)
        await audit.note(caller, "m", {"uuid": target}, code="OK", reason="", began_seconds=0)

    await note("first")
    run("logrotate", "--force", "--state", tmp_path / "state", rules)
    await note("second")
    assert "second" in path.read_text()
    assert "first" not in path.read_text()
    (rotated,) = tmp_path.glob("audit.log-*")
    assert "first" in rotated.read_text()


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """An empty machine's files, with the accounts and directories of the service."""
    needs("systemd-sysusers")
    if os.geteuid() != 0:
        pytest.skip("only root gives directories to others")
    (tmp_path / "etc").mkdir()
    root = f"--root={tmp_path}"
    run("systemd-sysusers", root, FILES / "systemd" / "sysusers.conf")
    run("systemd-tmpfiles", root, "--create", FILES / "systemd" / "tmpfiles.conf")
    return tmp_path


def test_the_service_has_an_account_that_nobody_logs_in_with(machine: Path) -> None:
    accounts = [line.split(":") for line in (machine / "etc/passwd").read_text().splitlines()]
    (account,) = [fields for fields in accounts if fields[0] == directives()["User"][0]]
    assert account[5:] == ["/var/lib/tabletd", "/usr/sbin/nologin"]


def test_the_directories_are_for_the_service_alone(machine: Path) -> None:
    accounts = [line.split(":") for line in (machine / "etc/passwd").read_text().splitlines()]
    (user, group) = next((int(one[2]), int(one[3])) for one in accounts if one[0] == "tabletd")

    def facts(path: str) -> tuple[int, int, int]:
        found = (machine / path).stat()
        return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid

    assert facts("etc/tabletd") == (0o750, 0, group)
    assert facts("var/lib/tabletd") == (int(directives()["StateDirectoryMode"][0], 8), user, group)
    assert facts("var/log/tabletd") == (int(directives()["LogsDirectoryMode"][0], 8), user, group)


def offered() -> dict[str, str]:
    """Return the settings of the example that stand behind `#`, as they are written."""
    found: dict[str, str] = {}
    for line in CONFIGURATION.read_text().splitlines():
        match = re.fullmatch(r"#(\w+) = (.+)", line)
        if match:
            found[match[1]] = match[2]
    return found


def test_the_example_offers_settings_that_exist_with_their_defaults() -> None:
    loaded = load_config({"tablet_alias": "zone1-0000000100", "keyspace": "commerce"}, {})
    values = {key: value for key, value, _ in shown_settings(loaded)}
    assert offered() == {key: values.get(key) for key in offered()}


def test_the_example_is_valid_once_it_says_which_server_it_is(tmp_path: Path) -> None:
    path = tmp_path / "tabletd.toml"
    path.write_text(NAMES + CONFIGURATION.read_text())
    assert load_config({}, {}, path).config.audit_log
    path.write_text(re.sub(r"^#(\w+ = )", r"\1", CONFIGURATION.read_text(), flags=re.MULTILINE))
    every = load_config({}, {}, path)
    assert set(offered()) <= set(every.sources) <= set(Config.model_fields)


@pytest.mark.parametrize("name", ["postinst", "prerm", "postrm", "build.sh"])
def test_the_scripts_of_the_package_can_be_read(name: str) -> None:
    script = FILES / "deb" / name
    run(script.read_text().splitlines()[0].removeprefix("#!"), "-n", script)
    assert os.access(script, os.X_OK)
