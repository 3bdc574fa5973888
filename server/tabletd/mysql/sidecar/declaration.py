"""A CREATE TABLE text of this package, taken apart.

The texts keep a form: one column or key to a line, the words of a column in one order. So no SQL
parser is needed, and a text that leaves the form fails when the package is imported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_COLUMN: Final = re.compile(
    r"`(?P<name>\w+)` (?P<type>[a-z]+(?:\(\d+\))?(?: unsigned)?) (?P<null>NOT NULL|NULL)"
    r"(?: DEFAULT (?P<default>'[^']*'|-?\d+|NULL|CURRENT_TIMESTAMP))?(?P<auto> AUTO_INCREMENT)?"
)
_KEY: Final = re.compile(
    r"(?:(?P<kind>PRIMARY|UNIQUE) )?KEY (?:`(?P<name>\w+)` )?\((?P<parts>.+)\)"
)
_PART: Final = re.compile(r"`(?P<column>\w+)`(?:\((?P<length>\d+)\))?")
_TABLE: Final = re.compile(r"CREATE TABLE IF NOT EXISTS `_vt`\.`(?P<name>\w+)` \(")


@dataclass(frozen=True)
class ColumnFacts:
    """What is compared of a column.

    Attributes:
        type: as information_schema writes it, without the display width of whole numbers.
        is_nullable: takes NULL.
        default: its text without quotes; None: there is none, or it is NULL.
        is_auto_increment: numbers itself.
    """

    type: str
    is_nullable: bool
    default: str | None
    is_auto_increment: bool


@dataclass(frozen=True)
class KeyFacts:
    """What is compared of a key: uniqueness, and columns with their prefix length (0: whole)."""

    is_unique: bool
    parts: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class DeclaredTable:
    """A table as it should be.

    Attributes:
        name: without the schema.
        create_sql: the whole statement.
        columns: facts by lower-case name.
        keys: facts by name; the primary key is called PRIMARY.
        clauses: the line of each column and key, by the same names.
    """

    name: str
    create_sql: str
    columns: dict[str, ColumnFacts]
    keys: dict[str, KeyFacts]
    clauses: dict[str, str]


def parse_declaration(text: str) -> DeclaredTable:
    """Take a declaration apart.

    Raises:
        ValueError: a line that does not keep the form.
    """
    lines = [line.strip() for line in text.splitlines() if not line.startswith("--")]
    head = _TABLE.fullmatch(lines[0])
    if head is None or not lines[-1].startswith(") ENGINE=InnoDB"):
        raise ValueError(f"not a declaration of a table: {lines[0]!r} ... {lines[-1]!r}")
    table = DeclaredTable(head["name"], "\n".join(lines), {}, {}, {})
    for line in lines[1:-1]:
        clause = line.removesuffix(",")
        if column := _COLUMN.fullmatch(clause):
            name = column["name"].lower()
            table.columns[name] = ColumnFacts(
                type=column["type"],
                is_nullable=column["null"] == "NULL",
                default=normal_default(column["default"]),
                is_auto_increment=column["auto"] is not None,
            )
        elif key := _KEY.fullmatch(clause):
            name = key["name"] or "PRIMARY"
            parts = tuple(
                (part["column"].lower(), int(part["length"] or 0))
                for part in _PART.finditer(key["parts"])
            )
            table.keys[name] = KeyFacts(is_unique=key["kind"] is not None, parts=parts)
        else:
            raise ValueError(f"neither a column nor a key: {line!r}")
        table.clauses[name] = clause
    return table


def normal_type(column_type: str) -> str:
    """Return a type of information_schema without the display width of whole numbers.

    MySQL stopped writing it in 8.0.19; MariaDB still does.
    """
    return re.sub(r"^((?:tiny|small|medium|big)?int)\(\d+\)", r"\1", column_type.lower())


def normal_default(default: str | None) -> str | None:
    """Return a default without quotes: MariaDB quotes texts and writes NULL, MySQL does neither."""
    if default is None or default.upper() == "NULL":
        return None
    if default.lower() in {"current_timestamp", "current_timestamp()"}:
        return "current_timestamp"
    return default.strip("'")
