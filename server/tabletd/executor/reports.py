"""What a running tool's report says, and whether it may say it."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.executor.hooks import token_matches
from tabletd.executor.migration import Migration
from tabletd.executor.states import PENDING, Status

_REMEMBERED_MAX: Final = 1_000
_ENDS: Final = frozenset({Status.COMPLETE, Status.FAILED})


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


class ReportedEnds:
    """The ends that runs have reported: a run's token is good for one of them, once.

    They are kept in memory: after a restart of the daemon a repeated report is a sign of life, and
    no more than that.
    """

    def __init__(self) -> None:
        self._ends: dict[str, str] = {}

    @contextmanager
    def taking(self, row: Migration, status: str) -> Generator[bool]:
        """Take a report for the length of a block, in which it is written down.

        Where that fails it was not taken, and may come again.

        Args:
            row: the migration, whose token the report had.
            status: what is reported.

        Yields:
            whether it is news; a repeated one, whose answer may have got lost, is none.

        Raises:
            TabletdError: ILLEGAL_TRANSITION, the run has reported another end before.
        """
        run = row.run_token_hash
        known = self._ends.get(run)
        if known is not None:
            if status != known:
                raise TabletdError(
                    Reason.ILLEGAL_TRANSITION,
                    f"the run of migration {row.migration_uuid} has reported {known} already; "
                    f"{status} changes nothing any more",
                )
            yield False
            return
        if status not in _ENDS or not run:
            yield True
            return
        # Before it is written: the same report may come twice at once.
        self._ends[run] = status
        while len(self._ends) > _REMEMBERED_MAX:
            del self._ends[next(iter(self._ends))]
        try:
            yield True
        except BaseException:
            self._ends.pop(run, None)
            raise


def percent(progress: float | str | None) -> float | None:
    """Return a percentage above 0, None for anything else."""
    try:
        found = float(progress or 0.0)
    except ValueError:
        return None
    return found if math.isfinite(found) and 0 < found <= 100 else None
