"""Where settings come from, and what is said of wrong ones."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tabletd.app.queue import tool_program
from tabletd.config import (
    CONFIG_PATH_VARIABLE,
    KEYS,
    RELOADABLE,
    SECRETS,
    Config,
    LoadedConfig,
    load_config,
    shown_settings,
)
from tabletd.config_values import format_duration, parse_duration
from tabletd.errors import Reason, TabletdError

NEEDED = {"tablet_alias": "zone1-0000000100", "keyspace": "shop"}


def loaded(
    environment: dict[str, str] | None = None, toml: Path | None = None, **flags: Any
) -> LoadedConfig:
    return load_config({**NEEDED, **flags}, environment or {}, toml)


def refusal(**arguments: Any) -> str:
    with pytest.raises(TabletdError) as caught:
        loaded(**arguments)
    assert caught.value.reason is Reason.INVALID_CONFIG
    return str(caught.value)


def toml_file(directory: Path, text: str) -> Path:
    path = directory / "tabletd.toml"
    path.write_text(text)
    return path


def test_a_flag_goes_before_the_environment_before_the_file_before_the_default(
    tmp_path: Path,
) -> None:
    toml = toml_file(tmp_path, 'grpc_port = 1\nhttp_port = 1\nmysql_port = 1\nshard = "-80"\n')
    environment = {"TABLETD_GRPC_PORT": "2", "TABLETD_HTTP_PORT": "2"}
    found = loaded(environment, toml, grpc_port="3")
    assert (found.config.grpc_port, found.config.http_port, found.config.mysql_port) == (3, 2, 1)
    assert (found.config.shard, found.config.mysql_host) == ("-80", "127.0.0.1")
    assert found.sources["grpc_port"] == "--grpc-port"
    assert found.sources["http_port"] == "TABLETD_HTTP_PORT"
    assert found.sources["mysql_port"] == str(toml)
    assert "mysql_host" not in found.sources


def test_the_environment_can_name_the_file(tmp_path: Path) -> None:
    toml = toml_file(tmp_path, "grpc_port = 77\n")
    assert loaded({"TABLETD_CONFIG": str(toml)}).config.grpc_port == 77


def test_an_unknown_key_is_named_with_its_file_and_the_nearest_key(tmp_path: Path) -> None:
    toml = toml_file(tmp_path, 'mysql_hots = "db1"\n')
    text = refusal(toml=toml)
    assert f"{toml}: unknown key mysql_hots" in text
    assert "did you mean mysql_host?" in text


def test_an_unknown_variable_is_named_as_a_variable() -> None:
    text = refusal(environment={"TABLETD_GRPC_PROT": "1"})
    assert "TABLETD_GRPC_PROT" in text
    assert "did you mean TABLETD_GRPC_PORT?" in text


def test_variables_of_others_are_not_looked_at() -> None:
    assert loaded({"MYSQL_HOST": "elsewhere"}).config.mysql_host == "127.0.0.1"


def test_a_missing_key_says_how_it_can_be_given() -> None:
    with pytest.raises(TabletdError, match="keyspace is required: set it by --keyspace"):
        load_config({"tablet_alias": "zone1-1"}, {})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("grpc_port", "http"),
        ("grpc_port", "70000"),
        ("heartbeat_interval", "soon"),
        ("heartbeat_interval", "-1s"),
        ("heartbeat_interval", "inf"),
        ("health_check_interval", "0"),
        ("tablet_type", "master"),
        ("tablet_alias", "nameless"),
        ("log_format", "xml"),
        ("replicas", "host-without-port"),
        ("max_concurrent_migrations", "0"),
        ("max_concurrent_online_ddl", "0"),
        ("default_online_strategy", "magic"),
        ("allow_unsafe_cutover", "perhaps"),
        ("table_gc_lifecycle", "hold,burn,drop"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_by_the_name_of_its_key(key: str, value: str) -> None:
    assert key in refusal(**{key: value})


def test_a_wrong_alias_is_told_how_one_looks() -> None:
    assert "'zone1' is not cell-uid, such as zone1-0000000100" in refusal(tablet_alias="zone1")


def test_every_mistake_is_told_at_once() -> None:
    text = refusal(grpc_port="x", log_format="y")
    assert "--grpc-port: grpc_port" in text
    assert "--log-format: log_format" in text


def test_a_file_that_is_no_toml_or_not_there_is_named(tmp_path: Path) -> None:
    assert "not valid TOML" in refusal(toml=toml_file(tmp_path, "grpc_port ="))
    assert "No such file" in refusal(toml=tmp_path / "missing.toml")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("1s", 1.0), ("2h", 7200.0), ("1h30m", 5400.0), ("90", 90.0), (0.5, 0.5)],
)
def test_a_duration_is_text_with_a_unit_or_seconds(text: str | float, seconds: float) -> None:
    assert loaded(migration_check_interval=text).config.migration_check_interval == seconds


@given(st.integers(1, 10**9))
def test_a_duration_in_milliseconds_survives_being_shown(milliseconds: int) -> None:
    shown = format_duration(milliseconds / 1000)
    assert parse_duration(shown) == pytest.approx(milliseconds / 1000)


@given(st.text(max_size=12))
def test_no_text_breaks_the_reading_of_durations(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse_duration(text), float)


def test_a_list_is_written_with_commas_or_as_a_list(tmp_path: Path) -> None:
    toml = toml_file(tmp_path, 'replicas = ["a:1", "b:2"]\n')
    assert loaded(toml=toml).config.replicas == ("a:1", "b:2")
    assert loaded(replicas="a:1, b:2").config.replicas == ("a:1", "b:2")


def test_an_empty_text_means_not_set() -> None:
    assert loaded(mysql_socket="", gh_ost_path="").config.mysql_socket is None


def test_the_database_is_the_keyspace_unless_it_is_named() -> None:
    assert loaded().config.database == "shop"
    assert loaded(mysql_database="shop_1").config.database == "shop_1"


def test_a_password_comes_from_its_file_without_the_last_newline(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("se cret\n")
    path.chmod(0o600)
    assert loaded(mysql_password_file=str(path)).config.secret("mysql_password") == "se cret"
    assert loaded().config.secret("mysql_password") == ""


def test_a_password_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    config = loaded(mysql_password_file=str(tmp_path / "none")).config
    with pytest.raises(TabletdError, match=r"mysql_password_file: cannot read .*none"):
        config.secret("mysql_password")


def test_a_password_given_twice_is_refused(tmp_path: Path) -> None:
    environment = {"TABLETD_MYSQL_PASSWORD": "x"}
    assert "keep one" in refusal(environment=environment, mysql_password_file=str(tmp_path))


def test_a_password_is_never_shown() -> None:
    found = loaded({f"TABLETD_{name.upper()}": "open sesame" for name in SECRETS})
    assert found.config.secret("mysql_password") == "open sesame"
    everything = f"{shown_settings(found)} {found.config!r} {found.config.model_dump()}"
    assert "sesame" not in everything
    assert ("mysql_password", '"(hidden)"', "TABLETD_MYSQL_PASSWORD") in shown_settings(found)


def test_a_wrong_value_is_refused_without_repeating_a_password() -> None:
    assert "sesame" not in refusal(environment={"TABLETD_MYSQL_PASSWORD": "sesame"}, grpc_port="x")


def test_what_is_shown_can_be_read_again_as_a_file(tmp_path: Path) -> None:
    found = loaded(
        replicas="a:1",
        heartbeat_interval="250ms",
        allowed_schemas='a,the "b"',
        gh_ost_path='/opt/a "new"\\one/gh-ost',
    )
    lines = [f"{key} = {value}" for key, value, _ in shown_settings(found)]
    again = load_config({}, {}, toml_file(tmp_path, "\n".join(lines)))
    assert again.config == found.config


def test_the_file_is_known_whatever_else_names_one(tmp_path: Path) -> None:
    options = tmp_path / "my.cnf"
    options.write_text("[client]\nuser=ann\n")
    options.chmod(0o600)
    assert loaded(mysql_defaults_file=str(options)).path is None
    file = toml_file(tmp_path, "shard = '1'")
    assert load_config({**NEEDED, "shard": "2"}, {}, file).path == file
    assert load_config(NEEDED, {CONFIG_PATH_VARIABLE: str(file)}).path == file


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        setattr(loaded().config, "grpc_port", 1)  # noqa: B010


def test_every_setting_is_described() -> None:
    for key in KEYS:
        assert Config.model_fields[key].description, key


def test_only_what_a_running_daemon_takes_over_is_reloadable() -> None:
    assert {"log_level", "throttle_threshold", "retain_artifacts"} <= RELOADABLE
    assert "mysql_host" not in RELOADABLE


def test_files_that_the_tools_read_are_named_from_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = loaded(mysql_ssl_ca="tls/ca.pem").config
    assert config.mysql_ssl_ca == tmp_path / "tls/ca.pem"


def test_a_tool_named_by_a_relative_path_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "gh-ost"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    assert tool_program(Path("bin/gh-ost"), "gh-ost") == str(program)
