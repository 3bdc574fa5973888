"""What is asked of a table's rows before a tool touches them."""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.executor.controls import LiveControls
from tabletd.executor.migration import Strategy
from tabletd.executor.states import Status
from tests.integration.engines.rig import Record, Rig

ToolAndRig = tuple[Strategy, Rig]


async def refusal(strategy: Strategy, rig: Rig, statement: str, options: str = "") -> str:
    """Return why a migration is refused before anything runs; nothing may be left of it."""
    with pytest.raises(TabletdError) as refused:
        await rig.run(strategy, statement, options=options)
    assert refused.value.reason is Reason.PREFLIGHT_REFUSED, refused.value
    assert rig.leftovers() == []
    return str(refused.value)


async def test_rows_that_a_new_unique_key_would_make_one_are_named(
    tool_and_rig: ToolAndRig,
) -> None:
    strategy, rig = tool_and_rig
    rig.create_orders(100)
    rig.server.query("UPDATE orders SET code = 'same' WHERE id < 3", database=rig.schema)
    why = await refusal(strategy, rig, "ALTER TABLE orders ADD UNIQUE KEY by_code (code)")
    assert "rows are alike in the unique key by_code: id = 1 and 2" in why


async def test_a_primary_key_whose_values_become_one_is_refused(tool_and_rig: ToolAndRig) -> None:
    strategy, rig = tool_and_rig
    rig.server.script(
        "CREATE TABLE orders (name VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin "
        "NOT NULL PRIMARY KEY, n INT) ENGINE=InnoDB",
        "INSERT INTO orders VALUES ('anna', 1), ('Anna', 2), ('bert', 3)",
        database=rig.schema,
    )
    why = await refusal(
        strategy,
        rig,
        "ALTER TABLE orders MODIFY name VARCHAR(20) CHARACTER SET utf8mb4 "
        "COLLATE utf8mb4_general_ci NOT NULL",
    )
    assert "alike in the unique key PRIMARY: name = Anna and anna" in why


async def test_a_change_that_leaves_no_key_to_compare_rows_by_needs_consent(
    mariadb_rig: Rig,
) -> None:
    mariadb_rig.create_orders(10)
    statement = (
        "ALTER TABLE orders DROP COLUMN id, ADD COLUMN n INT NOT NULL AUTO_INCREMENT PRIMARY KEY"
    )
    why = await refusal(Strategy.PT_OSC, mariadb_rig, statement)
    assert "there is no unique key without NULL whose columns are in both" in why
    assert "--verify=false" in why


async def test_rows_are_named_by_all_columns_of_their_key(tool_and_rig: ToolAndRig) -> None:
    strategy, rig = tool_and_rig
    rig.server.script(
        "CREATE TABLE orders (shop VARCHAR(9) COLLATE utf8mb4_bin NOT NULL, "
        "name VARCHAR(9) COLLATE utf8mb4_general_ci NOT NULL, n INT NOT NULL, day DATE NOT NULL, "
        "PRIMARY KEY (shop, name, day)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
        "INSERT INTO orders VALUES ('a', 'é', 1, '2026-01-01'), ('b', 'f', 1, '2026-01-02')",
        database=rig.schema,
    )
    why = await refusal(strategy, rig, "ALTER TABLE orders ADD UNIQUE KEY (n)")
    assert "shop, name, day = a, é, 2026-01-01 and b, f, 2026-01-02" in why


@pytest.mark.parametrize(
    ("column", "change", "found"),
    [
        ("note = 'four'", "MODIFY note VARCHAR(3)", "1 row has a value of note"),
        ("note = NULL", "MODIFY note VARCHAR(120) NOT NULL", "1 row has a value of note"),
        (
            "note = '☃'",
            "MODIFY note VARCHAR(120) CHARACTER SET latin1",
            "1 row has a value of note",
        ),
        ("amount = 300", "MODIFY amount TINYINT NOT NULL", "1 row has a value of amount"),
        (
            "amount = 1.25",
            "CHANGE amount price DECIMAL(12,1) NOT NULL",
            "1 row has a value of amount",
        ),
        ("code = '12a'", "MODIFY code INT NOT NULL", "1 row has a value of code"),
        ("code = '2026-13-01'", "MODIFY code DATE NOT NULL", "3 rows have a value of code"),
        ("note = 'blue'", "MODIFY note ENUM('red', 'a''b')", "1 row has a value of note"),
        ("at = '2026-01-01 10:00:00'", "MODIFY at DATE", "1 row has a value of at"),
        ("at = '2100-01-01 00:00:00'", "MODIFY at TIMESTAMP NULL", "1 row has a value of at"),
        ("kind = 'b'", "MODIFY kind ENUM('a', 'c')", "1 row has a value of kind"),
        ("flags = 'x,y'", "MODIFY flags SET('x', 'z')", "1 row has a value of flags"),
        ("raw = x'ff'", "MODIFY raw VARCHAR(20) CHARACTER SET utf8mb4", "1 row has a value of raw"),
    ],
)
async def test_a_value_that_does_not_fit_is_named(
    mysql_rig: Rig, column: str, change: str, found: str
) -> None:
    rig = mysql_rig
    make_many_types(rig)
    rig.server.query(f"UPDATE orders SET {column} WHERE id = 2", database=rig.schema)
    why = await refusal(Strategy.GH_OST, rig, f"ALTER TABLE orders {change}")
    assert f"{found} that does not fit (" in why
    assert "id = 2" in why


async def test_every_probe_is_a_statement_that_mariadb_takes(mariadb_rig: Rig) -> None:
    rig = mariadb_rig
    make_many_types(rig)
    rig.server.query(
        "UPDATE orders SET note = '☃', amount = 300.25, code = '12a', kind = 'b', flags = 'y', "
        "at = '2100-01-01 10:00:00', raw = x'ff' WHERE id = 2",
        database=rig.schema,
    )
    why = await refusal(
        Strategy.PT_OSC,
        rig,
        "ALTER TABLE orders MODIFY note VARCHAR(120) CHARACTER SET latin1, MODIFY amount TINYINT, "
        "MODIFY code INT, MODIFY kind ENUM('a'), MODIFY flags SET('x'), MODIFY at TIMESTAMP NULL, "
        "MODIFY raw VARCHAR(9) CHARACTER SET utf8mb4",
    )
    for name in ("note", "amount", "code", "kind", "flags", "at", "raw"):
        assert f"1 row has a value of {name} that does not fit (id = 2)" in why


async def test_values_that_fit_a_narrower_definition_pass(tool_and_rig: ToolAndRig) -> None:
    strategy, rig = tool_and_rig
    make_many_types(rig)
    outcome, record = await rig.run(
        strategy,
        "ALTER TABLE orders MODIFY note VARCHAR(20) CHARACTER SET latin1 NOT NULL, "
        "MODIFY amount SMALLINT NOT NULL, MODIFY code INT NOT NULL, MODIFY kind ENUM('a') NULL, "
        "MODIFY at DATE, MODIFY raw VARBINARY(5), ADD UNIQUE KEY (code)",
        options="--no-check-unique-key-change" if strategy is Strategy.PT_OSC else "",
    )
    assert outcome.status is Status.COMPLETE, outcome
    assert f"{strategy}: probing rows" in record.stages
    assert rig.leftovers(outcome.old_table) == []


async def test_a_table_too_large_for_a_probe_is_said_not_to_have_been_probed(
    mysql_rig: Rig,
) -> None:
    rig = mysql_rig
    # Large, as the server's own timer may be late by more than a small table takes.
    rig.create_orders(100_000)
    rig.server.query("UPDATE orders SET code = 'same' WHERE id < 3", database=rig.schema)
    outcome, record = await rig.run(
        Strategy.GH_OST, "ALTER TABLE orders ADD UNIQUE KEY by_code (code)", probe_seconds=0.001
    )
    message = next(text for text in record.messages if text.startswith("not probed"))
    assert "whether rows are alike in the unique key by_code: no answer in 0.001 s" in message
    assert outcome.status is Status.FAILED
    assert "Duplicate entry 'same'" in outcome.message
    assert rig.leftovers() == []


async def test_a_stop_ends_a_probe(mysql_rig: Rig) -> None:
    rig = mysql_rig
    rig.create_orders(2000)
    rig.server.query("UPDATE orders SET code = id", database=rig.schema)
    migration = rig.migration(Strategy.GH_OST, "ALTER TABLE orders ADD UNIQUE KEY (code, amount)")
    stop = asyncio.Event()
    with closing(rig.server.connect(rig.schema, autocommit=False)) as holder:
        holder.cursor().execute("LOCK TABLES orders READ")
        record = Record(migration)
        stop.set()
        outcome = await rig.engine(Strategy.GH_OST).run(migration, record, stop, LiveControls())
    assert outcome.status is Status.CANCELLED
    assert rig.leftovers() == []


def make_many_types(rig: Rig) -> None:
    """Make three rows that go with every change that these tests make."""
    rig.server.script(
        "CREATE TABLE orders (id INT NOT NULL PRIMARY KEY, code VARCHAR(40) NOT NULL, "
        "amount DECIMAL(12,2) NOT NULL, note VARCHAR(120), kind ENUM('a', 'b'), "
        "flags SET('x', 'y'), at DATETIME, raw VARBINARY(20)) "
        "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
        "INSERT INTO orders VALUES "
        "(1, '1', 1, 'a''b', 'a', 'x', '2026-01-01', 'a'), "
        "(2, '2', 2, 'red', 'a', 'x', '2026-01-01', 'b'), "
        "(3, '3', 3, 'é', NULL, NULL, NULL, NULL)",
        database=rig.schema,
    )
    rig.server.query("UPDATE orders SET note = 'red' WHERE id = 3", database=rig.schema)
