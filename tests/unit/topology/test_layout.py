"""The topology file: what it says, and what is refused in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.topology import read_layout

TWO_SHARDS = """
[[tablets]]
alias = "zone1-200"
keyspace = "shop"
shard = "80-"
host = "10.0.0.2"

[[tablets]]
alias = "zone1-0000000100"
keyspace = "shop"
shard = "-80"
host = "10.0.0.1"
grpc_port = 17100
http_port = 17101
mysql_host = "db1"
mysql_port = 3307
database = "shop_low"

[[tablets]]
alias = "zone2-0000000300"
keyspace = "users"
host = "2001:db8::1"
"""


def written(directory: Path, text: str) -> Path:
    path = directory / "topology.toml"
    path.write_text(text)
    return path


def test_a_file_gives_cells_keyspaces_and_shards_in_a_fixed_order(tmp_path: Path) -> None:
    layout = read_layout(written(tmp_path, TWO_SHARDS))

    assert layout.cells == ("zone1", "zone2")
    assert layout.keyspaces == ("shop", "users")
    assert layout.shards("shop") == ("-80", "80-")
    assert layout.shards("users") == ("0",)
    low = layout.tablet("zone1-0000000100")
    assert low.grpc_address == "10.0.0.1:17100"
    assert (low.http_port, low.mysql_host, low.mysql_port) == (17101, "db1", 3307)
    assert low.database == "shop_low"
    high = layout.tablet("zone1-0000000200")
    assert (high.grpc_port, high.http_port) == (16100, 15100)
    assert (high.mysql_host, high.mysql_port) == ("10.0.0.2", 3306)
    assert layout.tablet("zone2-0000000300").grpc_address == "[2001:db8::1]:16100"
    assert layout.shard_tablets("shop", "-80") == (low,)


def test_many_shards_are_in_the_order_of_their_ranges(tmp_path: Path) -> None:
    text = "".join(
        f'[[tablets]]\nalias = "z-{number}"\nkeyspace = "k"\nshard = "{shard}"\n'
        f"grpc_port = {16000 + number}\n"
        for number, shard in enumerate(["c0-", "40-80", "-40", "80-c0"])
    )
    layout = read_layout(written(tmp_path, text))
    assert layout.shards("k") == ("-40", "40-80", "80-c0", "c0-")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "tablets"),
        ("[[tablets]\n", "at line 1"),
        ('[[tablets]]\nkeyspace = "k"\n', "tablets.0.alias"),
        ('[[tablets]]\nalias = "zone1"\nkeyspace = "k"\n', "'zone1' is no tablet alias"),
        ('[[tablets]]\nalias = "z-1"\nkeyspace = "k"\nport = 1\n', "tablets.0.port"),
        ('[[tablets]]\nalias = "z-1"\nkeyspace = "k"\ngrpc_port = 0\n', "grpc_port"),
        (
            '[[tablets]]\nalias = "z-1"\nkeyspace = "k"\n' * 2,
            "two tablets have the alias z-0000000001",
        ),
        (
            '[[tablets]]\nalias = "z-1"\nkeyspace = "k"\n'
            '[[tablets]]\nalias = "z-2"\nkeyspace = "k"\n',
            "two tablets have the grpc address 127.0.0.1:16100",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_what_is_wrong(
    tmp_path: Path, text: str, problem: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(TabletdError, match="topology_file") as caught:
        read_layout(path)
    assert caught.value.reason is Reason.INVALID_CONFIG
    assert str(path) in caught.value.message
    assert problem in caught.value.message


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TabletdError, match="No such file"):
        read_layout(tmp_path / "none.toml")


def test_what_does_not_exist_is_named_with_what_does(tmp_path: Path) -> None:
    layout = read_layout(written(tmp_path, TWO_SHARDS))
    with pytest.raises(TabletdError, match=r"there is no keyspace 'shopp'.*shop, users"):
        layout.shards("shopp")
    with pytest.raises(TabletdError, match="there is no shard of shop '0'"):
        layout.shard_tablets("shop", "0")
    with pytest.raises(TabletdError, match="there is no tablet 'zone1-0000000999'"):
        layout.tablet("zone1-0000000999")
    with pytest.raises(TabletdError, match="there is no cell 'zone9'") as caught:
        layout.check_cell("zone9")
    assert caught.value.reason is Reason.TOPOLOGY_NOT_FOUND
