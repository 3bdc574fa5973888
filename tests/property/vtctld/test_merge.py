"""Order, limit and skip over several shards are those of one single list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tabletd.vtctld.schema_migration import Cells, Listing, merge

SHARDS = ("-40", "40-80", "80-c0", "c0-")
# A few seconds only, so that many rows were added in the same one.
ROWS = st.lists(st.tuples(st.integers(1_700_000_000, 1_700_000_003), st.sampled_from(SHARDS)))


def cells(added: int, row_id: int) -> Cells:
    return [str(row_id).encode(), str(added).encode()]


def shard_answers(
    rows: dict[str, list[tuple[int, int]]], listing: Listing
) -> dict[str, list[Cells]]:
    """Return what each server answers to `listing.select`."""
    wanted = listing.limit + listing.skip if listing.limit else None
    return {
        shard: [
            cells(added, row_id)
            for added, row_id in sorted(found, reverse=listing.descending)[:wanted]
        ]
        for shard, found in rows.items()
    }


@given(ROWS, st.booleans(), st.integers(0, 12), st.integers(0, 12))
def test_shards_together_answer_like_one_list(
    added: list[tuple[int, str]], descending: bool, limit: int, skip: int
) -> None:
    rows: dict[str, list[tuple[int, int]]] = {shard: [] for shard in SHARDS}
    for moment, shard in added:
        rows[shard].append((moment, len(rows[shard]) + 1))
    single = sorted(
        (moment, row_id, SHARDS.index(shard))
        for shard, found in rows.items()
        for moment, row_id in found
    )
    if descending:
        single.reverse()
    expected = single[skip : skip + limit] if limit else single

    listing = Listing("", descending, limit, skip if limit else 0)
    merged = merge(shard_answers(rows, listing), listing)

    found = [(int(c[1] or 0), int(c[0] or 0), SHARDS.index(shard)) for shard, c in merged]
    assert found == expected
