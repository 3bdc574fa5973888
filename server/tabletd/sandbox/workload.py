"""Writers that keep going on a table, and remember what the server told them.

Each writer runs short transactions at a bounded rate: inserts, updates, deletes, changes of the
primary key, swaps of unique values, roll-backs. What was committed goes into a `Book`; a table is
right when it equals the book. The demo, the tests and the benchmarks share them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.mysql.pool import Pool
from tabletd.mysql.quote import identifier, marks
from tabletd.mysql.session import Session
from tabletd.sandbox.book import COLUMNS, SEED_EPOCH, Book, Row, Verdict

_STATEMENT_SECONDS: Final = 10.0
_AWAY_PAUSE_SECONDS: Final = 0.2
_READ_CHUNK_ROWS: Final = 5_000
_LOAD_CHUNK_ROWS: Final = 10_000
_PICK_ATTEMPTS: Final = 50
_ROLL_BACK_SHARE: Final = 0.1
# An answer that leaves no doubt that the commit did not happen.
_SURELY_ROLLED_BACK: Final = frozenset(
    {Reason.DEADLOCK, Reason.LOCK_WAIT, Reason.READ_ONLY, Reason.NOT_PRIMARY}
)
_NOTES: Final = ("plain", 'it\'s "quoted" \\ `here`', "naïve ☃ 🐘", "", "tab\tnew\nline")


def table_definition(schema: str, table: str) -> str:
    """Return the CREATE TABLE statement of a table that `Book` and the writers understand."""
    return (
        f"CREATE TABLE {identifier(schema, table)} ("
        "id BIGINT UNSIGNED NOT NULL PRIMARY KEY, "
        "code VARCHAR(40) NOT NULL, "
        "amount DECIMAL(12,2) NOT NULL, "
        "note VARCHAR(120) NULL, "
        "payload VARBINARY(64) NULL, "
        "changed DATETIME(6) NOT NULL, "
        "UNIQUE KEY code (code), KEY changed (changed)"
        ") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"
    )


def seed_statement(schema: str, table: str) -> str:
    """Return the statement that loads keys after the first parameter, up to the second."""
    digits = "(SELECT 0 d" + "".join(f" UNION ALL SELECT {d}" for d in range(1, 10)) + ")"
    numbers = (
        "SELECT %s + 1 + a.d + 10 * b.d + 100 * c.d + 1000 * e.d AS id "
        f"FROM {digits} a, {digits} b, {digits} c, {digits} e"
    )
    return (
        f"INSERT INTO {identifier(schema, table)} (id, code, amount, note, payload, changed) "
        "SELECT id, CONCAT('seed-', id), (id * 7919 %% 1000000) / 100, CONCAT('order ', id), "
        f"UNHEX(MD5(id)), '{SEED_EPOCH}' + INTERVAL id SECOND "
        f"FROM ({numbers}) numbers WHERE id <= %s ORDER BY id"
    )


async def load(
    pool: Pool,
    schema: str,
    table: str,
    rows: int,
    on_loaded: Callable[[int], None] = lambda loaded: None,
) -> Book:
    """Create the table and fill it, in transactions of 10,000 rows.

    Args:
        pool: to the primary.
        schema: an existing schema.
        table: the table to make.
        rows: how many rows it gets.
        on_loaded: told after each transaction how many rows are there.

    Returns:
        the book of the new table.
    """
    await pool.execute(table_definition(schema, table))
    statement = seed_statement(schema, table)
    for start in range(0, rows, _LOAD_CHUNK_ROWS):
        end = min(start + _LOAD_CHUNK_ROWS, rows)
        await pool.execute(statement, (start, end), timeout_seconds=60)
        on_loaded(end)
    # Without it the server may guess so few rows that pt-osc copies all of them at once.
    await pool.execute(f"ANALYZE TABLE {identifier(schema, table)}", timeout_seconds=60)
    return Book(seeded_rows=rows)


async def verify_table(
    pool: Pool,
    schema: str,
    table: str,
    book: Book,
    on_read: Callable[[int], None] = lambda rows: None,
) -> Verdict:
    """Read a whole table, by primary key, and hold it against the book.

    Args:
        pool: to the server whose copy is looked at.
        schema: the table's schema.
        table: the table.
        book: what was committed; nobody may write meanwhile.
        on_read: told now and then how many rows were read.
    """
    columns: tuple[str, ...] = ()
    rows: list[tuple[object, ...]] = []
    key = 0
    statement = f"SELECT * FROM {identifier(schema, table)} WHERE id > %s ORDER BY id LIMIT %s"
    while True:
        chunk = await pool.execute(statement, (key, _READ_CHUNK_ROWS), timeout_seconds=30)
        columns = tuple(column.name for column in chunk.columns)
        rows += chunk.rows
        on_read(len(rows))
        if len(chunk.rows) < _READ_CHUNK_ROWS:
            return await asyncio.to_thread(book.verify, columns, rows)
        key = chunk.rows[-1][columns.index("id")]


@dataclass(frozen=True, slots=True)
class Transaction:
    """One planned transaction.

    Attributes:
        statements: SQL and its values, in order.
        changes: what it makes of each key that it touches.
        rolls_back: whether the writer takes it back instead of committing.
    """

    statements: tuple[tuple[str, tuple[object, ...]], ...]
    changes: dict[int, Row | None]
    rolls_back: bool


class Planner:
    """Makes up transactions that must succeed, whatever else is in flight.

    Two transactions in flight never touch the same key, so that the order of the book is the order
    of the server. Unique values are swapped between near neighbours only: gh-ost copies by key
    ranges and applies changes later, so a swap across a range that is being copied shows it a
    duplicate, and it rightly gives up.
    """

    def __init__(self, schema: str, table: str, book: Book, source: random.Random) -> None:
        self._table = identifier(schema, table)
        self._book = book
        self._random = source
        self._in_flight: set[int] = set()
        self._codes = 0
        # Two planners of one table, one after the other, must not make the same codes.
        self._code_prefix = f"{source.getrandbits(48):012x}"

    def plan(self) -> Transaction:
        """Plan the next transaction and reserve its keys until `settle`."""
        draft = _Draft(self._table, self._book, self._in_flight)
        steps = (self._insert, self._update, self._delete, self._move, self._swap, self._replace)
        for step in self._random.choices(steps, weights=(30, 35, 10, 10, 8, 7), k=self._steps()):
            step(draft)
        self._in_flight.update(draft.changes)
        return Transaction(
            tuple(draft.statements), draft.changes, self._random.random() < _ROLL_BACK_SHARE
        )

    def settle(self, transaction: Transaction) -> None:
        """Give the transaction's keys free again."""
        self._in_flight.difference_update(transaction.changes)

    def _steps(self) -> int:
        return self._random.choice((1, 1, 1, 2, 3))

    def _new_code(self) -> str:
        self._codes += 1
        return f"{self._code_prefix}-{self._codes}"

    def _new_row(self) -> Row:
        pick = self._random
        payload = pick.choice((None, pick.randbytes(pick.randrange(64))))
        return (
            self._new_code(),
            Decimal(pick.randrange(-(10**9), 10**9)) / 100,
            pick.choice((*_NOTES, None)),
            payload,
            SEED_EPOCH + timedelta(microseconds=pick.randrange(10**15)),
        )

    def _pick(self, draft: _Draft) -> int | None:
        for _ in range(_PICK_ATTEMPTS):
            key = self._random.randint(1, max(1, self._book.key_max))
            if draft.may_touch(key) and draft.row(key) is not None:
                return key
        return None

    def _insert(self, draft: _Draft) -> None:
        draft.insert(self._book.new_key(), self._new_row())

    def _update(self, draft: _Draft) -> None:
        key = self._pick(draft)
        if key is None:
            return self._insert(draft)
        fresh = self._new_row()
        column = self._random.randrange(len(COLUMNS))
        return draft.update(key, COLUMNS[column], fresh[column])

    def _delete(self, draft: _Draft) -> None:
        if (key := self._pick(draft)) is not None:
            draft.delete(key)

    def _move(self, draft: _Draft) -> None:
        if (key := self._pick(draft)) is not None:
            draft.move(key, self._book.new_key())

    def _swap(self, draft: _Draft) -> None:
        first = self._pick(draft)
        if first is None:
            return
        for second in range(first + 1, first + 6):
            if draft.may_touch(second) and draft.row(second) is not None:
                draft.swap_codes(first, second, self._new_code())
                return

    def _replace(self, draft: _Draft) -> None:
        if (key := self._pick(draft)) is not None:
            draft.delete(key)
            draft.insert(key, self._new_row())


@dataclass
class _Draft:
    """A transaction in the making: its statements, and what they make of the rows."""

    table: str
    book: Book
    in_flight: set[int]
    statements: list[tuple[str, tuple[object, ...]]] = field(
        default_factory=list[tuple[str, tuple[object, ...]]]
    )
    changes: dict[int, Row | None] = field(default_factory=dict[int, Row | None])

    def may_touch(self, key: int) -> bool:
        return key not in self.in_flight and not self.book.is_retired(key)

    def row(self, key: int) -> Row | None:
        return self.changes[key] if key in self.changes else self.book.row(key)

    def insert(self, key: int, row: Row) -> None:
        names = ", ".join(COLUMNS)
        self._add(
            f"INSERT INTO {self.table} (id, {names}) VALUES (%s, {marks(COLUMNS)})", key, *row
        )
        self.changes[key] = row

    def update(self, key: int, column: str, value: object) -> None:
        self._add(f"UPDATE {self.table} SET {identifier(column)} = %s WHERE id = %s", value, key)
        row = list(self._present(key))
        row[COLUMNS.index(column)] = value
        self.changes[key] = tuple(row)

    def delete(self, key: int) -> None:
        self._add(f"DELETE FROM {self.table} WHERE id = %s", key)
        self.changes[key] = None

    def move(self, key: int, new_key: int) -> None:
        self._add(f"UPDATE {self.table} SET id = %s WHERE id = %s", new_key, key)
        self.changes[new_key] = self._present(key)
        self.changes[key] = None

    def swap_codes(self, first: int, second: int, parking: str) -> None:
        first_code, second_code = self._present(first)[0], self._present(second)[0]
        self.update(first, "code", parking)
        self.update(second, "code", first_code)
        self.update(first, "code", second_code)

    def _present(self, key: int) -> Row:
        row = self.row(key)
        assert row is not None
        return row

    def _add(self, sql: str, *values: object) -> None:
        self.statements.append((sql, values))


@dataclass
class Counts:
    """What happened to the transactions of a workload."""

    committed: int = 0
    rolled_back: int = 0
    refused: int = 0


class Workload:
    """Writers on one table.

    Args:
        pool: to the primary, with room for all writers.
        schema: the table's schema.
        table: a table of `table_definition`, perhaps altered since.
        book: where commits are written down.
        writers: how many write at the same time.
        transactions_per_second: upper bound, all writers together.
        seed: of the random choices.
        tolerates: tells which further errors of the server a writer goes on after.
    """

    def __init__(
        self,
        pool: Pool,
        schema: str,
        table: str,
        book: Book,
        *,
        writers: int = 4,
        transactions_per_second: float = 200.0,
        seed: int = 0,
        tolerates: Callable[[TabletdError], bool] = lambda error: False,
    ) -> None:
        self.counts = Counts()
        self._tolerates = tolerates
        self._pool = pool
        self._book = book
        self._planner = Planner(schema, table, book, random.Random(seed))
        self._writers = writers
        self._pause_seconds = writers / transactions_per_second

    async def run(self, stop: asyncio.Event) -> None:
        """Write until `stop` is set; a server that is away is waited for.

        Raises:
            TabletdError: the server refused a statement for a reason that no writer expects
                (an unknown column, a duplicate key): something is wrong with the table.
        """
        async with asyncio.TaskGroup() as group:
            for number in range(self._writers):
                group.create_task(self._write(stop), name=f"writer {number}")

    async def _write(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            pause_seconds = self._pause_seconds
            transaction = self._planner.plan()
            try:
                await self._carry_out(transaction)
            except TabletdError as error:
                if not _is_expected(error) and not self._tolerates(error):
                    raise
                self.counts.refused += 1
                pause_seconds = _AWAY_PAUSE_SECONDS
            finally:
                self._planner.settle(transaction)
            try:
                async with asyncio.timeout(pause_seconds):
                    await stop.wait()
            except TimeoutError:
                continue

    async def _carry_out(self, transaction: Transaction) -> None:
        async with self._pool.session(timeout_seconds=_STATEMENT_SECONDS) as session:
            await session.execute("BEGIN", timeout_seconds=_STATEMENT_SECONDS)
            try:
                for sql, values in transaction.statements:
                    await session.execute(sql, values, timeout_seconds=_STATEMENT_SECONDS)
            except TabletdError:
                await _roll_back(session)
                raise
            if transaction.rolls_back:
                await _roll_back(session)
                self.counts.rolled_back += 1
            else:
                await self._commit(session, transaction)

    async def _commit(self, session: Session, transaction: Transaction) -> None:
        try:
            await session.execute("COMMIT", timeout_seconds=_STATEMENT_SECONDS)
        except BaseException as error:
            if isinstance(error, TabletdError) and error.reason in _SURELY_ROLLED_BACK:
                await _roll_back(session)
            else:
                self._book.commit_unanswered(transaction.changes)
            raise
        self._book.commit(transaction.changes)
        self.counts.committed += 1


async def _roll_back(session: Session) -> None:
    await session.execute("ROLLBACK", timeout_seconds=_STATEMENT_SECONDS)


def _is_expected(error: TabletdError) -> bool:
    return error.reason in _SURELY_ROLLED_BACK or error.reason in {
        Reason.MYSQL_UNAVAILABLE,
        Reason.TOO_MANY_CONNECTIONS,
        Reason.TIMEOUT,
        Reason.SHUTTING_DOWN,
    }
