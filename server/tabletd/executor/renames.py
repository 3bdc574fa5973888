"""Which columns an ALTER TABLE gives another name, and which it drops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tabletd.executor.lexer import Kind, Token, name_value, significant, tokenize

_NO_COLUMNS: Final = frozenset(
    {"INDEX", "KEY", "PRIMARY", "FOREIGN", "CONSTRAINT", "CHECK", "PARTITION", "PERIOD", "SYSTEM"}
)
_FILLERS: Final = frozenset({"COLUMN", "IF", "EXISTS"})


def renamed_columns(alter_options: str) -> dict[str, str]:
    """Return the former name of each column that gets another one, by its new name.

    `CHANGE a a INT` is none. Names are as written; the server folds the case of a column's name.

    Args:
        alter_options: what an ALTER TABLE says behind the table's name.
    """
    renamed: dict[str, str] = {}
    for clause in _clauses(alter_options):
        verb, *rest = clause
        if verb.upper not in ("CHANGE", "RENAME"):
            continue
        names = [token for token in rest if token.upper not in _FILLERS]
        if verb.upper == "RENAME":
            if rest[:1] and rest[0].upper != "COLUMN":
                continue
            names = [token for token in names if token.upper != "TO"]
        if len(names) >= 2:
            former, new = name_value(names[0]), name_value(names[1])
            if former.casefold() != new.casefold():
                renamed[new] = former
    return renamed


def dropped_columns(alter_options: str) -> frozenset[str]:
    """Return the names of the columns that are dropped, as written.

    One of the same name that is added by the same ALTER TABLE has nothing to do with it.

    Args:
        alter_options: what an ALTER TABLE says behind the table's name.
    """
    dropped: set[str] = set()
    for verb, *rest in _clauses(alter_options):
        if verb.upper == "DROP" and rest and rest[0].upper not in _NO_COLUMNS:
            dropped |= {name_value(token) for token in rest if token.upper not in _FILLERS}
    return frozenset(dropped)


def _clauses(alter_options: str) -> Iterator[list[Token]]:
    depth = 0
    clause: list[Token] = []
    for token in significant(tokenize(alter_options)):
        if token.kind in (Kind.VERSION_OPEN, Kind.VERSION_CLOSE):
            continue
        if token.upper == "," and depth == 0:
            if clause:
                yield clause
            clause = []
            continue
        depth += {"(": 1, ")": -1}.get(token.upper, 0)
        clause.append(token)
    if clause:
        yield clause
