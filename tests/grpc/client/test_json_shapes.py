"""docs/tabletctl-json.md against what `tabletctl --json` prints."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

import pytest

from tabletd_pb import lag_pb2, migrations_pb2, vttime_pb2
from tests.support.fake_fleet import UUID, FakeFleet, state
from tests.support.tabletctl import run, run_json

TABLETCTL: Final = Path(sys.executable).with_name("tabletctl")
PAGE: Final = Path(__file__).parents[3] / "docs" / "tabletctl-json.md"


def _is_list_of(kind: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(kind, value))  # pyright: ignore[reportUnknownArgumentType]


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_migration(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == _documented("Migration").keys()  # pyright: ignore[reportUnknownMemberType]


TYPES: Final[dict[str, Callable[[Any], bool]]] = {
    "string": _is_text,
    "integer": _is_integer,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "list of strings": _is_list_of(_is_text),
    "object of integers": lambda value: all(map(_is_integer, value.values())),
    "list of migrations": _is_list_of(_is_migration),
    "list of refusals": _is_list_of(lambda one: one.keys() == {"reason", "message", "hint"}),
    "list of locks": _is_list_of(
        lambda one: one.keys() == {"object", "blocks", "phase", "seconds_max"}
    ),
    "list of lag points": _is_list_of(lambda one: one.keys() == _documented("LagPoint").keys()),
    "list of leftovers": _is_list_of(lambda one: one.keys() == _documented("Leftover").keys()),
    "object": lambda one: one.keys() == {"reason", "message", "code", "facts"},
}


def _documented(shape: str) -> dict[str, str]:
    """Return the fields of a shape with their types, as the page has them."""
    (section,) = re.findall(rf"^## {shape}$(.*?)(?=^## |\Z)", PAGE.read_text(), re.S | re.M)
    return dict(re.findall(r"^\| `(\w+)` \| ([\w ]+) \|", section, re.M))


def _check(value: dict[str, Any], shape: str) -> None:
    documented = _documented(shape)
    assert value.keys() == documented.keys()
    for name, kinds in documented.items():
        fits = [TYPES[kind](value[name]) for kind in kinds.split(" or ")]
        assert any(fits), f"{shape}.{name} is {value[name]!r}, not {kinds}"


@pytest.fixture
def filled(fleet: FakeFleet) -> FakeFleet:
    moment = vttime_pb2.Time(seconds=1_700_000_000)
    fleet.tablets[100].put(
        state(
            "COMPLETE",
            started_at=moment,
            waiting_since=moment,
            last_throttled_at=moment,
            eta_seconds=3,
            eta_state=migrations_pb2.MigrationState.ETA_STATE_READY,
            artifacts=["_t_gho"],
        )
    )
    fleet.tablets[100].log = "a line"
    fleet.tablets[100].plans = [
        migrations_pb2.Plan(
            way=migrations_pb2.Plan.WAY_GH_OST,
            estimated_seconds=7,
            refusals=[],
            locks=[migrations_pb2.Lock(object="t", seconds_max=2)],
            evidence=["looked"],
        )
    ]
    fleet.tablets[100].leftovers = [
        migrations_pb2.Leftover(
            kind=migrations_pb2.Leftover.KIND_TABLE, name="_t_new", uuid=UUID, removable=True
        ),
        migrations_pb2.Leftover(kind=migrations_pb2.Leftover.KIND_TABLE, name="_t_gho"),
    ]
    fleet.tablets[200].plans = [migrations_pb2.Plan(estimated_seconds=-1)]
    fleet.tablets[101].lag = lag_pb2.GetLagResponse(
        lag=lag_pb2.LagFigure(
            state=lag_pb2.LagFigure.STATE_MEASURED,
            method=lag_pb2.LagFigure.METHOD_CLOCK,
            lag_ns=800_000,
            lower_ns=0,
            upper_ns=26_000_000,
            age_ns=5_000_000,
        ),
        history=[lag_pb2.LagPoint(age_ns=10**9, lag_ns=700_000)],
    )
    return fleet


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        (("show",), "Migration"),
        (("apply", "alter table t add i int"), "Submission"),
        (("apply", "--wait", "alter table t add i int"), "Submission"),
        (("revert", UUID, "--yes"), "Submission"),
        (("cancel", UUID, "--yes"), "Effect"),
        (("postpone", UUID), "Effect"),
        (("throttle", UUID), "Throttling"),
        (("unthrottle", "all"), "Throttling"),
        (("explain", "alter table t add i int"), "Plan"),
        (("tablets",), "Tablet"),
        (("lag",), "Lag"),
        (("logs", UUID), "Log"),
        (("leftovers",), "TabletLeftovers"),
        (("leftovers", "--fix"), "TabletLeftovers"),
        (("explain-error",), "Page"),
        (("explain-error", "not-primary"), "Page"),
    ],
)
async def test_a_command_prints_the_shape_that_is_documented(
    filled: FakeFleet, arguments: tuple[str, ...], shape: str
) -> None:
    printed = await run_json(filled, *arguments)
    assert printed
    if isinstance(printed, dict):
        _check(cast(dict[str, Any], printed), shape)
    else:
        for value in printed:
            _check(value, shape)


async def test_a_watch_prints_the_events_that_are_documented(filled: FakeFleet) -> None:
    result = await run(filled, "watch", UUID, "--json")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    page = PAGE.read_text()
    for event in events:
        (row,) = re.findall(rf"^\| `{event['event']}` \| (.*) \|$", page, re.M)
        fields = re.findall(r"`(\w+)`", row.split(": ")[0])
        assert event.keys() == {"event", *fields}
        if "migration" in event:
            _check(event["migration"], "Migration")


async def test_watched_lag_is_one_documented_object_a_line(filled: FakeFleet) -> None:
    arguments = ("lag", "--watch", "--json", "--server", filled.address)
    process = await asyncio.create_subprocess_exec(
        str(TABLETCTL), *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    lines = [await process.stdout.readline() for _ in range(2 * len(filled.tablets))]
    process.send_signal(signal.SIGINT)
    await process.communicate()
    printed = [json.loads(line) for line in lines]
    assert [one["alias"] for one in printed[:4]] == [one["alias"] for one in printed[4:]]
    for one in printed:
        _check(one, "Lag")
    assert printed[1]["history"][0]["lag_ms"] == 0.7


async def test_an_error_is_printed_as_documented(filled: FakeFleet) -> None:
    result = await run(filled, "cancel", "nonsense", "--yes", "--json")
    _check(json.loads(result.stderr), "Error")
    assert result.stdout == ""
