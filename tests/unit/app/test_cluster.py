"""Which tablets a daemon knows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tabletd.app.cluster import layout
from tabletd.config import Config


def _known(replicas: Mapping[str, str], **settings: Any) -> list[tuple[str, str, str, str]]:
    config = Config(tablet_alias="zone1-100", keyspace="shop", shard="-80", **settings)
    return [
        (place.alias, place.keyspace, place.shard, place.grpc_address)
        for place in layout(config, 16100, 15100, replicas).tablets
    ]


OWN = ("zone1-0000000100", "shop", "-80", "127.0.0.1:16100")


def test_without_a_file_a_tablet_knows_itself_and_its_replicas() -> None:
    assert _known({}) == [OWN]
    assert _known({"10.0.0.2:16100": "", "[fd00::3]:16101": "zone1-0000000103"}) == [
        ("unheard-0000000001", "shop", "-80", "10.0.0.2:16100"),
        OWN,
        ("zone1-0000000103", "shop", "-80", "[fd00::3]:16101"),
    ]


def test_a_tablet_that_is_among_its_own_replicas_is_known_once() -> None:
    replicas = {
        "10.0.0.1:16100": "zone1-0000000100",
        "10.0.0.2:16100": "zone1-0000000101",
        "db2:16100": "zone1-0000000101",
    }
    assert _known(replicas) == [OWN, ("zone1-0000000101", "shop", "-80", "10.0.0.2:16100")]


def test_a_file_names_all_tablets(tmp_path: Path) -> None:
    path = tmp_path / "topology.toml"
    path.write_text('[[tablets]]\nalias = "zone1-7"\nkeyspace = "shop"\n')
    known = _known({"10.0.0.2:16100": "zone1-0000000101"}, topology_file=path)
    assert [alias for alias, *_ in known] == ["zone1-0000000007"]
