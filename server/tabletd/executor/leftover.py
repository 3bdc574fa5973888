"""What a migration can leave behind, and whose it is by its name.

All that a run makes bears the UUID of its migration in its name, so that the migration's row names
it also when nothing else is written there any more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from tabletd.executor.migration import split_artifacts
from tabletd.executor.states import Status

OWNER_COLUMNS: Final = (
    "id, migration_uuid, mysql_schema, mysql_table, migration_status, artifacts, run_nonce,"
    " run_directory, run_account, retain_artifacts_seconds"
)
_UUID: Final = r"[0-9a-f]{8}(?:_[0-9a-f]{4}){3}_[0-9a-f]{12}"
_MADE: Final = re.compile(rf"_({_UUID})_[0-9]{{14}}_(gho|ghc|ghk|del|new)")
_MENTIONED: Final = re.compile(rf"\b_({_UUID})_[0-9]{{14}}_new\b")
# gh-ost's and pt-online-schema-change's own names, as somebody gets them who starts the tool.
_BY_HAND: Final = re.compile(r"_+(.+)_(gho|ghc|ghk|del|new|old)")
_RUN: Final = re.compile(rf"({_UUID})-[0-9a-f]{{8}}")


class Kind(StrEnum):
    """What it is; in the order in which it goes."""

    PROCESS = "process"
    TRIGGER = "trigger"
    TABLE = "table"
    ACCOUNT = "account"
    DIRECTORY = "directory"
    SOCKET = "socket"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something that no live migration owns.

    Attributes:
        kind: what it is.
        name: of the table, trigger or account; the path of a file; a process's number.
        schema: of a table or trigger.
        table: that a trigger is on.
        directory: private directory that a process works in.
        migration_uuid: of the row that names it; empty: no row does, so it is never touched.
        note: what is known of it, or why it stays.
        is_kept: it is the former table: it waits for its retention like any other.
        stays: it is not to be removed although a row names it; `note` says why.
    """

    kind: Kind
    name: str
    schema: str = ""
    table: str = ""
    directory: str = ""
    migration_uuid: str = ""
    note: str = ""
    is_kept: bool = False
    stays: bool = False

    @property
    def is_removable(self) -> bool:
        """Whether the sweeper takes it away."""
        return bool(self.migration_uuid) and not self.stays

    def __str__(self) -> str:
        place = f"{self.schema}." if self.schema else ""
        return f"{self.kind} {place}{self.name}"


@dataclass(frozen=True, slots=True)
class Swept:
    """What became of a leftover that was to be removed.

    Attributes:
        leftover: as it was found.
        failure: why it is still there; empty: it is gone.
    """

    leftover: Leftover
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Owner:
    """The columns of a migration's row that say what it owns."""

    id: int
    migration_uuid: str
    mysql_schema: str
    mysql_table: str
    status: str
    artifacts: tuple[str, ...]
    run_nonce: str
    run_directory: str
    run_account: str
    retain_artifacts_seconds: int

    @property
    def is_live(self) -> bool:
        """Whether the queue runs it, or has still to settle a run of it."""
        return bool(self.run_nonce) or self.status == Status.RUNNING


def to_owner(row: Mapping[str, Any]) -> Owner:
    """Return a row of a query for `OWNER_COLUMNS`."""
    facts = dict(row)
    facts["status"] = facts.pop("migration_status")
    facts["artifacts"] = split_artifacts(facts["artifacts"])
    return Owner(**facts)


def migration_of_table(name: str) -> tuple[str, str] | None:
    """Return the migration whose run made a table, and the suffix; None for any other table."""
    found = _MADE.fullmatch(name)
    return (found[1], found[2]) if found else None


def migration_of_trigger(body: str) -> str:
    """Return the migration whose new table a trigger writes into; empty for any other trigger."""
    found = _MENTIONED.search(body)
    return found[1] if found else ""


def table_of_run_by_hand(name: str) -> tuple[str, str] | None:
    """Return the table that somebody's own run is of by its names, and the suffix; else None."""
    found = _BY_HAND.fullmatch(name)
    return (found[1], found[2]) if found else None


def migration_of_directory(path: Path, tablet_alias: str) -> str:
    """Return the migration that a tablet's private directory is of; empty for any other."""
    prefix = f"{tablet_alias}-"
    if not path.name.startswith(prefix):
        return ""
    found = _RUN.fullmatch(path.name.removeprefix(prefix))
    return found[1] if found else ""
