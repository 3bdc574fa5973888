"""Answers on a terminal of 80 columns, and where there is none."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tabletd_client.cli.text import (
    migration_in_full,
    migrations_text,
    plan_text,
    table,
    tablets_table,
    wrapped,
)
from tabletd_client.convert import to_plan, watched_migration
from tabletd_client.models import Migration, Tablet
from tabletd_pb import migrations_pb2, vttime_pb2
from tests.support.fake_fleet import OTHER_UUID, UUID, state

WIDTH: Final = 80
STORY: Final = "a transaction of app@10.0.0.9 holds the table's lock for 12 s; " * 6


def _migration(*told: Any, **fields: Any) -> Migration:
    return watched_migration(state(*told, **fields))


def _fits(text: str) -> bool:
    return max(map(len, text.splitlines())) <= WIDTH


def test_a_table_that_fits_is_the_same_on_a_terminal() -> None:
    rows = [("zone1-0000000100", "0", "primary")]
    heads = ("ALIAS", "SHARD", "TYPE")
    assert table(heads, rows, WIDTH) == table(heads, rows)
    assert table(heads, rows).splitlines()[1] == "zone1-0000000100  0      primary"


def test_columns_without_room_follow_below_their_row_by_name() -> None:
    assert table(("A", "B", "WHY"), [("1" * 10, "2", "so it is"), ("3", "4", "")], 20) == (
        "A           B\n1111111111  2\n    why: so it is\n3           4"
    )


def test_a_tablet_is_told_within_80_columns() -> None:
    one = Tablet(
        alias="zone1-0000000100",
        keyspace="commerce",
        shard="-80",
        type="primary",
        host="db1.internal.example.net",
        grpc_port=16100,
        http_port=15100,
        mysql_host="db1.internal.example.net",
        mysql_port=3306,
        primary_since=None,
    )
    text = tablets_table([one], WIDTH)
    assert _fits(text)
    assert "\n    mysql: db1.internal.example.net:3306" in text


def test_migrations_are_told_in_blocks_where_a_line_has_no_room() -> None:
    told = [
        _migration(rows_copied=4_500_000, rows_estimated=10_000_000, progress_percent=45.0),
        _migration("QUEUED", shard="80-", stage="gh-ost: waiting for a slot", message=STORY),
        _migration("COMPLETE", uuid=OTHER_UUID, stage="pt-osc: complete", message="what it was"),
    ]
    text = migrations_text(told, WIDTH)
    assert _fits(text)
    assert text.splitlines() == [
        f"{UUID} gh-ost alter orders",
        "  -80  running   45.0% 4,500,000/10,000,000 rows",
        "  80-  queued    gh-ost: waiting for a slot; a transaction of app@10.0.0.9 ho...",
        f"{OTHER_UUID} gh-ost alter orders",
        "  -80  complete  pt-osc: complete",
    ]
    assert migrations_text(told, 200) == migrations_text(told)
    assert len(migrations_text(told).splitlines()) == 4


def test_a_migration_in_full_is_broken_between_words_on_a_terminal_only() -> None:
    one = _migration(message=STORY, migration_statement="alter table t\n  add i int")
    text = migration_in_full(one, WIDTH)
    assert _fits(text)
    assert " ".join(text.split()).count("holds the table's lock") == 6
    assert f"message    {STORY.strip()}\n" in migration_in_full(one)


def test_a_migration_in_full_says_what_is_throttled_why_and_when_it_last_was() -> None:
    moment = vttime_pb2.Time(seconds=1_700_000_000)
    held = {"component_throttled": "gh-ost", "last_throttled_at": moment}
    lines = migration_in_full(_migration(throttle_reason="replica b:2: lag 9 s", **held))
    assert "throttled       gh-ost: replica b:2: lag 9 s\n" in lines
    assert "last throttled  2023-11-14 22:13:20 UTC" in lines
    assert "throttled       gh-ost\n" in migration_in_full(_migration(**held))
    assert "throttled" not in migration_in_full(_migration())


def test_a_plan_is_told_within_80_columns() -> None:
    plan = migrations_pb2.Plan(statement="alter table t add i int", evidence=[STORY])
    plan.refusals.add(reason="PREFLIGHT_REFUSED", message=STORY, hint="wait")
    plan.locks.add(object="t", blocks=STORY, phase="at the swap", seconds_max=3)
    assert _fits(plan_text(to_plan(plan, "commerce", "-80"), WIDTH))


@pytest.mark.parametrize("width", [None, 10, 30, WIDTH])
def test_nothing_of_a_text_is_lost_by_breaking_it(width: int | None) -> None:
    text = f"{STORY}\n/var/lib/tabletd/{'x' * 90}/run.log"
    assert " ".join(wrapped("name  ", text, width)).split() == ["name", *text.split()]
