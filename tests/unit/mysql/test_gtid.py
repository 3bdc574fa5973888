"""Unions of GTID sets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabletd.mysql import gtid

_NUMBERS = st.sets(st.integers(1, 40), min_size=1)


def _members(gtid_set: str) -> set[tuple[str, int]]:
    members: set[tuple[str, int]] = set()
    for part in filter(None, gtid_set.split(",")):
        source, *words = part.split(":")
        for word in words:
            first, _, last = word.partition("-")
            members |= {(source, number) for number in range(int(first), int(last or first) + 1)}
    return members


@given(
    st.dictionaries(st.sampled_from("abc"), _NUMBERS),
    st.dictionaries(st.sampled_from("abc"), _NUMBERS),
)
def test_a_union_has_the_members_of_both(
    one: dict[str, set[int]], two: dict[str, set[int]]
) -> None:
    texts = [
        ",".join(f"{key}:{':'.join(map(str, numbers))}" for key, numbers in found.items())
        for found in (one, two)
    ]
    assert _members(gtid.union(*texts)) == _members(texts[0]) | _members(texts[1])


def test_neighbours_are_joined_and_lines_are_forgotten() -> None:
    assert gtid.union("B:1-3:4,\nA:7", "b:9") == "a:7,b:1-4:9"


def test_tags_are_kept_apart() -> None:
    assert gtid.union("a:1-2:tag:5", "a:3:tag:6") == "a:1-3,a:tag:5-6"


@pytest.mark.parametrize("text", ["a", "a:x-y:1-z"])
def test_what_is_no_gtid_set_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        gtid.union(text)
