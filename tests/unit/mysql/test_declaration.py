"""The declared tables, and what an ALTER makes of what is there."""

from __future__ import annotations

import pytest

from tabletd.mysql.sidecar.declaration import (
    ColumnFacts,
    KeyFacts,
    normal_default,
    normal_type,
    parse_declaration,
)
from tabletd.mysql.sidecar.sidecar import DECLARED_TABLES, changes_to

_TABLE = parse_declaration(
    "-- a remark\n"
    "CREATE TABLE IF NOT EXISTS `_vt`.`t` (\n"
    "  `id` bigint unsigned NOT NULL AUTO_INCREMENT,\n"
    "  `name` varchar(9) NOT NULL DEFAULT '',\n"
    "  PRIMARY KEY (`id`),\n"
    "  KEY `name_idx` (`name`(4),`id`)\n"
    ") ENGINE=InnoDB"
)


def test_a_table_as_declared_needs_no_change() -> None:
    for table in (_TABLE, *DECLARED_TABLES):
        assert changes_to(table, table.columns, table.keys) == []


def test_each_difference_is_one_part_of_the_alter() -> None:
    columns = {"id": _TABLE.columns["id"], "name": ColumnFacts("varchar(8)", False, "", False)}
    keys = {"name_idx": KeyFacts(False, (("name", 0), ("id", 0)))}
    assert changes_to(_TABLE, columns, keys) == [
        "MODIFY COLUMN `name` varchar(9) NOT NULL DEFAULT ''",
        "ADD PRIMARY KEY (`id`)",
        "DROP KEY `name_idx`",
        "ADD KEY `name_idx` (`name`(4),`id`)",
    ]
    assert changes_to(_TABLE, {"id": _TABLE.columns["id"]}, _TABLE.keys) == [
        "ADD COLUMN `name` varchar(9) NOT NULL DEFAULT ''"
    ]


@pytest.mark.parametrize("line", ["`a` int", "a int NOT NULL,", "FOREIGN KEY (`a`)"])
def test_a_line_out_of_form_is_refused(line: str) -> None:
    text = f"CREATE TABLE IF NOT EXISTS `_vt`.`t` (\n  {line}\n) ENGINE=InnoDB"
    with pytest.raises(ValueError, match="neither a column nor a key"):
        parse_declaration(text)


@pytest.mark.parametrize(
    ("shown", "normal"),
    [("bigint(20) unsigned", "bigint unsigned"), ("INT", "int"), ("varchar(64)", "varchar(64)")],
)
def test_display_widths_do_not_count(shown: str, normal: str) -> None:
    assert normal_type(shown) == normal


@pytest.mark.parametrize(
    ("mysql", "mariadb"),
    [("", "''"), ("0", "0"), (None, "NULL"), ("CURRENT_TIMESTAMP", "current_timestamp()")],
)
def test_both_flavours_write_the_same_default(mysql: str | None, mariadb: str) -> None:
    assert normal_default(mysql) == normal_default(mariadb)
