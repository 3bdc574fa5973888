"""What packaging/prometheus and packaging/grafana ask Prometheus for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import promql_parser
import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
RULES: Final = ROOT / "packaging" / "prometheus" / "tabletd-rules.yml"
DASHBOARD: Final = ROOT / "packaging" / "grafana" / "tabletd.json"
# What Prometheus itself adds to every target.
OF_PROMETHEUS: Final = frozenset({"up"})
_NAME: Final = re.compile(r"^([A-Za-z_:][A-Za-z0-9_:]*)(?:\{| )", re.M)


@dataclass(frozen=True)
class Rule:
    """A rule of the file.

    Attributes:
        name: of the alert, or of the series that is recorded.
        is_alert: which of the two.
        expression: PromQL.
        content: all of it.
    """

    name: str
    is_alert: bool
    expression: str
    content: dict[str, Any]


def rules() -> list[Rule]:
    """Return all rules of the file, in order."""
    groups: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
    return [
        Rule(
            name=content.get("alert") or content["record"],
            is_alert="alert" in content,
            expression=content["expr"],
            content=content,
        )
        for group in groups
        for content in group["rules"]
    ]


def panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard."""
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def dashboard_expressions() -> Iterator[str]:
    """Return the PromQL of every panel."""
    for panel in panels():
        for target in panel.get("targets", ()):
            yield target["expr"]


def series_of(expression: str) -> set[str]:
    """Return the names of the series that an expression reads.

    Raises:
        ValueError: it is no PromQL.
    """
    names: set[str] = set()

    def note(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector) and node.name:
            names.add(node.name)

    promql_parser.walk(promql_parser.parse(expression), note)
    return names


def wanted_series() -> set[str]:
    """Return what rules and dashboard need of the daemon."""
    recorded = {rule.name for rule in rules() if not rule.is_alert}
    expressions = [*(rule.expression for rule in rules()), *dashboard_expressions()]
    names = {name for expression in expressions for name in series_of(expression)}
    return names - recorded - OF_PROMETHEUS


def exposed_series(page: str) -> set[str]:
    """Return the names of the series on a page of /metrics."""
    return {str(name) for name in _NAME.findall(page)}
