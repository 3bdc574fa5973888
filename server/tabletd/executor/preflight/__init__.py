"""What is looked at before anything runs: facts gathered once, then pure checks over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tabletd.executor.preflight.facts import Facts

Check = Callable[[Facts], None]


def run_checks(checks: Sequence[Check], facts: Facts) -> None:
    """Run checks in order.

    Raises:
        TabletdError: the first refusal: what was found, what is needed, what to do.
    """
    for check in checks:
        check(facts)
