"""What the settings about access must be before anything listens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tabletd.access.access import Access
from tabletd.access.passwords import PasswordHash
from tabletd.access.roles import Role
from tabletd.app.access import access_settings, audit_path, check_access, listeners
from tabletd.cli import application
from tabletd.config import Config, load_config
from tabletd.config_reference import flag_names
from tabletd.errors import Reason, TabletdError
from tabletd.telemetry.vars import Registry
from tests.support.certificates import Authority

NEEDED = {"tablet_alias": "zone1-0000000100", "keyspace": "shop"}


def config(**settings: Any) -> Config:
    given = {key: str(value) for key, value in settings.items()}
    return load_config({**NEEDED, **given}, {}).config


def refusal(**settings: Any) -> str:
    with pytest.raises(TabletdError) as caught:
        access_settings(config(**settings))
    assert caught.value.reason is Reason.INVALID_CONFIG
    return str(caught.value)


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users.json"
    path.write_text('[{"Username": "ann", "Password": "sesame"}]')
    path.chmod(0o600)
    return path


@pytest.fixture
def tls(tmp_path: Path) -> dict[str, Path]:
    authority = Authority(tmp_path)
    server = authority.pair("server")
    return {
        "grpc_cert": server.cert,
        "grpc_key": server.key,
        "grpc_ca": authority.ca,
        "tablet_manager_grpc_ca": authority.ca,
        "tablet_manager_grpc_cert": server.cert,
        "tablet_manager_grpc_key": server.key,
    }


def test_on_this_machine_alone_nothing_has_to_be_set() -> None:
    assert access_settings(config()).is_open
    assert access_settings(config(grpc_bind="::1", http_bind="localhost")).is_open


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "db1.example"])
def test_a_port_for_other_machines_is_refused_without_credentials(host: str) -> None:
    text = refusal(grpc_bind=host)
    assert f"grpc_bind: at {host} everybody who reaches it could change any table" in text
    assert "set grpc_auth_mode" in text
    assert "--insecure-listen" in text
    assert f"http_bind: at {host} everybody" in refusal(http_bind=host)
    assert access_settings(config(grpc_bind=host, http_bind=host, insecure_listen=True)).is_open


def test_credentials_open_the_ports_for_other_machines(users: Path, tls: dict[str, Path]) -> None:
    static = {
        "grpc_auth_mode": "static",
        "grpc_auth_static_password_file": users,
        "grpc_auth_static_client_creds": "x",
    }
    assert not access_settings(config(grpc_bind="::", http_bind="::", **static)).is_open
    assert not access_settings(config(grpc_bind="::", **tls)).is_open


def test_tls_alone_shuts_nobody_out(tls: dict[str, Path]) -> None:
    del tls["grpc_ca"]
    assert "grpc_bind: at ::" in refusal(grpc_bind="::", **tls)


def test_health_and_metrics_may_be_opened_alone() -> None:
    for pages in ("health", "metrics", "health,metrics"):
        access_settings(config(http_bind="::", http_open_pages=pages))
    assert "knows health and metrics, not 'status'" in refusal(http_open_pages="health,status")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"grpc_cert": "x"}, "grpc_cert needs grpc_key"),
        ({"grpc_key": "x"}, "grpc_key needs grpc_cert"),
        ({"grpc_ca": "x"}, "grpc_ca needs grpc_cert and grpc_key"),
        ({"grpc_server_ca": "x"}, "grpc_server_ca needs"),
        ({"grpc_crl": "x"}, "grpc_crl needs grpc_ca"),
        ({"grpc_auth_mode": "static"}, "static needs grpc_auth_static_password_file"),
        (
            {"grpc_auth_mode": "static", "grpc_auth_static_password_file": "x"},
            "needs grpc_auth_static_client_creds: the daemon calls itself and others",
        ),
        ({"grpc_auth_mode": "mtls"}, "mtls needs grpc_ca"),
        (
            {"grpc_cert": "x", "grpc_key": "x", "grpc_ca": "x"},
            "grpc_ca needs tablet_manager_grpc_cert and _key",
        ),
        ({"grpc_cert": "x", "grpc_key": "x"}, "grpc_cert needs tablet_manager_grpc_ca"),
        ({"grpc_auth_static_password_file": "x"}, "needs grpc_auth_mode static"),
        ({"grpc_auth_mtls_roles": "a=admin"}, "grpc_auth_mtls_* needs grpc_ca"),
        ({"grpc_auth_mtls_roles": "admin"}, "gives no role to a name"),
        ({"grpc_enable_optional_tls": "true"}, "needs grpc_plain_port"),
        ({"grpc_plain_port": "1"}, "grpc_plain_port needs grpc_cert and grpc_key"),
        ({"grpc_password_port": "1"}, "grpc_password_port needs grpc_cert and grpc_key"),
    ],
)
def test_a_setting_that_needs_another_says_which(settings: dict[str, str], said: str) -> None:
    assert said in refusal(**settings)


@pytest.mark.parametrize("port", ["grpc_plain_port", "grpc_password_port"])
def test_a_port_that_asks_for_no_certificate_needs_passwords(
    port: str, tls: dict[str, Path], users: Path
) -> None:
    assert f"{port} needs grpc_auth_static_password_file" in refusal(**{port: "0"}, **tls)
    asked = config(**{port: "0"}, **tls, grpc_auth_static_password_file=users)
    found = listeners(asked, Access(access_settings(asked), Registry()))
    assert [one.setting for one in found] == ["grpc_port", port]
    assert (found[1].credentials is None) is (port == "grpc_plain_port")


def test_substrings_are_parted_by_colons_as_vitess_does(tls: dict[str, Path]) -> None:
    settings = access_settings(
        config(
            **tls,
            grpc_auth_mode="mtls",
            grpc_auth_mtls_allowed_substrings="CN=vtctld, O=x:vtgate",
            grpc_auth_mtls_roles="a=admin, *.b=operator",
            grpc_auth_default_role="operator",
        )
    )
    assert settings.allowed_substrings == ("CN=vtctld, O=x", "vtgate")
    assert settings.certificate_roles == {"a": Role.ADMIN, "*.b": Role.OPERATOR}
    assert settings.default_role is Role.OPERATOR


def test_files_are_read_when_the_configuration_is_checked(tmp_path: Path) -> None:
    check_access(config())
    for key, value in (
        ("grpc_auth_static_client_creds", tmp_path / "none"),
        ("tablet_manager_grpc_ca", tmp_path / "none"),
        ("tablet_manager_grpc_cert", tmp_path / "none"),
    ):
        with pytest.raises(TabletdError, match=key):
            check_access(config(**{key: value}))


def test_the_audit_log_is_beside_the_runs_unless_it_is_named(tmp_path: Path) -> None:
    assert audit_path(config(run_directory=tmp_path)) == tmp_path / "audit.log"
    assert audit_path(config(audit_log=tmp_path / "a")) == tmp_path / "a"


def test_a_command_makes_an_entry_with_a_hash() -> None:
    made = CliRunner().invoke(
        application, ["password", "ann", "--role", "operator"], input="open sesame\n"
    )
    assert made.exit_code == 0, made.output
    entry = json.loads(made.output)
    assert (entry["Username"], entry["Role"]) == ("ann", "operator")
    assert "sesame" not in made.output
    assert PasswordHash.parse(entry["PasswordHash"]).matches("open sesame")


def test_a_flag_may_be_written_as_vitess_wrote_it() -> None:
    done = CliRunner().invoke(
        application,
        ["config", "show", "--tablet-alias=zone1-1", "--keyspace=k", "--grpc_auth_mode=static"],
    )
    assert 'grpc_auth_mode = "static"' in done.output, done.output


def test_switches_of_access_are_taken_in_vitess_spelling_too() -> None:
    shown, other = flag_names("grpc_enable_optional_tls")
    assert shown == "--grpc-enable-optional-tls/--no-grpc-enable-optional-tls"
    assert other == "--grpc_enable_optional_tls/--no-grpc_enable_optional_tls"
    assert len(flag_names("enable_online_ddl")) == 1


def test_optional_tls_in_vitess_spelling_is_refused_for_what_it_lacks_alone() -> None:
    flags = ["--tablet-alias", NEEDED["tablet_alias"], "--keyspace", NEEDED["keyspace"]]
    found = CliRunner().invoke(application, ["serve", *flags, "--grpc_enable_optional_tls"])
    assert "needs grpc_plain_port" in " ".join(found.output.split())
