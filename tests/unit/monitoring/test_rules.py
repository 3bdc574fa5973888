"""The rules of Prometheus and the dashboard: well-formed, and each alert has its page."""

from __future__ import annotations

import re

import promql_parser
import pytest

from tabletd.heartbeat import LagState
from tests.support.monitoring import (
    ROOT,
    Rule,
    dashboard_expressions,
    exposed_series,
    panels,
    rules,
    series_of,
)

ALERTS = [rule for rule in rules() if rule.is_alert]
PAGES = ROOT / "docs" / "alerts"


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_a_rule_is_promql_and_asks_for_something(rule: Rule) -> None:
    assert series_of(rule.expression)
    known = {"expr", "labels", "annotations", "for", "alert" if rule.is_alert else "record"}
    assert set(rule.content) <= known
    if not rule.is_alert:
        assert rule.name.startswith("tabletd:")


def test_each_name_is_given_once() -> None:
    names = [rule.name for rule in rules()]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: rule.name)
def test_an_alert_says_how_bad_it_is_and_has_its_page(alert: Rule) -> None:
    assert alert.content["labels"]["severity"] in {"critical", "warning", "info"}
    if "for" in alert.content:
        promql_parser.parse_duration(alert.content["for"])
    annotations = alert.content["annotations"]
    assert "$labels.instance" in annotations["summary"]
    assert annotations["runbook_url"] == f"docs/alerts/{alert.name}.md"
    page = (ROOT / annotations["runbook_url"]).read_text()
    assert page.startswith(f"# {alert.name}\n\n")


def test_the_upper_bound_is_no_alarm_while_nobody_asks_for_heartbeats() -> None:
    expression = promql_parser.parse(_alert("TabletdLagHigh").expression)
    assert isinstance(expression, promql_parser.BinaryExpr)
    assert str(expression.op) == "unless"
    excluded = expression.rhs
    assert isinstance(excluded, promql_parser.VectorSelector)
    assert excluded.name == "tabletd_lag_state"
    states = [matcher.value for matcher in excluded.matchers.matchers if matcher.name == "value"]
    assert states == [LagState.IDLE]


def test_the_states_of_lag_that_rules_name_exist() -> None:
    named = [
        state
        for rule in rules()
        for states in re.findall(r'tabletd_lag_state\{value=~?"([^"]*)"', rule.expression)
        for state in states.split("|")
    ]
    assert set(named) >= {LagState.STALE, LagState.UNKNOWN, LagState.STOPPED}
    assert set(named) <= set(LagState)


def _alert(name: str) -> Rule:
    (found,) = (rule for rule in ALERTS if rule.name == name)
    return found


def test_no_page_is_left_of_an_alert_that_is_gone() -> None:
    assert sorted(page.stem for page in PAGES.iterdir()) == sorted(alert.name for alert in ALERTS)


def test_every_panel_has_its_place_and_asks_in_promql() -> None:
    places: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not places & cells, panel["title"]
        places |= cells
    numbers = [panel["id"] for panel in panels()]
    assert len(set(numbers)) == len(numbers)
    for expression in dashboard_expressions():
        assert series_of(expression)
        assert '{job="$job", instance=~"$instance"}' in expression


def test_all_that_alerts_watch_can_be_seen_on_the_dashboard() -> None:
    watched = {name for alert in ALERTS for name in series_of(alert.expression)}
    shown = {name for expression in dashboard_expressions() for name in series_of(expression)}
    by_recording = {
        name
        for rule in rules()
        if not rule.is_alert and rule.name in shown
        for name in series_of(rule.expression)
    }
    assert watched - shown - by_recording <= {"up", "tabletd_pid"}


def test_names_of_series_are_read_off_a_page() -> None:
    page = '# HELP a_total all\n# TYPE a_total counter\na_total 1.0\nb_bucket{le="1"} 2.0\n'
    assert exposed_series(page) == {"a_total", "b_bucket"}


def test_commands_on_the_pages_are_commands() -> None:
    from typer.testing import CliRunner

    from tabletd_client.cli.application import application

    text = "".join(page.read_text() for page in PAGES.iterdir())
    commands = set(re.findall(r"tabletctl ([a-z][a-z-]*)", text))
    assert commands
    for command in commands:
        assert CliRunner().invoke(application, [command, "--help"]).exit_code == 0, command
