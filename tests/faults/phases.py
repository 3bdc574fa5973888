"""The phases of a migration as its row shows them, and how to meet a point in one of them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final

TERMINAL: Final = frozenset({"complete", "failed", "cancelled"})


class Phase(IntEnum):
    """Where a migration is, in the order in which it gets there."""

    QUEUED = 0
    DRY_RUN = 1
    COPYING = 2
    SWAPPING = 3
    ENDING = 4

    @property
    def words(self) -> str:
        """As reports name it."""
        return self.name.lower().replace("_", " ")


EVERY_PHASE: Final = tuple(Phase)
AT_WORK: Final = (Phase.DRY_RUN, Phase.COPYING, Phase.SWAPPING)
BEFORE_THE_RUN: Final = (Phase.QUEUED, Phase.DRY_RUN)


def phase_of(row: Mapping[str, Any] | None, *, is_swapped: bool) -> Phase:
    """Return the phase that a migration is in.

    Args:
        row: of `_vt.schema_migrations`; None while there is none.
        is_swapped: the table has its new definition.
    """
    if row is None:
        return Phase.QUEUED
    if is_swapped or row["migration_status"] in TERMINAL:
        return Phase.ENDING
    # A fault may have taken the column away.
    stage = str(row.get("stage"))
    if int(row["rows_copied"]) > 0 and float(row["progress"]) >= 100:
        return Phase.SWAPPING
    if ": run" in stage or int(row["rows_copied"]) > 0:
        return Phase.COPYING
    return Phase.DRY_RUN if "dry run" in stage else Phase.QUEUED


def is_over(row: Mapping[str, Any]) -> bool:
    """Say whether nothing more happens of itself: one whose tablet failed is tried again once."""
    status = row["migration_status"]
    is_tried_again = status == "failed" and row["tablet_failure"] and not row["retries"]
    return status in TERMINAL and not is_tried_again


def is_reached(
    phase: Phase, fraction: float, row: Mapping[str, Any] | None, *, is_swapped: bool
) -> bool:
    """Say whether a migration has come to a point.

    Args:
        phase: the point's phase.
        fraction: which part of the rows has been copied there; counts while rows are copied.
        row: see `phase_of`.
        is_swapped: likewise.
    """
    now = phase_of(row, is_swapped=is_swapped)
    if now is not phase or phase is not Phase.COPYING:
        return now >= phase
    assert row is not None
    return float(row["progress"]) >= 100 * fraction
