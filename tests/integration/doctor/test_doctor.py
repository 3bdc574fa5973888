"""The doctor beside real servers, with defects planted in them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tabletd.cli import application
from tabletd.config import Config, load_config
from tabletd.doctor.examination import examine
from tabletd.doctor.findings import Line, Verdict
from tabletd.doctor.machine import Machine
from tabletd.doctor.report import as_text
from tabletd.lease import Holder
from tabletd.sandbox.accounts import DAEMON_PASSWORD, DAEMON_USER, create_daemon_account
from tabletd.sandbox.daemons import gh_ost_path
from tabletd.sandbox.releases import ReleaseName
from tests.conftest import StartServer
from tests.support.lease import dead_holder, holder_of, lease_of
from tests.support.servers import Pair, RealServer

KEYSPACE = "shop"


def config(server: RealServer, directory: Path, **settings: str) -> Config:
    gh_ost = gh_ost_path()
    given = {
        "tablet_alias": "zone1-0000000100",
        "keyspace": KEYSPACE,
        "mysql_host": server.host,
        "mysql_port": str(server.port),
        "mysql_user": DAEMON_USER,
        "mysql_password": DAEMON_PASSWORD,
        "grpc_port": "0",
        "http_port": "0",
        "run_directory": str(directory / "run"),
        **({} if gh_ost is None else {"gh_ost_path": str(gh_ost)}),
    }
    return load_config({**given, **settings}, {}).config


def prepared(server: RealServer) -> RealServer:
    server.query(f"CREATE DATABASE {KEYSPACE}")
    create_daemon_account(server.server, keyspace=KEYSPACE)
    return server


@pytest.fixture
def any_patient(any_server: RealServer) -> RealServer:
    return prepared(any_server)


@pytest.fixture
def patient(mariadb: RealServer) -> RealServer:
    return prepared(mariadb)


def examined(settings: Config) -> list[Line]:
    return asyncio.run(examine(Machine(settings)))


def of(lines: list[Line], check: str) -> list[tuple[Verdict, str, str]]:
    found = [line.finding for line in lines if line.check == check]
    return [(finding.verdict, finding.text, finding.remedy) for finding in found]


def failures(lines: list[Line]) -> list[Line]:
    return [line for line in lines if line.finding.verdict is Verdict.FAIL]


def only_failure(lines: list[Line]) -> tuple[str, str, str]:
    (line,) = failures(lines)
    return line.check, line.finding.text, line.finding.remedy


def written(server: RealServer) -> Mapping[str, object]:
    """What would be other if anything had been written."""
    (status,) = server.records("SHOW MASTER STATUS")
    schemas = sorted(str(name) for (name,) in server.query("SHOW DATABASES"))
    return {"position": status["Position"], "schemas": schemas}


def test_what_is_fit_is_said_to_be_and_nothing_is_written(
    any_patient: RealServer, tmp_path: Path
) -> None:
    before = written(any_patient)
    lines = examined(config(any_patient, tmp_path))
    assert failures(lines) == [], as_text(lines)
    assert written(any_patient) == before
    assert list(tmp_path.iterdir()) == []
    (login,) = of(lines, "login to MySQL")
    assert login[1].startswith(f"{DAEMON_USER} at {any_patient.host}:{any_patient.port} (")
    assert of(lines, "grants") == [(Verdict.OK, "the account has all that it needs", "")]
    assert of(lines, "role") == [(Verdict.OK, "a primary: writable, and nobody's replica", "")]
    assert "heartbeat" in of(lines, "_vt")[0][1]
    assert any("pt-online-schema-change" in text for _, text, _ in of(lines, "tools"))


def test_a_grant_that_is_missing_is_named_with_the_statement_that_gives_it(
    any_patient: RealServer, tmp_path: Path
) -> None:
    account = f"{DAEMON_USER}@127.0.0.1"
    any_patient.query(f"REVOKE INSERT ON `_vt`.* FROM {account}")
    check, text, remedy = only_failure(examined(config(any_patient, tmp_path)))
    assert (check, "INSERT" in text) == ("grants", True)
    assert remedy.startswith("GRANT ")
    any_patient.query(remedy.rstrip(";"))
    assert failures(examined(config(any_patient, tmp_path))) == []


def test_an_account_without_any_grant_is_told_what_prints_all_that_it_needs(
    mariadb: RealServer, tmp_path: Path
) -> None:
    mariadb.query("CREATE USER newcomer@'127.0.0.1'")
    lines = examined(config(mariadb, tmp_path, mysql_user="newcomer", mysql_password=""))
    check, _, remedy = only_failure(lines)
    assert check == "grants"
    assert remedy.startswith("GRANT ")
    assert "SUPER" not in remedy
    assert "`tabletd grants` prints all that it needs" in remedy


def test_a_wrong_password_is_said_and_the_machine_is_looked_at_all_the_same(
    patient: RealServer, tmp_path: Path
) -> None:
    lines = examined(config(patient, tmp_path, mysql_password="wrong"))
    check, text, remedy = only_failure(lines)
    assert check == "login to MySQL"
    assert DAEMON_USER in text
    assert "wrong" not in f"{text} {remedy}"
    assert of(lines, "directories")[0][0] is Verdict.OK
    assert of(lines, "server")[0][0] is Verdict.WARN


def test_a_primary_that_is_read_only_is_unfit(patient: RealServer, tmp_path: Path) -> None:
    patient.query("SET GLOBAL read_only = 1")
    lines = examined(config(patient, tmp_path, tablet_type="primary"))
    assert only_failure(lines)[:2] == (
        "role",
        "tablet_type is primary, but the server is not one: it is read_only",
    )


def test_a_tool_that_is_not_where_it_is_said_to_be_is_unfit(
    patient: RealServer, tmp_path: Path
) -> None:
    missing = tmp_path / "pt-online-schema-change"
    lines = examined(config(patient, tmp_path, pt_osc_path=str(missing)))
    found = [line.finding for line in failures(lines)]
    assert any(str(missing) in finding.text for finding in found)
    assert any("percona-toolkit" in finding.remedy for finding in found)


needs_gh_ost = pytest.mark.skipif(
    gh_ost_path() is None, reason="no gh-ost: run scripts/setup.sh gh-ost"
)


@needs_gh_ost
def test_gh_ost_is_unfit_where_the_binary_log_holds_statements(
    mysql57: RealServer, tmp_path: Path
) -> None:
    prepared(mysql57).query("SET GLOBAL binlog_format = 'STATEMENT'")
    lines = examined(config(mysql57, tmp_path))
    check, text, remedy = only_failure(lines)
    assert (check, "binlog_format is STATEMENT" in text) == ("tools", True)
    assert remedy.startswith("SET GLOBAL binlog_format = 'ROW'")
    assert any(text.startswith("binlog_format") for _, text, _ in of(lines, "server variables"))


@needs_gh_ost
def test_gh_ost_is_unfit_without_a_binary_log(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server(ReleaseName.MYSQL_57, options=("--skip-log-bin",))
    create_daemon_account(server.server, keyspace=KEYSPACE)
    lines = examined(config(server, tmp_path))
    check, text, _ = only_failure(lines)
    assert (check, "the binary log is off" in text) == ("tools", True)
    assert any(text.startswith("log_bin is OFF") for _, text, _ in of(lines, "server variables"))


def test_a_replica_that_stands_still_is_unfit(mariadb_pair: Pair, tmp_path: Path) -> None:
    create_daemon_account(mariadb_pair.primary.server, keyspace=KEYSPACE)
    mariadb_pair.catch_up()
    mariadb_pair.replica.query("STOP SLAVE")
    lines = examined(config(mariadb_pair.replica, tmp_path))
    check, text, remedy = only_failure(lines)
    assert (check, remedy) == ("role", "START SLAVE, SHOW SLAVE STATUS")
    assert text.startswith("replication does not run")
    source = f"a replica of {mariadb_pair.primary.host}:{mariadb_pair.primary.port}"
    assert of(lines, "role")[0][1] == source


def test_the_lease_of_a_daemon_that_has_ended_is_nobodys(
    patient: RealServer, tmp_path: Path
) -> None:
    async def take_for(holder: Holder) -> None:
        async with lease_of(patient, holder) as lease:
            await lease.make_primary()

    asyncio.run(take_for(holder_of(1)))
    ((verdict, text, _),) = of(examined(config(patient, tmp_path)), "lease")
    assert (verdict, holder_of(1).tablet in text) == (Verdict.WARN, True)
    patient.script("UPDATE _vt.lease SET nonce = ''")
    asyncio.run(take_for(dead_holder()))
    patient.script("UPDATE _vt.lease SET expires_at = '9999-12-31'")
    ((verdict, text, _),) = of(examined(config(patient, tmp_path)), "lease")
    assert (verdict, text.startswith("nobody has it")) == (Verdict.OK, True)


def test_the_command_tells_programs_by_json_and_exit_code(
    patient: RealServer, tmp_path: Path
) -> None:
    file = tmp_path / "tabletd.toml"
    settings = {
        key: value
        for key, value in config(patient, tmp_path).model_dump(mode="json").items()
        if key.startswith(("tablet_alias", "keyspace", "mysql_host", "mysql_port", "run_"))
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    file.write_text("\n".join([*lines, f'mysql_password = "{DAEMON_PASSWORD}"', "http_port = 0"]))
    file.chmod(0o600)
    command = ["doctor", "--config", str(file), "--grpc-port=0"]
    fit = CliRunner().invoke(application, [*command, "--json"])
    assert (fit.exit_code, json.loads(fit.stdout)["fit"]) == (0, True)
    patient.query(f"DROP USER {DAEMON_USER}@127.0.0.1")
    unfit = CliRunner().invoke(application, command)
    assert unfit.exit_code == 1
    assert "\nFAIL  login to MySQL: " in unfit.stdout
    assert unfit.stdout.splitlines()[-1].endswith(" 1 FAIL")


def test_a_configuration_that_is_wrong_is_the_one_failure() -> None:
    result = CliRunner().invoke(application, ["doctor", "--grpc-port", "x", "--json"])
    assert result.exit_code == 1
    (finding,) = json.loads(result.stdout)["findings"]
    assert (finding["check"], finding["verdict"]) == ("configuration", "fail")
