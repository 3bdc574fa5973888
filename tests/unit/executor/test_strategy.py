from __future__ import annotations

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.executor.migration import Strategy
from tabletd.executor.strategy import parse_strategy


@pytest.mark.parametrize(
    ("setting", "strategy", "options"),
    [
        ("", Strategy.DIRECT, ""),
        ("direct", Strategy.DIRECT, ""),
        ("mysql", Strategy.MYSQL, ""),
        ("gh-ost", Strategy.GH_OST, ""),
        ("GH-OST", Strategy.GH_OST, ""),
        ("pt-osc", Strategy.PT_OSC, ""),
        (
            "gh-ost --max-load=Threads_running=100 --allow-master",
            Strategy.GH_OST,
            "--max-load=Threads_running=100 --allow-master",
        ),
        ("pt-osc \t  --chunk-size 5 ", Strategy.PT_OSC, "--chunk-size 5"),
    ],
)
def test_a_strategy_setting_is_a_name_and_options(
    setting: str, strategy: Strategy, options: str
) -> None:
    assert parse_strategy(setting) == (strategy, options)


def test_an_unknown_strategy_is_refused_with_its_name() -> None:
    with pytest.raises(TabletdError, match="Unknown online DDL strategy: 'other'") as caught:
        parse_strategy("other")
    assert caught.value.reason is Reason.INVALID_REQUEST


@pytest.mark.parametrize("name", ["online", "vitess", "Vitess --postpone-launch"])
def test_vitess_own_strategy_is_refused_naming_what_is_offered(name: str) -> None:
    with pytest.raises(TabletdError, match="offered are: direct, mysql, gh-ost, pt-osc") as caught:
        parse_strategy(name)
    assert caught.value.reason is Reason.MIGRATION_REJECTED


def test_vitess_own_strategy_may_stand_for_one_of_ours() -> None:
    assert parse_strategy("online --singleton", online=Strategy.PT_OSC) == (
        Strategy.PT_OSC,
        "--singleton",
    )
