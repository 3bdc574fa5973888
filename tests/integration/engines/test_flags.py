"""Flags of a migration that its tool has to obey."""

from __future__ import annotations

import pytest

from tabletd.errors import TabletdError
from tabletd.executor.migration import Strategy
from tabletd.executor.states import Status
from tests.integration.engines.rig import Rig

GH_OST, PT_OSC = Strategy.GH_OST, Strategy.PT_OSC
ADD_EXTRA = "ALTER TABLE orders ADD COLUMN extra INT"


def create_zero_dates(rig: Rig) -> None:
    rig.server.script(
        "SET SESSION sql_mode = ''",
        "CREATE TABLE orders (id INT PRIMARY KEY, made DATE NOT NULL DEFAULT '0000-00-00') "
        "ENGINE=InnoDB",
        "INSERT INTO orders VALUES (1, '0000-00-00'), (2, '2026-00-00'), (3, '2026-11-23')",
        database=rig.schema,
    )
    rig.server.query("SET GLOBAL sql_mode = 'STRICT_TRANS_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE'")


async def test_zeros_in_dates_are_taken_along_where_that_is_allowed(
    tool_and_rig: tuple[Strategy, Rig],
) -> None:
    strategy, rig = tool_and_rig
    create_zero_dates(rig)
    refused, _ = await rig.run(strategy, ADD_EXTRA)
    assert refused.status is Status.FAILED, refused

    outcome, _ = await rig.run(strategy, ADD_EXTRA, options="--allow-zero-in-date")
    assert outcome.status is Status.COMPLETE, outcome
    made = "SELECT CAST(made AS CHAR) FROM orders ORDER BY id"
    rows = rig.server.query(made, database=rig.schema)
    assert [row[0] for row in rows] == ["0000-00-00", "2026-00-00", "2026-11-23"]
    assert rig.leftovers(outcome.old_table) == []


def create_family(rig: Rig) -> None:
    rig.server.script(
        "CREATE TABLE buyers (id INT PRIMARY KEY) ENGINE=InnoDB",
        "CREATE TABLE orders (id INT PRIMARY KEY, buyer INT, "
        "CONSTRAINT bought FOREIGN KEY (buyer) REFERENCES buyers (id)) ENGINE=InnoDB",
        "CREATE TABLE parts (id INT PRIMARY KEY, item INT, "
        "CONSTRAINT belongs FOREIGN KEY (item) REFERENCES orders (id)) ENGINE=InnoDB",
        "INSERT INTO buyers VALUES (1)",
        "INSERT INTO orders VALUES (1, 1)",
        "INSERT INTO parts VALUES (1, 1)",
        database=rig.schema,
    )


async def test_gh_ost_takes_a_table_with_foreign_keys_only_where_that_is_allowed(
    mysql_rig: Rig,
) -> None:
    rig = mysql_rig
    create_family(rig)
    with pytest.raises(TabletdError, match="foreign keys"):
        await rig.run(GH_OST, ADD_EXTRA)

    outcome, _ = await rig.run(GH_OST, ADD_EXTRA, options="--unsafe-allow-foreign-keys")
    assert outcome.status is Status.COMPLETE, outcome
    assert "the foreign keys bought -> buyers are dropped" in outcome.message
    assert f"the foreign keys of {rig.schema}.parts refer to the old table" in outcome.message
    assert "extra" in rig.columns()


async def test_pt_osc_rebuilds_the_foreign_keys_of_others_where_that_is_allowed(
    any_rig: Rig,
) -> None:
    rig = any_rig
    create_family(rig)
    with pytest.raises(TabletdError, match="foreign keys"):
        await rig.run(PT_OSC, ADD_EXTRA)

    outcome, _ = await rig.run(PT_OSC, ADD_EXTRA, options="--unsafe-allow-foreign-keys")
    assert outcome.status is Status.COMPLETE, outcome
    assert "extra" in rig.columns()
    referred = rig.server.scalar(
        "SELECT referenced_table_name FROM information_schema.key_column_usage "
        "WHERE table_schema = %s AND table_name = 'parts' AND referenced_table_name IS NOT NULL",
        (rig.schema,),
    )
    assert referred == "orders"


@pytest.mark.parametrize(("options", "is_analyzed"), [("", False), ("--analyze-table", True)])
async def test_a_table_is_analyzed_first_where_that_is_asked_for(
    mysql_rig: Rig, options: str, is_analyzed: bool
) -> None:
    rig = mysql_rig
    rig.server.query("SET GLOBAL innodb_stats_auto_recalc = 0")
    rig.create_orders(1000, is_analyzed=False)
    outcome, _ = await rig.run(PT_OSC, ADD_EXTRA, options=options)

    assert outcome.status is Status.COMPLETE, outcome
    rows = rig.server.scalar(
        "SELECT n_rows FROM mysql.innodb_table_stats WHERE database_name = %s AND table_name = %s",
        (rig.schema, outcome.old_table),
    )
    assert (rows > 500) is is_analyzed
