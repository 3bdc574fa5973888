"""What a running tool's report says, and whether it may say it."""

from __future__ import annotations

import math

from tabletd.errors import Reason, TabletdError
from tabletd.executor.hooks import token_matches
from tabletd.executor.migration import Migration
from tabletd.executor.states import PENDING


def check_token(row: Migration, token: str | None) -> None:
    """Refuse a report on a pending migration that does not come from its run.

    Args:
        row: the migration.
        token: the run's secret; None for callers inside the daemon.

    Raises:
        TabletdError: UNAUTHENTICATED without, PERMISSION_DENIED with a wrong token.
    """
    if token is None or row.status not in PENDING:
        return
    if not token:
        raise TabletdError(
            Reason.UNAUTHENTICATED,
            f"a report on migration {row.migration_uuid} needs the token of its run",
        )
    if not token_matches(row.run_token_hash, token):
        raise TabletdError(
            Reason.PERMISSION_DENIED,
            f"the token is not that of the run of migration {row.migration_uuid}",
        )


def percent(progress: float | str | None) -> float | None:
    """Return a percentage above 0, None for anything else."""
    try:
        found = float(progress or 0.0)
    except ValueError:
        return None
    return found if math.isfinite(found) and 0 < found <= 100 else None
