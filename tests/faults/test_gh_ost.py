"""gh-ost's migrations under faults, by fixed seeds."""

from __future__ import annotations

import pytest

from tests.faults.fixed import SECONDS_MAX, check, name_of, plans
from tests.faults.plan import Plan

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS_MAX)]


@pytest.mark.parametrize("plan", plans("gh-ost"), ids=name_of)
async def test_a_migration_by_gh_ost_loses_nothing_under(plan: Plan) -> None:
    await check(plan)
