"""The reference of settings: complete, and the page in docs/ is what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabletd.config import KEYS, RELOADABLE, SECRETS
from tabletd.config_reference import (
    GROUPS,
    Setting,
    as_markdown,
    as_text,
    settings,
)

PAGE = Path(__file__).resolve().parents[3] / "docs" / "configuration.md"
ALL = [setting for number in range(len(GROUPS)) for setting in settings(number)]


def one(key: str) -> Setting:
    return next(setting for setting in ALL if setting.key == key)


def test_the_page_is_what_the_command_prints() -> None:
    assert PAGE.read_text() == as_markdown(), (
        "make it anew: tabletd config reference --format markdown > docs/configuration.md"
    )


def test_every_setting_stands_in_one_group() -> None:
    assert sorted(setting.key for setting in ALL) == sorted(KEYS)
    assert all(settings(number) for number in range(len(GROUPS)))


@pytest.mark.parametrize("setting", ALL, ids=lambda setting: setting.key)
def test_every_setting_says_what_it_is_and_in_which_unit(setting: Setting) -> None:
    assert setting.meaning.endswith(".")
    assert setting.kind
    assert setting.kind.partition(",")[0] != "number"
    assert setting.is_reloadable == (setting.key in RELOADABLE)


@pytest.mark.parametrize("setting", ALL, ids=lambda setting: setting.key)
def test_every_setting_says_why(setting: Setting) -> None:
    assert len(setting.why.split()) > 1 or setting.why == "Vitess's"
    assert not setting.why.endswith(".")


def test_secrets_have_a_variable_and_no_flag() -> None:
    for key in SECRETS:
        assert one(key).flags == ()
        assert one(key).variable == f"TABLETD_{key.upper()}"
        assert one(key).kind == "text, secret"


def test_values_are_written_as_the_file_takes_them() -> None:
    assert (one("heartbeat_interval").kind, one("heartbeat_interval").default) == ("duration", "1s")
    assert one("lease_duration").kind == "duration, 1s to 1h"
    assert one("grpc_calls_max").kind == "calls, at least 1"
    assert one("verify_load_percent").kind == "percent, 1 to 100"
    assert (one("on_stop").kind, one("on_stop").default) == ("detach | cancel | wait", "detach")
    assert (one("grpc_plain_port").kind, one("grpc_plain_port").default) == ("port", "")
    assert (one("replicas").kind, one("callback_address").kind) == (
        "list of host:port",
        "host:port",
    )
    assert one("tablet_alias").is_required


def test_the_text_has_each_setting_with_its_flag_and_variable() -> None:
    text = as_text()
    assert "    --grpc-port, TABLETD_GRPC_PORT\n" in text
    assert "    --log-level, TABLETD_LOG_LEVEL; taken over on SIGHUP\n" in text
    assert all(f"\n{key}: " in text for key in KEYS)
