"""Files that nobody writes by accident are refused like any other: by name and reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabletd.config import load_config
from tabletd.errors import Reason, TabletdError
from tabletd.topology import read_layout

_REQUIRED = 'tablet_alias = "zone1-1"\nkeyspace = "shop"\n'
_HOSTILE = {
    "an array without end": "x = " + "[" * 5000,
    "tables in tables": "x = " + "{a = " * 5000,
    "a number of thousands of digits": "x = " + "9" * 5000,
}


@pytest.mark.parametrize("text", _HOSTILE.values(), ids=_HOSTILE)
def test_a_file_that_cannot_be_read_as_toml_is_refused_by_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "tabletd.toml"
    path.write_text(_REQUIRED + text)
    with pytest.raises(TabletdError, match="not valid TOML") as caught:
        load_config({}, {}, path)
    assert caught.value.reason is Reason.INVALID_CONFIG
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", _HOSTILE.values(), ids=_HOSTILE)
def test_a_topology_that_cannot_be_read_as_toml_is_refused_by_name(
    text: str, tmp_path: Path
) -> None:
    path = tmp_path / "topology.toml"
    path.write_text(text)
    with pytest.raises(TabletdError) as caught:
        read_layout(path)
    assert caught.value.reason is Reason.INVALID_CONFIG
    assert str(path) in str(caught.value)


def test_a_duration_beyond_all_numbers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tabletd.toml"
    path.write_text(_REQUIRED + f"throttle_threshold = {'9' * 400}\n")
    with pytest.raises(TabletdError, match="throttle_threshold") as caught:
        load_config({}, {}, path)
    assert caught.value.reason is Reason.INVALID_CONFIG


@pytest.mark.parametrize("key", ["mysql_password_file", "topology_file", "grpc_cert", "grpc_bind"])
def test_a_text_with_nul_is_refused_before_it_is_used(key: str, tmp_path: Path) -> None:
    path = tmp_path / "tabletd.toml"
    path.write_text(_REQUIRED + f'{key} = "/etc/x\\u0000"\n')
    with pytest.raises(TabletdError, match=f"{key}: .*NUL") as caught:
        load_config({}, {}, path)
    assert caught.value.reason is Reason.INVALID_CONFIG
