"""What becomes of rows that differ, against a comparison that says what the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from tabletd.errors import MySQLUnavailable, Reason, TabletdError
from tabletd.executor.engines import proof as module
from tabletd.executor.engines.proof import Proof, ProofState
from tabletd.executor.verify import Chunk, Comparison, Difference, RowKey

SILENT = [7] * 100


def row(number: int, old: str | None = "a", new: str | None = "b") -> Difference:
    return Difference(RowKey(("id",), (number,)), old, new, ("amount",))


class Told:
    """A comparison of two chunks; each look gives the next of what the test tells."""

    rows_estimated = 4

    def __init__(self, chunks: Sequence[Chunk], looks: Sequence[Sequence[Difference]] = ()) -> None:
        self._chunks = chunks
        self._looks = list(looks)
        self.began_after: list[RowKey | None] = []

    async def chunks(self, after: RowKey | None = None) -> AsyncGenerator[Chunk]:
        self.began_after.append(after)
        for chunk in self._chunks:
            yield chunk

    async def look(self, keys: Sequence[RowKey]) -> tuple[Difference, ...]:
        found = self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]
        return tuple(one for one in found if one.key in keys)


class Settled:
    """A tool that says what the test wants of the changes that it has applied."""

    def __init__(self, applied: Sequence[int]) -> None:
        self._applied = list(applied)

    async def settle(self) -> int:
        return self._applied.pop(0)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "_PAUSE_SECONDS_MAX",
        "_FIRST_PAUSE_SECONDS",
        "_LAST_PAUSE_SECONDS",
        "_PAUSE_SECONDS",
    ):
        monkeypatch.setattr(module, name, 0.0)


async def proven(told: Told, file: Path, applied: Sequence[int] | None = None) -> Proof:
    """Run a proof to its end."""

    @asynccontextmanager
    async def opening() -> AsyncGenerator[Comparison]:
        yield cast("Comparison", told)

    proof = Proof(opening, None if applied is None else Settled(applied), file)
    assert proof.is_due
    proof.begin()
    async with asyncio.timeout(60):
        await proof.run()
    return proof


def chunk(last: int | None, *differences: Difference, too_many: bool = False) -> Chunk:
    key = RowKey(("id",), (last,)) if last is not None else None
    return Chunk(key, 2, differences, too_many)


async def test_equal_tables_are_equal(tmp_path: Path) -> None:
    proof = await proven(Told([chunk(2), chunk(None)]), tmp_path / "proof")
    assert (proof.state, proof.verdict) == (ProofState.EQUAL, "")


async def test_behind_triggers_a_difference_is_a_loss_at_once(tmp_path: Path) -> None:
    proof = await proven(Told([chunk(2, row(1)), chunk(None)]), tmp_path / "proof")
    assert proof.state is ProofState.DIFFERENT
    assert "id = 1: differs in amount" in proof.verdict


async def test_a_row_that_gh_ost_had_not_carried_over_yet_is_no_loss(tmp_path: Path) -> None:
    told = Told([chunk(None, row(1))], [[row(1)], []])
    proof = await proven(told, tmp_path / "proof", range(100))
    assert (proof.state, proof.verdict) == (ProofState.EQUAL, "")


async def test_a_row_that_stands_still_and_differs_is_lost(tmp_path: Path) -> None:
    told = Told(
        [chunk(None, row(1, new=None), row(2))], [[row(1, new=None), row(2)], [row(1, new=None)]]
    )
    proof = await proven(told, tmp_path / "proof", range(100))
    assert proof.state is ProofState.DIFFERENT
    assert "id = 1: lost" in proof.verdict
    assert "id = 2" not in proof.verdict


async def test_where_nothing_is_written_fewer_looks_are_enough(tmp_path: Path) -> None:
    told = Told([chunk(None, row(1))], [[row(1)]])
    proof = await proven(told, tmp_path / "proof", [7, 7])
    assert proof.state is ProofState.DIFFERENT


async def test_a_row_that_is_never_still_is_told_and_not_lost(tmp_path: Path) -> None:
    looks = [[row(1, old=f"v{number}")] for number in range(100)]
    proof = await proven(Told([chunk(None, row(1))], looks), tmp_path / "proof", range(100))
    assert proof.state is ProofState.EQUAL
    assert proof.verdict == "not proven, since they never stood still: id = 1: differs in amount"


async def test_a_chunk_with_too_many_differences_is_compared_again(tmp_path: Path) -> None:
    told = Told([chunk(2, row(1), too_many=True), chunk(None)], [[]])
    proof = await proven(told, tmp_path / "proof", range(100))
    assert proof.state is ProofState.EQUAL
    assert len(told.began_after) == 5
    assert proof.verdict == "not proven, since they never stood still: more rows up to id = 2"


async def test_what_can_never_be_compared_is_not_swapped(tmp_path: Path) -> None:
    @asynccontextmanager
    async def opening() -> AsyncGenerator[Comparison]:
        raise TabletdError(Reason.PREFLIGHT_REFUSED, "there is no key")
        yield

    proof = Proof(opening, None, tmp_path / "proof")
    proof.begin()
    await proof.run()
    assert proof.state is ProofState.DIFFERENT
    assert proof.verdict == "there is no key"


async def test_a_server_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    class Flaky(Told):
        async def chunks(self, after: RowKey | None = None) -> AsyncGenerator[Chunk]:
            self.began_after.append(after)
            yield chunk(2 if len(self.began_after) < 9 else None)
            if len(self.began_after) < 9:
                raise MySQLUnavailable("away")

    told = Flaky([])
    proof = await proven(told, tmp_path / "proof")
    assert proof.state is ProofState.EQUAL
    assert told.began_after[1:] == [RowKey(("id",), (2,))] * 8


async def test_the_next_daemon_goes_on_where_the_last_one_was(tmp_path: Path) -> None:
    class Dying(Told):
        async def chunks(self, after: RowKey | None = None) -> AsyncGenerator[Chunk]:
            yield chunk(2)
            yield chunk(4)
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await proven(Dying([]), tmp_path / "proof")
    told = Told([chunk(None)])
    proof = await proven(told, tmp_path / "proof")
    assert told.began_after == [RowKey(("id",), (4,))]
    assert "6 of about 4 done" in proof.words
    again = Proof(lambda: pytest.fail("it is proven"), None, tmp_path / "proof")
    assert not again.is_due


async def test_the_next_daemon_knows_how_many_rows_never_stood_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SUSPECTS_MAX", 15)

    class NeverStill(Told):
        async def chunks(self, after: RowKey | None = None) -> AsyncGenerator[Chunk]:
            yield chunk(20, *map(row, range(15)))
            yield chunk(30)
            raise asyncio.CancelledError

    looks = [[row(number, old=f"v{look}") for number in range(20)] for look in range(100)]
    with pytest.raises(asyncio.CancelledError):
        await proven(NeverStill([], looks), tmp_path / "proof", range(100))
    proof = await proven(Told([chunk(None)]), tmp_path / "proof")
    assert proof.verdict.startswith("not proven, since they never stood still: id = 0: differs")
    assert proof.verdict.endswith("and 5 more")


async def test_a_server_that_goes_away_at_the_end_does_not_begin_it_anew(tmp_path: Path) -> None:
    class Flaky(Told):
        fails = 3

        async def look(self, keys: Sequence[RowKey]) -> tuple[Difference, ...]:
            self.fails -= 1
            if self.fails >= 0:
                raise MySQLUnavailable("away")
            return ()

    told = Flaky([chunk(None, row(1))])
    proof = await proven(told, tmp_path / "proof", range(100))
    assert proof.state is ProofState.EQUAL
    assert told.began_after == [None]


async def test_an_error_that_stays_holds_the_run_until_it_is_mended(tmp_path: Path) -> None:
    said: list[str] = []

    class Broken(Told):
        async def chunks(self, after: RowKey | None = None) -> AsyncGenerator[Chunk]:
            said.append(proof.words)
            if len(said) < 100:
                raise TabletdError(Reason.MYSQL_ERROR, "the disk is full")
            assert proof.is_due
            yield chunk(2)
            said.append(proof.words)
            yield chunk(None)

    @asynccontextmanager
    async def opening() -> AsyncGenerator[Comparison]:
        yield cast("Comparison", Broken([]))

    proof = Proof(opening, None, tmp_path / "proof")
    proof.begin()
    async with asyncio.timeout(60):
        await proof.run()
    assert "(held, since they cannot be compared: the disk is full)" in said[98]
    assert said[-1] == "comparing rows, 2 of about 4 done"
    assert (proof.state, proof.verdict) == (ProofState.EQUAL, "")
