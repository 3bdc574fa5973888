"""Which columns an ALTER gives another name, and which it drops."""

from __future__ import annotations

import pytest

from tabletd.executor.renames import dropped_columns, renamed_columns


@pytest.mark.parametrize(
    ("options", "renamed"),
    [
        ("ADD COLUMN a INT", {}),
        ("CHANGE a b INT", {"b": "a"}),
        ("CHANGE COLUMN `a,x` `b` INT DEFAULT 1, ADD KEY (b)", {"b": "a,x"}),
        ("RENAME COLUMN a TO b, RENAME COLUMN b TO a", {"b": "a", "a": "b"}),
        ("CHANGE A a BIGINT", {}),
        ("MODIFY a DECIMAL(3,2), CHANGE c d ENUM('x, CHANGE y z','w')", {"d": "c"}),
        ("RENAME INDEX a TO b", {}),
        ("RENAME KEY a TO b, CHANGE IF EXISTS a b INT", {"b": "a"}),
        ("RENAME TO other", {}),
        ("/*!50000 CHANGE a b INT */", {"b": "a"}),
    ],
)
def test_a_renamed_column_is_known_by_its_former_name(
    options: str, renamed: dict[str, str]
) -> None:
    assert renamed_columns(options) == renamed


@pytest.mark.parametrize(
    ("options", "dropped"),
    [
        ("DROP a, DROP COLUMN `b`, DROP COLUMN IF EXISTS c", {"a", "b", "c"}),
        ("DROP COLUMN a, ADD COLUMN a INT", {"a"}),
        ("DROP KEY a, DROP INDEX b, DROP PRIMARY KEY, DROP FOREIGN KEY d", set[str]()),
        ("ADD COLUMN a INT DEFAULT 1, ADD KEY (a)", set[str]()),
    ],
)
def test_a_dropped_column_is_told_from_a_dropped_key(options: str, dropped: set[str]) -> None:
    assert dropped_columns(options) == dropped
