"""Shows the daemons' logs under a test that failed."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tests.support.two_daemons import TwoDaemons


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, Any]:
    """Show the ends of both logs."""
    report: pytest.TestReport = yield
    two = getattr(item, "funcargs", {}).get("two")
    if report.failed and isinstance(two, TwoDaemons):
        for name, daemon in (("first", two.first), ("second", two.second)):
            report.sections.append((f"log of the {name} daemon", daemon.log_tail(60)))
    return report
