"""A clause that reaches other tables reaches them from a copy as well: it is never tried on one."""

from __future__ import annotations

import pytest

from tabletd.errors import Reason
from tabletd.executor.explain import Way
from tests.integration.engines.rig import Rig
from tests.integration.engines.test_explain import explaining, one, tables

PARTITIONED = (
    "CREATE TABLE parted (id INT PRIMARY KEY) PARTITION BY RANGE (id) "
    "(PARTITION p0 VALUES LESS THAN (100))"
)
EXCHANGE = "ALTER TABLE parted EXCHANGE PARTITION p0 WITH TABLE bystander"
RENAME = "ALTER TABLE orders RENAME TO elsewhere"


@pytest.fixture
def rig_with_bystander(tool_and_rig: tuple[object, Rig]) -> Rig:
    _, rig = tool_and_rig
    for sql in (
        PARTITIONED,
        "CREATE TABLE bystander (id INT PRIMARY KEY)",
        "INSERT INTO bystander VALUES (1), (2)",
    ):
        rig.server.query(sql, database=rig.schema)
    return rig


@pytest.mark.parametrize("statement", [EXCHANGE, RENAME])
async def test_explaining_touches_no_other_table(rig_with_bystander: Rig, statement: str) -> None:
    rig = rig_with_bystander
    async with explaining(rig) as (explainer, _):
        found = await one(explainer, statement)
    assert rig.server.query("SELECT id FROM bystander", database=rig.schema) == [(1,), (2,)]
    assert tables(rig) == ["bystander", "orders", "parted"]
    assert found.way is Way.SERVER
    assert any("could not be tried on an empty copy" in text for text in found.evidence)


@pytest.mark.parametrize("strategy", ["gh-ost", "pt-osc"])
async def test_no_tool_is_given_what_reaches_other_tables(
    rig_with_bystander: Rig, strategy: str
) -> None:
    async with explaining(rig_with_bystander) as (explainer, _):
        found = await one(explainer, EXCHANGE, strategy)
    assert [error.reason for error in found.refusals] == [Reason.UNSUPPORTED_DDL]
