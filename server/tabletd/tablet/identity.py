"""Names and types of tablets, in the words of Vitess's topology."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class TabletType(StrEnum):
    """What a tablet does in its shard."""

    UNKNOWN = "UNKNOWN"
    PRIMARY = "PRIMARY"
    REPLICA = "REPLICA"
    RDONLY = "RDONLY"
    SPARE = "SPARE"
    EXPERIMENTAL = "EXPERIMENTAL"
    BACKUP = "BACKUP"
    RESTORE = "RESTORE"
    DRAINED = "DRAINED"


# Types whose queries are answered; clients choose by type whom they ask.
RUNNING_QUERIES = frozenset(TabletType) - {
    TabletType.UNKNOWN,
    TabletType.BACKUP,
    TabletType.RESTORE,
}


@dataclass(frozen=True, slots=True)
class TabletAlias:
    """The name of a tablet: unique in the whole topology.

    Attributes:
        cell: where it stands.
        uid: its number, unsigned 32 bits.
    """

    cell: str
    uid: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `zone1-0000000100`; the zeros may be left out."""
        cell, _, uid = text.rpartition("-")
        return cls(cell, int(uid))

    def __str__(self) -> str:
        return f"{self.cell}-{self.uid:010d}"
