"""What writers saw committed, kept outside the server: the oracle of the demo and the tests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

COLUMNS: Final = ("code", "amount", "note", "payload", "changed")
SEED_EPOCH: Final = datetime(2024, 1, 1)
_NAMED_KEYS_MAX: Final = 10

Row = tuple[object, ...]
"""The values of `COLUMNS`, in that order."""

Changes = Mapping[int, Row | None]
"""What one transaction makes of each key that it touches; None means deleted."""


def seed_row(key: int) -> Row:
    """Return the row that the load statement makes for a key (`workload.seed_statement`)."""
    return (
        f"seed-{key}",
        Decimal(key * 7919 % 1_000_000) / 100,
        f"order {key}",
        hashlib.md5(str(key).encode(), usedforsecurity=False).digest(),
        SEED_EPOCH + timedelta(seconds=key),
    )


def checksum(values: Iterable[object]) -> int:
    """Return a 64-bit checksum of a row's values, the same for equal values of like types."""
    digest = hashlib.blake2b(digest_size=8)
    for value in values:
        part = _canonical(value)
        digest.update(b"N" if part is None else b"%d:%b" % (len(part), part))
    return int.from_bytes(digest.digest(), "big")


def _canonical(value: object) -> bytes | None:
    match value:
        case None:
            return None
        case bytes():
            return value
        case Decimal():
            return format(value.normalize(), "f").encode()
        case datetime():
            return value.isoformat(timespec="microseconds").encode()
        case _:
            return str(value).encode()


@dataclass(frozen=True)
class Verdict:
    """The outcome of comparing a table with a book.

    Attributes:
        rows: rows found in the table.
        checksum: of the whole table, whatever the order of its rows.
        missing: keys that were committed and are not there.
        unexpected: keys that are there and should not be.
        differing: keys whose row is not what was committed.
        torn: keys of transactions without an answer that are neither wholly there nor wholly not.
        columns: the columns that both definitions have and that were compared.
    """

    rows: int
    checksum: int
    missing: tuple[int, ...] = ()
    unexpected: tuple[int, ...] = ()
    differing: tuple[int, ...] = ()
    torn: tuple[int, ...] = ()
    columns: tuple[str, ...] = COLUMNS

    @property
    def holds(self) -> bool:
        """Whether the table is what the writers saw committed."""
        return not (self.missing or self.unexpected or self.differing or self.torn)

    def __str__(self) -> str:
        if self.holds:
            return f"{self.rows:,} rows equal the writers' book (checksum {self.checksum:016x})"
        parts = [
            f"{len(keys):,} {name}: {', '.join(map(str, keys[:_NAMED_KEYS_MAX]))}"
            + (", ..." if len(keys) > _NAMED_KEYS_MAX else "")
            for name, keys in (
                ("missing", self.missing),
                ("unexpected", self.unexpected),
                ("differing", self.differing),
                ("torn", self.torn),
            )
            if keys
        ]
        return f"of {self.rows:,} rows: " + "; ".join(parts)


@dataclass(frozen=True)
class _Unanswered:
    """A transaction whose commit got no answer: all of `after` holds, or all of `before`."""

    before: Changes
    after: Changes


@dataclass
class Book:
    """The committed state of one table, per primary key.

    Args:
        seeded_rows: the keys 1 to this number were loaded and hold `seed_row`.
    """

    seeded_rows: int = 0
    _changed: dict[int, Row | None] = field(default_factory=dict[int, Row | None])
    _unanswered: list[_Unanswered] = field(default_factory=list[_Unanswered])
    _retired: set[int] = field(default_factory=set[int])
    _issued: int = 0

    def row(self, key: int) -> Row | None:
        """Return the committed row of a key, or None where there is none."""
        if key in self._changed:
            return self._changed[key]
        return seed_row(key) if 1 <= key <= self.seeded_rows else None

    def is_retired(self, key: int) -> bool:
        """Return whether a commit without an answer touched the key: nobody may touch it again."""
        return key in self._retired

    @property
    def key_max(self) -> int:
        """The highest key handed out so far."""
        return self.seeded_rows + self._issued

    def new_key(self) -> int:
        """Hand out a key that nobody has used."""
        self._issued += 1
        return self.key_max

    def commit(self, changes: Changes) -> None:
        """Write down a transaction that the server said is committed."""
        self._changed.update(changes)

    def commit_unanswered(self, changes: Changes) -> None:
        """Write down a transaction whose commit was sent and not answered: it counts either way."""
        before = {key: self.row(key) for key in changes}
        self._unanswered.append(_Unanswered(before, dict(changes)))
        self._retired.update(changes)

    def verify(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Verdict:
        """Compare a table with the book, row by row.

        Only the columns that the book and the table have in common are compared, so that a table
        may be held against the book after columns were added or dropped.

        Args:
            columns: the table's columns; `id` must be among them.
            rows: each row's values in the order of `columns`, as Python values.

        Returns:
            the verdict, with the keys that differ.
        """
        common = tuple(name for name in COLUMNS if name in columns)
        in_book = [COLUMNS.index(name) for name in common]
        in_table = [list(columns).index(name) for name in common]
        id_position = list(columns).index("id")

        def expected(row: Row | None) -> int | None:
            return None if row is None else checksum(row[i] for i in in_book)

        found: dict[int, int] = {}
        for row in rows:
            found[int(str(row[id_position]))] = checksum(row[i] for i in in_table)

        missing: list[int] = []
        differing: list[int] = []
        live = 0
        for key in self._settled_keys():
            wanted = expected(self.row(key))
            if wanted is None:
                continue
            live += 1
            if key not in found:
                missing.append(key)
            elif found[key] != wanted:
                differing.append(key)
        return Verdict(
            rows=len(found),
            checksum=sum(checksum((key, value)) for key, value in found.items()) % 2**64,
            missing=tuple(missing),
            unexpected=self._unexpected(found) if len(found) != live - len(missing) else (),
            differing=tuple(differing),
            torn=tuple(
                key
                for pair in self._unanswered
                if not any(
                    all(found.get(key) == expected(row) for key, row in state.items())
                    for state in (pair.before, pair.after)
                )
                for key in pair.after
            ),
            columns=common,
        )

    def _settled_keys(self) -> Iterable[int]:
        for key in range(1, self.seeded_rows + 1):
            if key not in self._retired:
                yield key
        for key in self._changed:
            if key > self.seeded_rows and key not in self._retired:
                yield key

    def _unexpected(self, found: Iterable[int]) -> tuple[int, ...]:
        return tuple(
            key for key in sorted(found) if key not in self._retired and self.row(key) is None
        )
