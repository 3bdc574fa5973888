"""Names that the executor gives: migrations, timestamps, tables waiting for their end, tools."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

_UUID = re.compile(r"[0-9a-f]{8}(?:_[0-9a-f]{4}){3}_[0-9a-f]{12}")
_TIMESTAMP_FORMAT = "%Y%m%d%H%M%S"
_GC_NAME_TODAY = re.compile(r"_vt_(hld|prg|evc|drp)_([0-9a-f]{32})_([0-9]{14})_")
_GC_NAME_V9 = re.compile(r"_vt_(HOLD|PURGE|EVAC|DROP)_([0-9a-f]{32})_([0-9]{14})")


def ghost_binary_file_name(override: str = "") -> tuple[str, bool]:
    """Return the path of the gh-ost binary and whether it was configured.

    Args:
        override: the configured path; empty means `vt-gh-ost` in the OS temporary directory.
    """
    return (override, True) if override else (str(Path(tempfile.gettempdir(), "vt-gh-ost")), False)


def ptosc_file_name(override: str = "") -> tuple[str, bool]:
    """Return the path of pt-online-schema-change and whether it was configured.

    Args:
        override: the configured path; empty means the one in the system's binary folder.
    """
    return (override, True) if override else ("/usr/bin/pt-online-schema-change", False)


def random_hash() -> str:
    """Return 64 hexadecimal digits made from 64 random bytes."""
    return hashlib.sha256(os.urandom(64)).hexdigest()


def to_readable_timestamp(moment: datetime) -> str:
    """Return a moment in its own zone as `YYYYMMDDhhmmss`.

    2020-08-25 16:04:25 is `20200825160425`.
    """
    return moment.strftime(_TIMESTAMP_FORMAT).zfill(14)


def readable_timestamp() -> str:
    """Return the present local time as `YYYYMMDDhhmmss`."""
    return to_readable_timestamp(datetime.now().astimezone())


def create_uuid() -> str:
    """Return a new migration UUID: version 1, lower case, underscores for dashes."""
    return str(uuid.uuid1()).replace("-", "_")


def is_online_ddl_uuid(text: str) -> bool:
    """Tell whether a text has the form of a migration UUID."""
    return _UUID.fullmatch(text) is not None


class TableGCState(StrEnum):
    """Stations of a table on its way out."""

    HOLD = "hold"
    PURGE = "purge"
    EVAC = "evac"
    DROP = "drop"


_TODAY_WORDS = {
    TableGCState.HOLD: "hld",
    TableGCState.PURGE: "prg",
    TableGCState.EVAC: "evc",
    TableGCState.DROP: "drp",
}
_STATES_BY_WORD = {word: state for state, word in _TODAY_WORDS.items()} | {
    state.name: state for state in TableGCState
}


@dataclass(frozen=True, slots=True)
class GCTable:
    """What the name of a table on its way out says.

    Attributes:
        state: the station it is at.
        gc_uuid: 32 hexadecimal digits that stay with it.
        due: when it moves on, UTC.
    """

    state: TableGCState
    gc_uuid: str
    due: datetime


def create_gc_uuid(migration_id: int) -> str:
    """Return 32 fresh hexadecimal digits, distinct for each table also within one second.

    The first half is the id of the row that owns the table, so that its owner is found by key.
    """
    return f"{migration_id:016x}{os.urandom(8).hex()}"


def migration_id_of(gc_uuid: str) -> int:
    """Return the id that `create_gc_uuid` put into it; of a foreign one any number."""
    return int(gc_uuid[:16], 16)


def gc_table_name(state: TableGCState, gc_uuid: str, due: datetime) -> str:
    """Return the name of a table at a station, in today's lower-case form (56 characters).

    Lower case survives `lower_case_table_names=1`, which would hide Vitess's older form.
    """
    return f"_vt_{_TODAY_WORDS[state]}_{gc_uuid}_{to_readable_timestamp(due.astimezone(UTC))}_"


def parse_gc_table_name(name: str) -> GCTable | None:
    """Return what a name of either form says, None for any other table."""
    match = _GC_NAME_TODAY.fullmatch(name) or _GC_NAME_V9.fullmatch(name)
    if match is None:
        return None
    try:
        due = datetime.strptime(match[3], _TIMESTAMP_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None
    return GCTable(_STATES_BY_WORD[match[1]], match[2], due)
