from __future__ import annotations

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.executor.table_text import alter_options, read_table

LIVE = (
    "CREATE TABLE `t` (\n"
    "  `id` int(11) NOT NULL,\n"
    "  `a` varchar(10) DEFAULT 'x,)(',\n"
    "  `b` enum('y','z') DEFAULT NULL COMMENT 'it''s, so',\n"
    "  PRIMARY KEY (`id`),\n"
    "  UNIQUE KEY `a` (`a`),\n"
    "  CONSTRAINT `t_ibfk_1` FOREIGN KEY (`id`) REFERENCES `p` (`id`)\n"
    ") ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4 COMMENT='c'"
)


def changed(*pairs: tuple[str, str]) -> str:
    text = LIVE
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], ""),
        ([("t_ibfk_1", "scratch_ibfk_1"), ("AUTO_INCREMENT=7 ", "")], ""),
        ([("AUTO_INCREMENT=7", "AUTO_INCREMENT=3")], ""),
        ([("AUTO_INCREMENT=7", "AUTO_INCREMENT=9")], "AUTO_INCREMENT=9"),
        ([("  `b` enum('y','z') DEFAULT NULL COMMENT 'it''s, so',\n", "")], "DROP COLUMN `b`"),
        ([("`id` int(11)", "`id` bigint(20)")], "MODIFY COLUMN `id` bigint(20) NOT NULL"),
        (
            [("so',\n  PRIMARY", "so',\n  `n` int(11),\n  PRIMARY")],
            "ADD COLUMN `n` int(11)",
        ),
        (
            [("  `id` int", "  `n` int(11),\n  `id` int")],
            "ADD COLUMN `n` int(11) FIRST",
        ),
        (
            [("KEY `a` (`a`)", "KEY `a` (`a`,`b`)")],
            "DROP KEY `a`, ADD UNIQUE KEY `a` (`a`,`b`)",
        ),
        ([("  PRIMARY KEY (`id`),\n", "")], "DROP PRIMARY KEY"),
        ([(" COMMENT='c'", "")], "COMMENT=''"),
        (
            [("utf8mb4", "latin1")],
            "MODIFY COLUMN `a` varchar(10) DEFAULT 'x,)(', "
            "MODIFY COLUMN `b` enum('y','z') DEFAULT NULL COMMENT 'it''s, so', "
            "DEFAULT CHARSET=latin1",
        ),
    ],
)
def test_one_alter_makes_a_table_like_another(pairs: list[tuple[str, str]], expected: str) -> None:
    assert alter_options(read_table(LIVE), read_table(changed(*pairs))) == expected


def test_as_few_columns_move_as_can() -> None:
    live = read_table("CREATE TABLE `t` (`a` int, `b` int, `c` int, `d` int) ENGINE=InnoDB")
    wanted = read_table("CREATE TABLE `t` (`d` int, `a` int, `b` int, `c` int) ENGINE=InnoDB")
    assert alter_options(live, wanted) == "MODIFY COLUMN `d` int FIRST"


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("REFERENCES `p`", "REFERENCES `q`", "foreign keys"),
        ("COMMENT='c'", "COMMENT='c'\n/*!50100 PARTITION BY HASH (`id`) */", "partitions"),
        ("  CONSTRAINT `t_ibfk_1` F", "  CONSTRAINT `k` CHECK (`id` > 0),\n  CONSTRAINT `x` F",
         "check constraints"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_by_one_alter_is_refused(old: str, new: str, named: str) -> None:
    with pytest.raises(TabletdError) as refused:
        alter_options(read_table(LIVE), read_table(changed((old, new))))
    assert refused.value.reason is Reason.UNSUPPORTED_DDL
    assert named in str(refused.value)
