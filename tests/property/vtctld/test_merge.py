"""Order, limit and skip over several shards are those of one single list."""

from __future__ import annotations

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from tabletd.vtctld.schema_migration import Cells, Listing, merge, missing
from tests.support.migration_rows import row

SHARDS = ("-40", "40-80", "80-c0", "c0-")
UUIDS = [f"u{number}" for number in range(8)]
# A few seconds only, so that many rows were added in the same one; each shard has some of the
# migrations, in an order of its own.
ADDED = st.lists(st.integers(1_700_000_000, 1_700_000_003), min_size=8, max_size=8)
SHARD_ROWS = st.lists(st.sampled_from(UUIDS), unique=True)
ROWS = st.tuples(*[st.tuples(SHARD_ROWS, ADDED) for _ in SHARDS])


def _rows(uuids: list[str], added: list[int]) -> list[Cells]:
    """Return a shard's rows in the order of their ids."""
    return [
        row(id=b"%d" % number, added_timestamp=b"%d" % moment, migration_uuid=uuid.encode())
        for number, (uuid, moment) in enumerate(zip(uuids, sorted(added), strict=False), 1)
    ]


def _uuid(cells: Cells) -> bytes:
    return cells[row(migration_uuid=b"u").index(b"u")] or b""


def _answer(rows: dict[str, list[Cells]], listing: Listing) -> list[tuple[str, bytes]]:
    """Return what comes of a listing over servers that have these rows."""
    ordered = {
        shard: (found[::-1] if listing.descending else found)[: listing.end]
        for shard, found in rows.items()
    }
    for shard, uuids in missing(ordered, listing).items():
        ordered[shard] += [cells for cells in rows[shard] if _uuid(cells) in uuids]
    return [(shard, _uuid(cells)) for shard, cells in merge(ordered, listing)]


@given(ROWS, st.booleans(), st.integers(0, 12), st.integers(0, 12))
def test_shards_together_answer_like_one_list(
    given_rows: tuple[tuple[list[str], list[int]], ...], descending: bool, limit: int, skip: int
) -> None:
    rows = {shard: _rows(*each) for shard, each in zip(SHARDS, given_rows, strict=True)}
    everything = _answer(rows, Listing("", descending))
    assert sorted(everything) == sorted(
        (shard, _uuid(cells)) for shard, found in rows.items() for cells in found
    )
    end = skip + limit if limit else None
    assert _answer(rows, Listing("", descending, limit, skip)) == everything[skip:end]


@given(ROWS, st.booleans())
def test_the_rows_of_a_migration_stand_beside_each_other_in_the_order_of_shards(
    given_rows: tuple[tuple[list[str], list[int]], ...], descending: bool
) -> None:
    rows = {shard: _rows(*each) for shard, each in zip(SHARDS, given_rows, strict=True)}
    groups = [
        (uuid, [shard for shard, _ in group])
        for uuid, group in groupby(_answer(rows, Listing("", descending)), lambda one: one[1])
    ]
    assert len({uuid for uuid, _ in groups}) == len(groups)
    for _, shards in groups:
        assert shards == sorted(shards, key=SHARDS.index, reverse=descending)
