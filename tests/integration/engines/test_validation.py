"""Refusals that a real server's state leads to: nothing is begun, nothing is left."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.executor.controls import LiveControls
from tabletd.executor.migration import Strategy
from tests.conftest import StartServer
from tests.integration.engines.rig import Record, Rig, rig_on
from tests.support.pools import pool_of

GH_OST, PT_OSC = Strategy.GH_OST, Strategy.PT_OSC
ADD = "ALTER TABLE orders ADD COLUMN extra INT"


async def refusal(
    rig: Rig, strategy: Strategy, statement: str = ADD, table: str = "orders", **settings: str
) -> TabletdError:
    """Run a migration that must be refused before anything is made."""
    migration = rig.migration(strategy, statement, table)
    record = Record(migration)
    with pytest.raises(TabletdError) as refused:
        await rig.engine(strategy, **settings).run(
            migration, record, asyncio.Event(), LiveControls()
        )
    assert refused.value.hint, refused.value
    assert record.migration.run_nonce == "", "something was begun"
    return refused.value


async def test_gh_ost_on_mariadb_says_what_to_use_instead(mariadb_rig: Rig) -> None:
    mariadb_rig.create_orders(10)
    error = await refusal(mariadb_rig, GH_OST)
    assert error.reason is Reason.UNSUPPORTED_SERVER
    assert "pt-osc" in str(error)


@pytest.mark.parametrize("strategy", [GH_OST, PT_OSC])
async def test_a_read_only_server_is_refused(mysql_rig: Rig, strategy: Strategy) -> None:
    mysql_rig.create_orders(10)
    mysql_rig.server.query("SET GLOBAL read_only = 1")
    assert (await refusal(mysql_rig, strategy)).reason is Reason.READ_ONLY


@pytest.mark.parametrize(
    ("variable", "value"), [("binlog_format", "MIXED"), ("binlog_row_image", "MINIMAL")]
)
async def test_gh_ost_needs_whole_rows_in_the_binary_log(
    mysql_rig: Rig, variable: str, value: str
) -> None:
    mysql_rig.create_orders(10)
    mysql_rig.server.query(f"SET GLOBAL {variable} = '{value}'")
    error = await refusal(mysql_rig, GH_OST)
    assert f"{variable} is {value}" in error.message


async def test_pt_osc_needs_leave_to_make_triggers(any_rig: Rig) -> None:
    any_rig.create_orders(10)
    any_rig.server.query("SET GLOBAL log_bin_trust_function_creators = 0")
    error = await refusal(any_rig, PT_OSC)
    assert "log_bin_trust_function_creators" in str(error)


@pytest.mark.parametrize("strategy", [GH_OST, PT_OSC])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        ("CREATE VIEW orders AS SELECT 1 AS id", "is a view"),
        ("CREATE TABLE orders (id INT PRIMARY KEY) ENGINE=MyISAM", "MYISAM"),
        ("CREATE TABLE orders (id INT, KEY (id)) ENGINE=InnoDB", "key"),
        ("CREATE TABLE orders (id INT NULL, UNIQUE KEY (id)) ENGINE=InnoDB", "NOT NULL"),
        (
            "CREATE TABLE orders (id INT PRIMARY KEY); "
            "CREATE TRIGGER audit BEFORE INSERT ON orders FOR EACH ROW SET NEW.id = NEW.id",
            "audit",
        ),
        (
            "CREATE TABLE orders (id INT PRIMARY KEY); "
            "CREATE TABLE items (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES orders (id))",
            "items",
        ),
    ],
)
async def test_tables_that_a_tool_cannot_take_are_refused(
    mysql_rig: Rig, strategy: Strategy, make: str, words: str
) -> None:
    mysql_rig.server.script(*make.split("; "), database=mysql_rig.schema)
    assert words in (await refusal(mysql_rig, strategy)).message


async def test_gh_ost_refuses_a_table_with_foreign_keys_of_its_own(mysql_rig: Rig) -> None:
    mysql_rig.server.script(
        "CREATE TABLE parents (id INT PRIMARY KEY)",
        "CREATE TABLE orders (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES parents (id))",
        database=mysql_rig.schema,
    )
    assert "parents" in (await refusal(mysql_rig, GH_OST)).message


async def test_an_unknown_table_is_named(any_rig: Rig) -> None:
    error = await refusal(any_rig, PT_OSC, "ALTER TABLE absent ADD c INT", "absent")
    assert error.reason is Reason.TABLE_NOT_FOUND
    assert "absent" in error.message


async def test_a_system_versioned_table_is_refused(mariadb_rig: Rig) -> None:
    mariadb_rig.server.query(
        "CREATE TABLE orders (id INT PRIMARY KEY) WITH SYSTEM VERSIONING",
        database=mariadb_rig.schema,
    )
    assert "system-versioned" in (await refusal(mariadb_rig, PT_OSC)).message


@pytest.mark.parametrize("strategy", [GH_OST, PT_OSC])
async def test_a_missing_binary_is_named(mysql_rig: Rig, strategy: Strategy) -> None:
    mysql_rig.create_orders(10)
    error = await refusal(
        mysql_rig, strategy, gh_ost_path="/nowhere/tool", pt_osc_path="/nowhere/tool"
    )
    assert error.reason is Reason.TOOL_MISSING
    assert "/nowhere/tool" in error.message


async def test_a_grant_that_we_cannot_give_leaves_no_account(mysql_rig: Rig) -> None:
    rig = mysql_rig
    rig.create_orders(10)
    rig.server.script(
        "CREATE USER 'small'@'127.0.0.1'",
        "GRANT CREATE USER, REPLICATION CLIENT, PROCESS ON *.* TO 'small'@'127.0.0.1'",
        "GRANT SELECT ON performance_schema.* TO 'small'@'127.0.0.1'",
        f"GRANT ALL ON `{rig.schema}`.* TO 'small'@'127.0.0.1'",
    )
    async with pool_of(rig.server, user="small") as pool:
        rig.pool = pool
        with pytest.raises(TabletdError) as refused:
            await rig.run(GH_OST, ADD)
    assert refused.value.reason is Reason.MISSING_GRANT
    assert "GRANT OPTION" in str(refused.value)
    assert rig.leftovers() == []


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("#!/bin/sh\nexit 3\n", "ended with 3"),
        ("not a program", "cannot be executed"),
        ("#!/bin/sh\necho 1.1.6; [ $1 = --version ]\n", "too old"),
    ],
)
async def test_a_wrong_binary_is_told_apart(
    mysql_rig: Rig, tmp_path: Path, script: str, words: str
) -> None:
    mysql_rig.create_orders(10)
    program = tmp_path / "gh-ost"
    program.write_text(script)
    program.chmod(0o755)
    error = await refusal(mysql_rig, GH_OST, gh_ost_path=str(program))
    assert error.reason is Reason.TOOL_UNSUITABLE
    assert words in error.message


async def test_a_missing_grant_of_our_own_account_is_named(mysql_rig: Rig) -> None:
    rig = mysql_rig
    rig.create_orders(10)
    rig.server.script(
        "CREATE USER 'small'@'127.0.0.1'",
        "GRANT REPLICATION CLIENT ON *.* TO 'small'@'127.0.0.1'",
        "GRANT SELECT ON performance_schema.* TO 'small'@'127.0.0.1'",
        f"GRANT ALL ON `{rig.schema}`.* TO 'small'@'127.0.0.1'",
    )
    async with pool_of(rig.server, user="small") as pool:
        rig.pool = pool
        migration = rig.migration(GH_OST, ADD)
        record = Record(migration)
        with pytest.raises(TabletdError) as refused:
            await rig.engine(GH_OST).run(migration, record, asyncio.Event(), LiveControls())
    assert refused.value.reason is Reason.MISSING_GRANT
    assert "CREATE USER" in str(refused.value)
    assert record.ended
    assert rig.leftovers() == []


async def test_a_filtered_binary_log_is_refused(start_server: StartServer, tmp_path: Path) -> None:
    options = ("--binlog-ignore-db=unwanted",)
    server = await asyncio.to_thread(start_server, "mariadb", options=options)
    async with rig_on(server, server.create_database(), tmp_path) as rig:
        rig.server.query("SET GLOBAL log_bin_trust_function_creators = 1")
        rig.create_orders(10)
        assert "binlog-ignore-db=unwanted" in (await refusal(rig, PT_OSC)).message


async def test_the_instrument_that_we_may_not_switch_on_is_named(mysql_rig: Rig) -> None:
    rig = mysql_rig
    rig.create_orders(10)
    rig.server.script(
        "UPDATE performance_schema.setup_instruments SET ENABLED='NO' "
        "WHERE NAME='wait/lock/metadata/sql/mdl'",
        "CREATE USER 'small'@'127.0.0.1'",
        "GRANT REPLICATION CLIENT ON *.* TO 'small'@'127.0.0.1'",
        "GRANT SELECT ON performance_schema.* TO 'small'@'127.0.0.1'",
        f"GRANT ALL ON `{rig.schema}`.* TO 'small'@'127.0.0.1'",
    )
    async with pool_of(rig.server, user="small") as pool:
        rig.pool = pool
        error = await refusal(rig, GH_OST)
    assert "UPDATE performance_schema.setup_instruments" in str(error)
