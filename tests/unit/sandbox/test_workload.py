from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabletd.sandbox.book import COLUMNS, Book, Row, seed_row
from tabletd.sandbox.workload import Planner, Transaction

ALL_COLUMNS = ("id", *COLUMNS)


class Model:
    """A table in SQLite: a judge that shares no code with the book."""

    def __init__(self, connection: sqlite3.Connection, seeded_rows: int) -> None:
        self._connection = connection
        connection.execute(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, "
            "amount TEXT NOT NULL, note TEXT, payload BLOB, changed TEXT NOT NULL)"
        )
        for key in range(1, seeded_rows + 1):
            values = [_to_sqlite(value) for value in (key, *seed_row(key))]
            connection.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", values)
        connection.commit()

    def carry_out(self, transaction: Transaction, *, commit: bool) -> None:
        for sql, values in transaction.statements:
            done = self._connection.execute(
                sql.replace("%s", "?"), [_to_sqlite(value) for value in values]
            )
            assert done.rowcount == 1, f"{sql} touched {done.rowcount} rows"
        if commit:
            self._connection.commit()
        else:
            self._connection.rollback()

    def rows(self) -> list[list[object]]:
        return [
            [key, code, Decimal(amount), note, payload, datetime.fromisoformat(changed)]
            for key, code, amount, note, payload, changed in self._connection.execute(
                "SELECT id, code, amount, note, payload, changed FROM t"
            )
        ]


def _to_sqlite(value: object) -> object:
    return str(value) if isinstance(value, Decimal | datetime) else value


@pytest.fixture
def model() -> Iterator[Model]:
    with closing(sqlite3.connect(":memory:")) as connection:
        yield Model(connection, 30)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), lost=st.sets(st.integers(0, 60), max_size=8))
def test_the_book_equals_the_table_whatever_was_written_rolled_back_or_left_unanswered(
    seed: int, lost: set[int]
) -> None:
    chance = random.Random(seed)
    with closing(sqlite3.connect(":memory:")) as connection:
        table = Model(connection, 30)
        book = Book(seeded_rows=30)
        planner = Planner("main", "t", book, random.Random(seed))
        for number in range(60):
            transaction = planner.plan()
            if number in lost:
                table.carry_out(transaction, commit=chance.random() < 0.5)
                book.commit_unanswered(transaction.changes)
            elif transaction.rolls_back:
                table.carry_out(transaction, commit=False)
            else:
                table.carry_out(transaction, commit=True)
                book.commit(transaction.changes)
            planner.settle(transaction)
        verdict = book.verify(ALL_COLUMNS, table.rows())
        assert verdict.holds, str(verdict)
        assert verdict.rows == len(table.rows())


def test_two_transactions_in_flight_never_touch_the_same_key() -> None:
    planner = Planner("main", "t", Book(seeded_rows=20), random.Random(7))
    in_flight = [planner.plan() for _ in range(15)]
    keys = [key for transaction in in_flight for key in transaction.changes]
    assert len(keys) == len(set(keys))


def test_a_missing_a_changed_and_a_surplus_row_are_each_named() -> None:
    book = Book(seeded_rows=5)
    book.commit({3: None})
    rows: list[tuple[object, ...]] = [(key, *seed_row(key)) for key in (1, 3, 4, 5)]
    rows[0] = (1, "other", *rows[0][2:])
    verdict = book.verify(ALL_COLUMNS, rows)
    assert not verdict.holds
    assert (verdict.missing, verdict.differing, verdict.unexpected) == ((2,), (1,), (3,))
    assert str(verdict) == "of 4 rows: 1 missing: 2; 1 unexpected: 3; 1 differing: 1"


def test_a_commit_without_an_answer_counts_wholly_or_not_at_all() -> None:
    moved: dict[int, Row | None] = {1: None, 3: seed_row(1)}
    book = Book(seeded_rows=2)
    book.commit_unanswered(moved)
    second = (2, *seed_row(2))
    not_committed = [(1, *seed_row(1)), second]
    committed = [second, (3, *seed_row(1))]
    half = [(1, *seed_row(1)), second, (3, *seed_row(1))]
    assert book.verify(ALL_COLUMNS, not_committed).holds
    assert book.verify(ALL_COLUMNS, committed).holds
    assert book.verify(ALL_COLUMNS, half).torn == (1, 3)


def test_only_the_columns_that_both_definitions_have_are_compared() -> None:
    book = Book(seeded_rows=2)
    rows = [(f"new {key}", key, *seed_row(key)[1:]) for key in (1, 2)]
    verdict = book.verify(("added", "id", *COLUMNS[1:]), rows)
    assert verdict.holds
    assert verdict.columns == COLUMNS[1:]


def test_the_text_of_a_number_may_change_but_not_its_value(model: Model) -> None:
    book = Book(seeded_rows=30)
    longer = [[*row[:2], Decimal(f"{row[2]}0000"), *row[3:]] for row in model.rows()]
    assert book.verify(ALL_COLUMNS, longer).holds
    longer[4][2] = Decimal("0.0001")
    assert book.verify(ALL_COLUMNS, longer).differing == (5,)
