"""Finds the rows that differ, once it is known that some do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeVar

from tabletd.errors import Reason, TabletdError
from tabletd.executor.verify.expressions import Side
from tabletd.executor.verify.keys import Values
from tabletd.executor.verify.pairs import Pair
from tabletd.executor.verify.rows import Difference, RowKey
from tabletd.executor.verify.scratch import Converted, Scratch
from tabletd.executor.verify.tables import Checksum, Condition, Row, Tables
from tabletd.mysql.session import Session

_BATCH_ROWS: Final = 200
_ROWS_AT_ONCE_MAX: Final = 20_000
_LEFT_ROWS_MAX: Final = 100_000

Suspect = tuple[Row, Row | None]
T = TypeVar("T")


class Matching:
    """Looks at rows one by one, in one snapshot.

    Args:
        session: in the snapshot.
        tables: the two tables.
        scratch: converts old values; None where both tables have the same definitions.
    """

    def __init__(self, session: Session, tables: Tables, scratch: Scratch | None) -> None:
        self._session = session
        self._tables = tables
        self._scratch = scratch

    async def differences(self, conditions: Mapping[Side, Condition]) -> list[Difference]:
        """Return what differs of some rows whose keys are the same in both tables."""
        old = await self._tables.rows(self._session, Side.OLD, conditions[Side.OLD])
        new = await self._tables.rows(self._session, Side.NEW, conditions[Side.NEW])
        others = {row.identity: row for row in new}
        suspects: list[Suspect] = []
        for row in old:
            other = others.pop(row.identity, None)
            if other is None or other.digest != row.digest:
                suspects.append((row, other))
        found = await self._settle(suspects)
        return [*found, *map(self._surplus, others.values())]

    async def by_hash(self) -> tuple[int, list[Difference]]:
        """Compare all rows, found again by what their keys are converted to.

        Returns:
            the old table's rows, and what differs.

        Raises:
            TabletdError: PREFLIGHT_REFUSED when too many rows have to be looked at one by one.
        """
        old = await self._tables.checksums(self._session, Side.OLD)
        new = await self._tables.checksums(self._session, Side.NEW)
        left_old: list[Row] = []
        left_new: list[Row] = []
        for buckets in _groups(old, new):
            condition = {side: self._tables.in_buckets(side, buckets) for side in Side}
            olds = await self._tables.rows(self._session, Side.OLD, condition[Side.OLD])
            news = await self._tables.rows(self._session, Side.NEW, condition[Side.NEW])
            left_old += _without(olds, news)
            left_new += _without(news, olds)
            if len(left_old) + len(left_new) > _LEFT_ROWS_MAX:
                raise TabletdError(
                    Reason.PREFLIGHT_REFUSED,
                    f"more than {_LEFT_ROWS_MAX} rows have keys that the new type writes in "
                    "another way: they cannot be compared",
                    hint="give the table another unique key first, or submit with --verify=false",
                )
        rows = sum(one.rows for one in old.values())
        return rows, await self._pair(left_old, left_new)

    async def _pair(self, left_old: list[Row], left_new: list[Row]) -> list[Difference]:
        others: dict[str, list[Row]] = {}
        for row in left_new:
            others.setdefault(row.identity, []).append(row)
        suspects: list[Suspect] = []
        found: list[Difference] = []
        for batch in _batches(left_old):
            converted = await self._convert([row.key for row in batch])
            for row in batch:
                one = converted.get(row.key)
                if one is not None and one.refusal:
                    found.append(self._difference(row, None, refusal=one.refusal))
                    continue
                same = others.get(one.identity if one and one.identity else row.identity)
                suspects.append((row, same.pop() if same else None))
        found += await self._settle(suspects)
        return [*found, *(self._surplus(row) for rows in others.values() for row in rows)]

    async def _settle(self, suspects: Sequence[Suspect]) -> list[Difference]:
        """Return which of some rows are lost or differ, once their values are converted."""
        found: list[Difference] = []
        for batch in _batches(suspects):
            found += await self._settle_batch(batch)
        return found

    async def _settle_batch(self, suspects: Sequence[Suspect]) -> list[Difference]:
        both = [(row, other) for row, other in suspects if other is not None]
        olds = await self._cells(Side.OLD, [row.key for row, _ in both])
        news = await self._cells(Side.NEW, [other.key for _, other in both])
        apart = {
            row.key: [
                index
                for index, (old, new) in enumerate(zip(olds[row.key], news[other.key], strict=True))
                if old != new
            ]
            for row, other in both
        }
        pairs = self._tables.pairs
        places = {pair: place for place, pair in enumerate(self._converted_pairs)}
        doubtful = [
            key for key, columns in apart.items() if any(pairs[i] in places for i in columns)
        ]
        converted = await self._convert(doubtful)
        found: list[Difference] = []
        for row, other in suspects:
            if other is None:
                found.append(self._difference(row, None))
                continue
            one = converted.get(row.key)
            if one is not None and one.refusal:
                found.append(self._difference(row, other, refusal=one.refusal))
                continue
            differing = [
                pairs[index].new.name
                for index in apart[row.key]
                if one is None
                or pairs[index] not in places
                or one.cells[places[pairs[index]]] != news[other.key][index]
            ]
            if differing:
                found.append(self._difference(row, other, columns=tuple(differing)))
        return found

    @property
    def _converted_pairs(self) -> Sequence[Pair]:
        return self._scratch.pairs if self._scratch is not None else ()

    async def _cells(self, side: Side, keys: Sequence[Values]) -> Mapping[Values, tuple[str, ...]]:
        return await self._tables.cells(self._session, side, keys) if keys else {}

    async def _convert(self, keys: Sequence[Values]) -> Mapping[Values, Converted]:
        if self._scratch is None or not keys:
            return {}
        values = await self._tables.values(self._session, self._scratch.pairs, keys)
        converted = await self._scratch.convert(self._session, list(values.values()))
        return dict(zip(values, converted, strict=True))

    def _difference(
        self, row: Row, other: Row | None, *, columns: tuple[str, ...] = (), refusal: str = ""
    ) -> Difference:
        digest = None if other is None else other.digest
        return Difference(self._key(Side.OLD, row), row.digest, digest, columns, refusal)

    def _surplus(self, row: Row) -> Difference:
        return Difference(self._key(Side.NEW, row), None, row.digest)

    def _key(self, side: Side, row: Row) -> RowKey:
        return RowKey(tuple(column.name for column in self._tables.key.columns(side)), row.key)


def _groups(old: Mapping[int, Checksum], new: Mapping[int, Checksum]) -> Iterator[list[int]]:
    """Put the buckets that differ together, as many as may be looked at in one go."""
    group: list[int] = []
    rows = 0
    for bucket in sorted(old.keys() | new.keys()):
        if old.get(bucket) == new.get(bucket):
            continue
        more = sum(sums[bucket].rows for sums in (old, new) if bucket in sums)
        if group and rows + more > _ROWS_AT_ONCE_MAX:
            yield group
            group, rows = [], 0
        group.append(bucket)
        rows += more
    if group:
        yield group


def _without(rows: Sequence[Row], others: Sequence[Row]) -> list[Row]:
    """Return the rows that are not among the others, each of which stands for one."""
    there = Counter((row.identity, row.digest) for row in others)
    left: list[Row] = []
    for row in rows:
        if there[row.identity, row.digest] > 0:
            there[row.identity, row.digest] -= 1
        else:
            left.append(row)
    return left


def _batches(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), _BATCH_ROWS):
        yield rows[start : start + _BATCH_ROWS]
