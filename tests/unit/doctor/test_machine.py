"""What the doctor says of a machine, with defects planted."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tabletd.app.address import Address
from tabletd.config import Config, load_config
from tabletd.doctor.certificates import certificates
from tabletd.doctor.findings import Finding, Verdict, aside
from tabletd.doctor.machine import MACHINE_CHECKS, Machine
from tabletd.doctor.ports import is_ours, ports
from tabletd.doctor.service import unit_findings
from tabletd.errors import Reason, TabletdError
from tests.support.certificates import Authority

NEEDED = {"tablet_alias": "zone1-0000000100", "keyspace": "shop"}


def config(directory: Path, **settings: str) -> Config:
    given = {**NEEDED, "grpc_port": "0", "http_port": "0", "run_directory": str(directory / "run")}
    return load_config({**given, **settings}, {}).config


def examined(check: str, directory: Path, **settings: str) -> Sequence[Finding]:
    (found,) = [each for each in MACHINE_CHECKS if each.name == check]

    async def look() -> Sequence[Finding]:
        return await found.look(Machine(config(directory, **settings)))

    return asyncio.run(look())


def one(findings: Sequence[Finding]) -> Finding:
    (finding,) = findings
    return finding


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_secret_that_others_may_read_is_unfit_and_the_command_mends_it(tmp_path: Path) -> None:
    secret = tmp_path / "mysql.password"
    secret.write_text("s3cret\n")
    secret.chmod(0o644)
    found = one(examined("private files", tmp_path, mysql_password_file=str(secret)))
    assert found.verdict is Verdict.FAIL
    assert "mode 0644" in found.text
    assert found.remedy == f"chmod 600 {secret}"
    secret.chmod(0o600)
    found = one(examined("private files", tmp_path, mysql_password_file=str(secret)))
    assert found.verdict is Verdict.OK


def test_a_port_that_somebody_else_has_is_unfit(tmp_path: Path, taken_port: int) -> None:
    wanted = config(tmp_path, grpc_port=str(taken_port))
    grpc, http = ports(wanted, None)
    assert grpc.verdict is Verdict.FAIL
    assert grpc.text.startswith(f"grpc_port: {Address('127.0.0.1', taken_port)} is taken by")
    assert f":{taken_port}" in grpc.remedy
    assert (http.verdict, "set http_port to a number") == (Verdict.WARN, http.remedy)


def test_an_address_of_another_machine_is_unfit(tmp_path: Path) -> None:
    wanted = config(tmp_path, grpc_bind="192.0.2.1", grpc_port="16100", insecure_listen="true")
    grpc = ports(wanted, None)[0]
    assert grpc.verdict is Verdict.FAIL
    assert "set grpc_bind" in grpc.remedy


@pytest.mark.parametrize(
    ("command", "path", "expected"),
    [
        ("python /opt/tabletd serve --config /etc/a.toml", "/etc/a.toml", True),
        ("/usr/bin/tabletd serve --config=/etc/a.toml", "/etc/a.toml", True),
        ("/usr/bin/tabletd serve --config /etc/b.toml", "/etc/a.toml", False),
        ("/usr/bin/tabletd serve --keyspace shop", None, True),
        ("/usr/bin/tabletd serve --keyspace shop", "/etc/a.toml", False),
        ("/usr/sbin/mysqld --port 3306", "/etc/a.toml", False),
        ("python -m tabletd sandbox start", None, False),
    ],
)
def test_a_daemon_is_this_one_if_its_configuration_is(
    command: str, path: str | None, expected: bool
) -> None:
    assert is_ours(command.split(), None if path is None else Path(path)) is expected


def test_a_directory_that_cannot_be_made_or_seen_is_unfit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing_is_allowed(path: Path, mode: int) -> bool:
        return False  # root may do everything, and tests often run as root

    monkeypatch.setattr(os, "access", nothing_is_allowed)
    found = examined("directories", tmp_path)[0]
    assert found.verdict is Verdict.FAIL
    assert f"{tmp_path / 'run'} cannot be made in {tmp_path}" in found.text
    assert found.remedy.startswith("install -d -m 700 -o ")


def test_a_directory_that_others_may_write_into_is_unfit(tmp_path: Path) -> None:
    open_to_all = tmp_path / "run"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    found = examined("directories", tmp_path)[0]
    assert (found.verdict, found.remedy) == (Verdict.FAIL, f"chmod 700 {open_to_all}")


def test_a_topology_that_does_not_know_this_tablet_is_unfit(tmp_path: Path) -> None:
    file = tmp_path / "topology.toml"
    file.write_text('[[tablets]]\nalias = "zone1-0000000999"\nkeyspace = "shop"\n')
    found = one(examined("topology", tmp_path, topology_file=str(file)))
    assert found.verdict is Verdict.FAIL
    assert "does not name this tablet" in found.text


def test_a_topology_that_puts_this_tablet_elsewhere_is_unfit(tmp_path: Path) -> None:
    file = tmp_path / "topology.toml"
    file.write_text('[[tablets]]\nalias = "zone1-0000000100"\nkeyspace = "other"\n')
    found = one(examined("topology", tmp_path, topology_file=str(file)))
    assert (found.verdict, found.remedy) == (Verdict.FAIL, "let keyspace be the same in both")


def test_a_certificate_is_unfit_at_its_end_and_doubtful_before(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    verdicts: dict[int, Verdict] = {}
    for days in (400, 10, -1):
        pair = authority.pair(f"in{days}", days=days)
        wanted = config(tmp_path, tablet_manager_grpc_cert=str(pair.cert))
        verdicts[days] = one(certificates(wanted)).verdict
    assert verdicts == {400: Verdict.OK, 10: Verdict.WARN, -1: Verdict.FAIL}


def test_a_file_without_a_certificate_is_unfit(tmp_path: Path) -> None:
    file = tmp_path / "cert.pem"
    file.write_text("nothing of the kind")
    wanted = config(tmp_path, tablet_manager_grpc_cert=str(file))
    assert one(certificates(wanted)).verdict is Verdict.FAIL


def test_a_unit_that_ends_the_tools_is_unfit() -> None:
    good = {
        "LoadState": "loaded",
        "KillMode": "process",
        "Restart": "always",
        "PrivateTmp": "no",
        "UnitFileState": "enabled",
        "ActiveState": "active",
    }
    assert one(unit_findings(good)).verdict is Verdict.OK
    assert one(unit_findings({"LoadState": "not-found"})).verdict is Verdict.OK
    killing = one(unit_findings({**good, "KillMode": "control-group"}))
    assert killing.verdict is Verdict.FAIL
    assert killing.remedy.endswith("KillMode=process")
    for key, value in (("PrivateTmp", "yes"), ("Restart", "no"), ("UnitFileState", "disabled")):
        assert one(unit_findings({**good, key: value})).verdict is Verdict.WARN


def test_the_whole_machine_is_looked_at_without_writing_anything(tmp_path: Path) -> None:
    for check in MACHINE_CHECKS:
        findings = examined(check.name, tmp_path)
        assert findings, check.name
        assert all(finding.verdict is not Verdict.FAIL for finding in findings), check.name
        assert all(finding.remedy for finding in findings if finding.verdict is Verdict.WARN)
    assert list(tmp_path.iterdir()) == []


def test_nobody_waits_for_a_look_that_was_given_up() -> None:
    never = threading.Event()

    def hang(subject: None) -> list[Finding]:
        never.wait()
        return []

    async def look() -> None:
        async with asyncio.timeout(0.01):
            await aside(hang)(None)

    with pytest.raises(TimeoutError):
        asyncio.run(look())
    never.set()


def test_what_goes_wrong_in_a_look_is_handed_on() -> None:
    def refuse(subject: None) -> list[Finding]:
        raise TabletdError(Reason.INVALID_CONFIG, "no")

    async def look() -> None:
        await aside(refuse)(None)

    with pytest.raises(TabletdError, match="no"):
        asyncio.run(look())
