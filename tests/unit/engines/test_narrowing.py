"""Which values of a column are asked for before it gets another definition."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tabletd.executor.columns import Column, Lineage
from tabletd.executor.preflight.definition import Definition, UniqueKey
from tabletd.executor.preflight.duplicates import possible_collisions
from tabletd.executor.preflight.narrowing import misfit
from tabletd.mysql.quote import identifier

INT = Column("n", "int", "int(11)", digits=10)
TINY = replace(INT, data_type="tinyint", column_type="tinyint(4)", digits=3)
WIDE = replace(INT, data_type="bigint", column_type="bigint(20)", digits=19)
TEXT = Column(
    "n", "varchar", "varchar(40)", length=40, octets=160, charset="utf8mb4",
    collation="utf8mb4_bin",
)  # fmt: skip
SHORT = replace(TEXT, column_type="varchar(10)", length=10, octets=40)
CASELESS = replace(TEXT, collation="utf8mb4_general_ci")
LATIN = replace(TEXT, charset="latin1", collation="latin1_bin", octets=40)
MONEY = Column("n", "decimal", "decimal(12,2)", digits=12, scale=2)
WHOLE = replace(MONEY, column_type="decimal(12,0)", scale=0)
MOMENT = Column("n", "datetime", "datetime(6)", fraction=6)
STAMP = replace(MOMENT, data_type="timestamp", column_type="timestamp", fraction=0)
DAY = Column("n", "date", "date")
COLOUR = Column(
    "n", "enum", "enum('red','gr''een')", length=7, octets=28, charset="utf8mb4",
    collation="utf8mb4_general_ci",
)  # fmt: skip
RED = replace(COLOUR, column_type="enum('red')", length=3, octets=12)
SHAPE = Column("n", "geometry", "geometry")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (INT, INT),
        (TINY, WIDE),
        (SHORT, TEXT),
        (TEXT, CASELESS),
        (LATIN, TEXT),
        (INT, MONEY),
        (DAY, MOMENT),
        (replace(INT, is_nullable=False), INT),
        (INT, Column("n", "double", "double")),
    ],
)
def test_nothing_is_asked_where_every_value_fits(old: Column, new: Column) -> None:
    condition = misfit(old, new, "`n`")
    assert condition is not None
    assert condition.sql == ""


@pytest.mark.parametrize(
    ("old", "new", "sql"),
    [
        (INT, TINY, "`n` < -128 OR `n` > 127"),
        (WIDE, replace(WIDE, column_type="bigint(20) unsigned"), "`n` < 0"),
        (INT, replace(INT, is_nullable=False), "`n` IS NULL"),
        (TEXT, SHORT, "CHAR_LENGTH(`n`) > 10"),
        (MONEY, WHOLE, "ROUND(`n`, 0) <> `n`"),
        (MONEY, TINY, "ROUND(`n`) < -128 OR ROUND(`n`) > 127"),
        (MOMENT, DAY, "TIME_TO_SEC(`n`) <> 0 OR MICROSECOND(`n`) <> 0"),
        (COLOUR, RED, "CAST(`n` AS CHAR) NOT IN (%s)"),
    ],
)
def test_values_that_do_not_fit_are_asked_for(old: Column, new: Column, sql: str) -> None:
    condition = misfit(old, new, "`n`")
    assert condition is not None
    assert condition.sql == sql


def test_a_smaller_character_set_is_judged_by_the_server_itself() -> None:
    condition = misfit(TEXT, LATIN, "`n`")
    assert condition is not None
    assert "USING latin1" in condition.sql


def test_a_pair_of_types_that_we_do_not_know_is_no_pair_that_fits() -> None:
    assert misfit(SHAPE, TEXT, "`n`") is None


def test_the_members_of_an_enum_are_read_with_their_quotes() -> None:
    assert COLOUR.members == ("red", "gr'een")


def definition(*columns: Column, keys: tuple[UniqueKey, ...] = ()) -> Definition:
    return Definition({column.name.casefold(): column for column in columns}, keys)


ID = replace(INT, name="id", is_nullable=False)
PRIMARY = UniqueKey("PRIMARY", (("id", None),))
BY_N = UniqueKey("by_n", (("n", None),))


def collisions(
    old: Definition, new: Definition, dropped: tuple[str, ...] = (), **renamed: str
) -> list[tuple[str, ...]]:
    former = Lineage(old.columns, renamed, dropped).former
    found = possible_collisions(old, new, former, identifier)
    return [(one.key, *one.parts, *filter(None, [one.unknown])) for one in found]


def test_a_new_unique_key_is_asked_about() -> None:
    old = definition(ID, TEXT, keys=(PRIMARY,))
    assert collisions(old, definition(ID, TEXT, keys=(PRIMARY, BY_N))) == [("by_n", "`n`")]


def test_a_unique_key_that_has_another_one_in_it_is_not_asked_about() -> None:
    both = UniqueKey("both", (("n", None), ("id", None)))
    old = definition(ID, TEXT, keys=(PRIMARY,))
    assert collisions(old, definition(ID, TEXT, keys=(PRIMARY, both))) == []


def test_a_unique_key_over_fewer_columns_or_characters_is_asked_about() -> None:
    both = UniqueKey("both", (("n", None), ("id", None)))
    old = definition(ID, TEXT, keys=(both,))
    assert collisions(old, definition(ID, TEXT, keys=(BY_N,))) == [("by_n", "`n`")]
    short = UniqueKey("by_n", (("n", 5),))
    old = definition(ID, TEXT, keys=(PRIMARY, BY_N))
    assert collisions(old, definition(ID, TEXT, keys=(PRIMARY, short))) == [
        ("by_n", "LEFT(`n`, 5)")
    ]


def test_a_collation_that_takes_values_for_one_is_asked_about() -> None:
    old = definition(ID, TEXT, keys=(PRIMARY, BY_N))
    new = definition(ID, CASELESS, keys=(PRIMARY, BY_N))
    assert collisions(old, new) == [
        ("by_n", "CONVERT(`n` USING utf8mb4) COLLATE utf8mb4_general_ci")
    ]


def test_a_key_whose_numbers_get_wider_is_not_asked_about() -> None:
    old = definition(ID, keys=(PRIMARY,))
    new = definition(replace(ID, data_type="bigint", column_type="bigint(20)"), keys=(PRIMARY,))
    assert collisions(old, new) == []


def test_a_renamed_column_is_asked_by_its_former_name() -> None:
    old = definition(ID, TEXT, keys=(PRIMARY,))
    new = definition(
        ID, replace(TEXT, name="code"), keys=(PRIMARY, UniqueKey("c", (("code", None),)))
    )
    assert collisions(old, new, code="n") == [("c", "`n`")]


def test_a_new_column_alone_makes_all_rows_alike_unless_it_is_counted_or_null() -> None:
    old = definition(ID, keys=(PRIMARY,))
    key = UniqueKey("c", (("c", None),))
    constant = replace(INT, name="c", is_nullable=False)
    assert collisions(old, definition(ID, constant, keys=(PRIMARY, key))) == [("c",)]
    counted = replace(constant, extra="auto_increment")
    assert collisions(old, definition(ID, counted, keys=(PRIMARY, key))) == []
    assert collisions(old, definition(ID, replace(INT, name="c"), keys=(PRIMARY, key))) == []


def test_a_column_that_takes_the_name_of_a_dropped_one_is_new() -> None:
    old = definition(ID, TEXT, keys=(PRIMARY, BY_N))
    new = definition(ID, replace(TEXT, is_nullable=False), keys=(PRIMARY, BY_N))
    assert collisions(old, new) == []
    assert collisions(old, new, dropped=("n",)) == [("by_n",)]


def test_a_key_over_a_computed_column_cannot_be_asked_about() -> None:
    old = definition(ID, keys=(PRIMARY,))
    computed = replace(INT, name="c", extra="VIRTUAL GENERATED")
    key = UniqueKey("c", (("c", None),))
    assert collisions(old, definition(ID, computed, keys=(PRIMARY, key))) == [("c", "c")]


def test_a_row_is_named_by_its_primary_key_or_another_that_is_never_null() -> None:
    by_code = UniqueKey("a_code", (("n", None),))
    named = replace(TEXT, is_nullable=False)
    assert definition(ID, named, keys=(by_code, PRIMARY)).row_key == ("id",)
    assert definition(ID, named, keys=(by_code,)).row_key == ("n",)
    assert definition(ID, TEXT, keys=(by_code,)).row_key == ()
