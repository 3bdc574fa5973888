"""What one run does, drawn from its seed alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tabletd.sandbox.releases import ReleaseName
from tests.faults.kinds import KINDS, Kind, may_join
from tests.faults.phases import Phase

TOOLS: Final = ("gh-ost", "pt-osc")
_TWO_FAULTS_SHARE: Final = 0.2
_JITTER_SECONDS_MAX: Final = 0.3
_ALTERATIONS: Final = (
    "ADD COLUMN region VARCHAR(20) NOT NULL DEFAULT 'nord ☃'",
    "MODIFY amount DECIMAL(16,4) NOT NULL, ADD KEY by_note (note)",
    "ADD COLUMN extra INT NULL, DROP KEY changed, MODIFY payload VARBINARY(80) NULL",
)


@dataclass(frozen=True)
class FaultPlan:
    """One fault and its moment.

    Attributes:
        kind: what happens.
        phase: when it begins.
        fraction: the part of the rows copied by then, when it begins during the copy.
        jitter_seconds: how long after that.
        lasts_seconds: from its beginning to its end.
    """

    kind: Kind
    phase: Phase
    fraction: float
    jitter_seconds: float
    lasts_seconds: float

    def __str__(self) -> str:
        when = self.phase.words
        if self.phase is Phase.COPYING:
            when += f" {self.fraction:.0%}"
        lasts = f" for {self.lasts_seconds:.1f} s" if self.lasts_seconds else ""
        return f"{self.kind.name} at {when}{lasts}"


@dataclass(frozen=True)
class Plan:
    """One run.

    Attributes:
        seed: what it was drawn from; also that of the writers and of a fault's own choices.
        tool: the strategy.
        server: what the pair is.
        alteration: what the migration does to the table.
        faults: one, or two at once.
    """

    seed: int
    tool: str
    server: ReleaseName
    alteration: str
    faults: tuple[FaultPlan, ...]

    def __str__(self) -> str:
        faults = " + ".join(map(str, self.faults))
        return f"seed {self.seed}, {self.tool} on {self.server}: {faults}"


def draw(
    seed: int,
    *,
    tool: str | None = None,
    server: ReleaseName | None = None,
    kinds: Sequence[Kind] = (),
    is_brief: bool = False,
) -> Plan:
    """Draw a run from a seed.

    Args:
        seed: the same seed and arguments give the same plan.
        tool: the strategy; None draws it.
        server: what the pair is; None draws it.
        kinds: the faults; empty draws them.
        is_brief: each fault lasts as short as its kind allows.
    """
    source = random.Random(seed)
    drawn_tool = source.choice(TOOLS)
    tool = tool or drawn_tool
    is_mysql = source.random() < 0.25
    alteration = source.choice(_ALTERATIONS)
    chosen = tuple(kinds) or _draw_kinds(source)
    # gh-ost does not work on this MariaDB.
    usual = ReleaseName.MYSQL_57 if tool == "gh-ost" or is_mysql else ReleaseName.MARIADB
    return Plan(
        seed=seed,
        tool=tool,
        server=server or usual,
        alteration=alteration,
        faults=tuple(_draw_moment(kind, source, is_brief=is_brief) for kind in chosen),
    )


def _draw_kinds(source: random.Random) -> tuple[Kind, ...]:
    first = source.choice(KINDS)
    if source.random() >= _TWO_FAULTS_SHARE:
        return (first,)
    others = [kind for kind in KINDS if may_join(first, kind)]
    return (first, source.choice(others)) if others else (first,)


def _draw_moment(kind: Kind, source: random.Random, *, is_brief: bool) -> FaultPlan:
    shortest, longest = kind.lasts_seconds
    drawn_seconds = source.uniform(shortest, longest)
    return FaultPlan(
        kind=kind,
        phase=source.choice(kind.phases),
        fraction=source.uniform(0.0, 0.9),
        jitter_seconds=source.uniform(0.0, _JITTER_SECONDS_MAX),
        lasts_seconds=shortest if is_brief else drawn_seconds,
    )
