from __future__ import annotations

import pytest

from tabletd.executor import ddl
from tabletd.executor.engines.instant import instant_statement


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("ALTER TABLE t ADD c INT", "ALTER TABLE `s`.`t` ADD c INT, ALGORITHM=INSTANT"),
        (
            "alter table x.`t` add c int -- why\n;",
            "alter table `s`.`t` add c int, ALGORITHM=INSTANT",
        ),
        ("ALTER TABLE t ADD c INT, ALGORITHM=COPY", ""),
        ("ALTER TABLE t", ""),
        ("CREATE INDEX i ON t (c)", ""),
        ("CREATE TABLE t (c INT)", ""),
        ("ALTER VIEW t AS SELECT 1", ""),
    ],
)
def test_only_an_alter_table_without_an_algorithm_is_asked_for(sql: str, expected: str) -> None:
    assert instant_statement(ddl.parse(sql), "`s`.`t`") == expected
