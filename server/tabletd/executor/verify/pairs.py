"""Which column of the new table continues which of the old one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tabletd.executor.columns import Column, Lineage


@dataclass(frozen=True, slots=True)
class Pair:
    """A column of both tables."""

    old: Column
    new: Column

    @property
    def is_converted(self) -> bool:
        """Whether the server may have to turn old values into others."""
        return (
            (self.old.column_type, self.old.charset) != (self.new.column_type, self.new.charset)
            or (self.old.is_nullable and not self.new.is_nullable)
        )  # fmt: skip


def pair_columns(lineage: Lineage, new: Iterable[Column]) -> tuple[Pair, ...]:
    """Pair the columns that have to carry the same values, in the old table's order.

    Left out are new columns, dropped ones (also where one of the same name is added), and those
    that the server computes in the new table.

    Args:
        lineage: of the altered table.
        new: its columns.
    """
    by_old: dict[str, Pair] = {}
    for column in new:
        former = lineage.former(column.name)
        if former is not None and not column.is_generated:
            by_old[former.name] = Pair(former, column)
    return tuple(by_old[old.name] for old in lineage.old.values() if old.name in by_old)
