"""What a statement gave: columns as the server describes them, rows, counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from tabletd.errors import Reason, TabletdError

RESULT_BYTES_MAX: Final = 16 * 1024 * 1024  # of cells: what a message of the wire can hold
_BLOB: Final = 252
_UTF8MB4: Final = 45


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a result: the fields of the protocol's column definition.

    Attributes:
        name: alias, as the client sees it.
        table: table alias.
        org_table: table in the schema.
        database: schema.
        org_name: column in the table.
        type_code: protocol type (253 for VARCHAR).
        flags: protocol flags (NOT NULL, UNSIGNED ...).
        charset: collation id; 63 is binary.
        length: longest possible value in bytes.
        decimals: digits after the point; 31 for floats without a fixed count.
    """

    name: str
    table: str
    org_table: str
    database: str
    org_name: str
    type_code: int
    flags: int
    charset: int
    length: int
    decimals: int


@dataclass(slots=True)
class ResultSet:
    """Rows, or the counts of a statement that gives none.

    Attributes:
        columns: empty when the statement gives no rows.
        rows: cells as the pool's kind has them (text bytes or Python values), None for NULL.
        rows_affected: changed rows, or for a query the number of rows.
        insert_id: first AUTO_INCREMENT value made; 0: none.
        warning_count: see SHOW WARNINGS in the same session.
        info: the server's remark (`Rows matched: 1  Changed: 1  Warnings: 0`).
    """

    columns: tuple[Column, ...] = ()
    rows: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    rows_affected: int = 0
    insert_id: int = 0
    warning_count: int = 0
    info: str = ""

    def dicts(self) -> list[dict[str, Any]]:
        """Return each row by column name."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.rows]

    def lower_dicts(self) -> list[dict[str, Any]]:
        """Return each row by column name in lower case.

        MySQL 8 gives those of information_schema in upper case.
        """
        return [{name.lower(): cell for name, cell in row.items()} for row in self.dicts()]

    def one(self) -> dict[str, Any] | None:
        """Return the only row by column name, None when there is none.

        Raises:
            TabletdError: INTERNAL when there are more.
        """
        if len(self.rows) > 1:
            raise TabletdError(
                Reason.INTERNAL, f"one row was expected, the server gave {len(self.rows)}"
            )
        return self.dicts()[0] if self.rows else None

    def scalar(self) -> Any:
        """Return the first cell of the only row, None when there is none.

        Raises:
            TabletdError: INTERNAL when there are more rows.
        """
        row = self.one()
        return None if row is None else next(iter(row.values()))


def text_result(name: str, cell: bytes) -> ResultSet:
    """Return a result of one text that is not the server's, as a TEXT column in UTF-8."""
    column = Column(
        name=name,
        table="",
        org_table="",
        database="",
        org_name="",
        type_code=_BLOB,
        flags=0,
        charset=_UTF8MB4,
        length=len(cell),
        decimals=0,
    )
    return ResultSet(columns=(column,), rows=[(cell,)], rows_affected=1)
