"""Rows of `_vt.schema_migrations` as messages: which to ask for, and what they say.

The same columns are asked of every tablet, times as Unix time, so that no time zone of a session
comes into it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tabletd.errors import Reason, TabletdError
from tabletd.executor.names import is_online_ddl_uuid
from tabletd.topology import TabletPlace
from tabletd_pb import topodata_pb2, vtctldata_pb2, vttime_pb2

ROWS_MAX: Final = 10_000  # of one shard, as in Vitess
_LIMIT_MAX: Final = 2**63

Cells = Sequence[bytes | None]
_SM = vtctldata_pb2.SchemaMigration

# A client from v22 on has no name for the first two, and prints `unknown`; see `_stage`.
_STRATEGIES: Final[Mapping[bytes, _SM.Strategy.ValueType]] = {
    b"gh-ost": _SM.GHOST,
    b"pt-osc": _SM.PTOSC,
    b"direct": _SM.DIRECT,
    b"mysql": _SM.MYSQL,
    b"online": _SM.ONLINE,
    b"vitess": _SM.VITESS,
}
_NAMELESS: Final = frozenset({_SM.GHOST, _SM.PTOSC})
_STATUSES: Final[Mapping[bytes, _SM.Status.ValueType]] = {
    name.lower().encode(): number for name, number in _SM.Status.items()
}

_TEXTS: Final = {
    "uuid": "migration_uuid",
    "keyspace": "keyspace",
    "shard": "shard",
    "schema": "mysql_schema",
    "table": "mysql_table",
    "migration_statement": "migration_statement",
    "options": "options",
    "log_path": "log_path",
    "migration_context": "migration_context",
    "ddl_action": "ddl_action",
    "message": "message",
    "log_file": "log_file",
    "removed_unique_key_names": "removed_unique_key_names",
    "dropped_no_default_column_names": "dropped_no_default_column_names",
    "expanded_column_names": "expanded_column_names",
    "revertible_notes": "revertible_notes",
    "reverted_uuid": "reverted_uuid",
    "special_plan": "special_plan",
    "component_throttled": "component_throttled",
    "removed_foreign_key_names": "removed_foreign_key_names",
    "artifacts": "artifacts",
}
_INTEGERS: Final = {
    "retries": "retries",
    "eta_seconds": "eta_seconds",
    "rows_copied": "rows_copied",
    "table_rows": "table_rows",
    "added_unique_keys": "added_unique_keys",
    "removed_unique_keys": "removed_unique_keys",
    "vitess_liveness_indicator": "vitess_liveness_indicator",
    "cutover_attempts": "cutover_attempts",
    "in_order_completion_pending_count": "in_order_completion_pending_count",
}
_FLOATS: Final = {"progress": "progress", "user_throttle_ratio": "user_throttle_ratio"}
_BOOLEANS: Final = {
    "tablet_failure": "tablet_failure",
    "postpone_completion": "postpone_completion",
    "allow_concurrent": "allow_concurrent",
    "is_view": "is_view",
    "ready_to_complete": "ready_to_complete",
    "postpone_launch": "postpone_launch",
    "is_immediate_operation": "is_immediate_operation",
}
_TIMES: Final = {
    "added_at": "added_timestamp",
    "requested_at": "requested_timestamp",
    "ready_at": "ready_timestamp",
    "started_at": "started_timestamp",
    "liveness_timestamp": "liveness_timestamp",
    "completed_at": "completed_timestamp",
    "cleaned_up_at": "cleanup_timestamp",
    "last_throttled_at": "last_throttled_timestamp",
    "cancelled_at": "cancelled_timestamp",
    "reviewed_at": "reviewed_timestamp",
    "ready_to_complete_at": "ready_to_complete_timestamp",
}
# What needs more than its own cell comes first.
_SPECIAL: Final = (
    "id",
    "UNIX_TIMESTAMP(added_timestamp)",
    "migration_status",
    "strategy",
    "stage",
    "tablet",
    "retain_artifacts_seconds",
)


def _time(cell: bytes) -> vttime_pb2.Time | None:
    seconds, _, fraction = cell.partition(b".")
    if not int(seconds):
        return None
    return vttime_pb2.Time(seconds=int(seconds), nanoseconds=int(fraction.ljust(9, b"0")[:9]))


def _text(cell: bytes) -> str:
    return cell.decode("utf-8", "replace")


def _flag(cell: bytes) -> bool:
    return cell != b"0"


_KINDS: Final[tuple[tuple[Mapping[str, str], str, Callable[[bytes], Any]], ...]] = (
    (_TEXTS, "{}", _text),
    (_INTEGERS, "{}", int),
    (_FLOATS, "{}", float),
    (_BOOLEANS, "{}", _flag),
    (_TIMES, "UNIX_TIMESTAMP({})", _time),
)
_PLAIN: Final[tuple[tuple[str, Callable[[bytes], Any]], ...]] = tuple(
    (field, convert) for fields, _, convert in _KINDS for field in fields
)
_COLUMNS: Final = ", ".join(
    (
        *_SPECIAL,
        *(form.format(f"`{column}`") for kind, form, _ in _KINDS for column in kind.values()),
    )
)


_SELECT: Final = f"SELECT {_COLUMNS} FROM _vt.schema_migrations"  # noqa: S608
_ADDED, _ID, _UUID = 1, 0, len(_SPECIAL)


@dataclass(frozen=True, slots=True)
class Listing:
    """Which migrations are asked for, and in what order.

    Attributes:
        where: the condition, SQL; empty: all.
        descending: newest first.
        limit: how many at most over all shards; 0: all.
        skip: how many to pass over first.
    """

    where: str
    descending: bool = False
    limit: int = 0
    skip: int = 0

    @property
    def end(self) -> int | None:
        """How many rows the answer is cut from; None: all."""
        return min(self.limit + self.skip, _LIMIT_MAX) if self.limit else None

    @property
    def select(self) -> str:
        """The statement for one shard: enough rows for any share of the answer."""
        direction = "DESC" if self.descending else "ASC"
        return (
            f"{_SELECT}{f' WHERE {self.where}' if self.where else ''}"
            f" ORDER BY added_timestamp {direction}, id {direction}"
            f"{f' LIMIT {self.end}' if self.end else ''}"
        )

    def select_also(self, uuids: Iterable[bytes]) -> str:
        """The statement for rows of some migrations, wherever they stand in a shard's order."""
        names = ", ".join(f"_utf8mb4 X'{uuid.hex()}'" for uuid in uuids)
        condition = f"({self.where}) AND " if self.where else ""
        return f"{_SELECT} WHERE {condition}migration_uuid IN ({names})"


def read_listing(request: vtctldata_pb2.GetSchemaMigrationsRequest) -> Listing:
    """Return what a request asks for; the first filter that is set counts, as in Vitess.

    Raises:
        TabletdError: INVALID_REQUEST for what is no UUID, no status or no time.
    """
    return Listing(
        _where(request),
        descending=request.order == vtctldata_pb2.DESCENDING,
        limit=request.limit,
        skip=request.skip,
    )


def _where(request: vtctldata_pb2.GetSchemaMigrationsRequest) -> str:
    if request.uuid:
        return f"migration_uuid = '{checked_uuid(request.uuid)}'"
    if request.migration_context:
        # As hexadecimal digits no mode of the server can read it as anything else.
        context = request.migration_context.encode().hex()
        return f"migration_context = _utf8mb4 X'{context}'"
    if request.status:
        return f"migration_status = '{_status_name(request.status)}'"
    if request.HasField("recent"):
        seconds = request.recent.seconds + request.recent.nanos / 1e9
        if seconds < 0:
            raise TabletdError(
                Reason.INVALID_REQUEST, f"recent is {seconds:g} s; it cannot be negative"
            )
        if seconds:
            return f"UNIX_TIMESTAMP(requested_timestamp) > UNIX_TIMESTAMP() - {seconds:.3f}"
    return ""


def _status_name(number: int) -> str:
    for name, known in _SM.Status.items():
        if known == number:
            return name.lower()
    raise TabletdError(Reason.INVALID_REQUEST, f"{number} is no status of a migration")


def checked_uuid(text: str) -> str:
    """Return a migration's UUID in lower case.

    Raises:
        TabletdError: INVALID_REQUEST. Text: Vitess.
    """
    lower = text.lower()
    if not is_online_ddl_uuid(lower):
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"Not a valid UUID: {text[:100]}",
            hint="hexadecimal digits with underscores: 8_4_4_4_12",
        )
    return lower


def merge(rows: Mapping[str, Iterable[Cells]], listing: Listing) -> list[tuple[str, Cells]]:
    """Put the rows of all shards into one order and take the part that was asked for.

    Migrations are ordered by the time they were first added, then by id; the rows of one stand
    beside each other, in the order of shards.

    Args:
        rows: by shard, in the order of shards.
        listing: what was asked for.

    Returns:
        each row with its shard.
    """
    return _in_order(rows, listing)[listing.skip : listing.end]


def missing(rows: Mapping[str, Sequence[Cells]], listing: Listing) -> Mapping[str, Sequence[bytes]]:
    """Return which migrations of the answer a shard may have without having said so.

    Shards need not have taken migrations in one order: one may have a row of a migration beyond
    what it was asked for. `Listing.select_also` asks for it.

    Args:
        rows: what each shard answered to `Listing.select`.
        listing: what was asked for.

    Returns:
        UUIDs by shard; shards that lack none are left out.
    """
    cut = {shard: found for shard, found in rows.items() if len(found) == listing.end}
    wanted = {_uuid(cells): None for _, cells in _in_order(rows, listing)[: listing.end]}
    lacking: dict[str, Sequence[bytes]] = {}
    for shard, found in cut.items():
        there = {_uuid(cells) for cells in found}
        if more := [uuid for uuid in wanted if uuid not in there]:
            lacking[shard] = more
    return lacking


def _in_order(rows: Mapping[str, Iterable[Cells]], listing: Listing) -> list[tuple[str, Cells]]:
    placed = [
        (_uuid(cells), (float(cells[_ADDED] or 0), int(cells[_ID] or 0)), number, shard, cells)
        for number, (shard, found) in enumerate(rows.items())
        for cells in found
    ]
    first = max if listing.descending else min
    places: dict[bytes, tuple[float, int]] = {}
    for uuid, place, *_ in placed:
        places[uuid] = first(places.get(uuid, place), place)
    placed.sort(key=lambda one: (places[one[0]], one[0], one[2]), reverse=listing.descending)
    return [(shard, cells) for *_, shard, cells in placed]


def _uuid(cells: Cells) -> bytes:
    return cells[_UUID] or b""


def to_message(cells: Cells, tablet: TabletPlace) -> vtctldata_pb2.SchemaMigration:
    """Return a row as a message.

    Args:
        cells: the server's own text for the columns of `Listing.select`.
        tablet: where it was found; a migration that nobody has run yet is shown as its own.
    """
    _, _, status, strategy, stage, owner, retain = cells[: len(_SPECIAL)]
    values: dict[str, Any] = {
        field: convert(cell)
        for (field, convert), cell in zip(_PLAIN, cells[len(_SPECIAL) :], strict=True)
        # What is zero is not sent anyway; but "0" is also the name of a shard.
        if cell and (cell != b"0" or convert is _text)
    }
    number = _STRATEGIES.get(strategy or b"", _SM.DIRECT)
    return _SM(
        status=_STATUSES.get(status or b"", _SM.UNKNOWN),
        strategy=number,
        stage=_stage(_text(strategy or b""), _text(stage or b""), number),
        tablet=_alias(owner or b"", tablet),
        artifact_retention=vttime_pb2.Duration(seconds=int(retain or 0)),
        **values,
    )


def _stage(strategy: str, stage: str, number: _SM.Strategy.ValueType) -> str:
    """Begin with the tool's name where a client has no name for the strategy."""
    if number not in _NAMELESS or stage.startswith(strategy):
        return stage
    return f"{strategy}: {stage}" if stage else strategy


def _alias(owner: bytes, tablet: TabletPlace) -> topodata_pb2.TabletAlias:
    cell, _, uid = owner.decode("utf-8", "replace").rpartition("-")
    if cell and uid.isdecimal():
        return topodata_pb2.TabletAlias(cell=cell, uid=int(uid))
    return topodata_pb2.TabletAlias(cell=tablet.cell, uid=tablet.uid)


def to_time(unix_seconds: float) -> vttime_pb2.Time:
    """Return a moment as the wire has it."""
    seconds, nanoseconds = divmod(round(unix_seconds * 1e9), 10**9)
    return vttime_pb2.Time(seconds=seconds, nanoseconds=nanoseconds)


def now() -> vttime_pb2.Time:
    """Return the present moment."""
    return to_time(time.time())
