"""Two tables as SHOW CREATE TABLE writes them, and the one ALTER TABLE that makes them alike.

Both texts are the same server's, so that what is alike is written alike.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.executor.lexer import Kind, Token, name_value, significant, tokenize
from tabletd.mysql.quote import identifier

_AUTO_INCREMENT: Final = "AUTO_INCREMENT"
_CHARSET: Final = ("DEFAULT CHARSET", "COLLATE")
# What an option is put back to that the wanted table does not state.
_DEFAULTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "COMMENT": "''",
        "ROW_FORMAT": "DEFAULT",
        "KEY_BLOCK_SIZE": "0",
        "STATS_PERSISTENT": "DEFAULT",
        "STATS_AUTO_RECALC": "DEFAULT",
        "STATS_SAMPLE_PAGES": "DEFAULT",
        "PACK_KEYS": "DEFAULT",
        "CHECKSUM": "0",
        "DELAY_KEY_WRITE": "0",
        "MAX_ROWS": "0",
        "MIN_ROWS": "0",
        "AVG_ROW_LENGTH": "0",
    }
)
_STRING_TYPES: Final = ("CHAR", "VARCHAR", "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT", "ENUM",
                        "SET")  # fmt: skip
_KEY_WORDS: Final = ("UNIQUE", "KEY", "FULLTEXT", "SPATIAL")


@dataclass(frozen=True, slots=True)
class TableText:
    """A table, piece by piece, each in the server's words.

    Attributes:
        columns: definition by name, in order.
        keys: definition by name; the primary key's name is empty.
        foreign_keys: without their names.
        others: constraints of other kinds, and what is none of these.
        options: by name in upper case: ENGINE, DEFAULT CHARSET, COMMENT ...
        partitioning: how it is partitioned; empty when it is not.
    """

    columns: dict[str, str] = field(default_factory=dict[str, str])
    keys: dict[str, str] = field(default_factory=dict[str, str])
    foreign_keys: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    options: dict[str, str] = field(default_factory=dict[str, str])
    partitioning: str = ""

    def is_like(self, other: TableText) -> bool:
        """Tell whether both are one table but for foreign keys and the automatic counter."""
        return (
            list(self.columns.items()) == list(other.columns.items())
            and self.keys == other.keys
            and self.others == other.others
            and self._lasting_options() == other._lasting_options()
            and self.partitioning == other.partitioning
        )

    def _lasting_options(self) -> dict[str, str]:
        return {name: value for name, value in self.options.items() if name != _AUTO_INCREMENT}


def read_table(text: str) -> TableText:
    """Read what SHOW CREATE TABLE wrote.

    Raises:
        TabletdError: UNSUPPORTED_DDL for what is no table.
    """
    tokens = significant(tokenize(text))
    opening = next((index for index, token in enumerate(tokens) if token.upper == "("), None)
    if opening is None:
        raise TabletdError(Reason.UNSUPPORTED_DDL, f"not the text of a table: {text[:80]}")
    pieces, closing = _pieces(tokens, opening)
    table = TableText()
    foreign_keys: set[str] = set()
    others: set[str] = set()
    for piece in pieces:
        source = text[piece[0].start : piece[-1].end]
        words = [token.upper for token in piece]
        if piece[0].kind is Kind.NAME:
            table.columns[name_value(piece[0])] = source
        elif words[0] == "PRIMARY":
            table.keys[""] = source
        elif words[0] in _KEY_WORDS:
            table.keys[next(name_value(t) for t in piece if t.kind is Kind.NAME)] = source
        elif words[0] == "CONSTRAINT" and "FOREIGN" in words[:3]:
            foreign_keys.add(text[piece[words.index("FOREIGN")].start : piece[-1].end])
        else:
            others.add(source)
    options, partitioning = _options(text, tokens[closing + 1 :])
    return replace(
        table,
        foreign_keys=frozenset(foreign_keys),
        others=frozenset(others),
        options=options,
        partitioning=partitioning,
    )


def alter_options(live: TableText, wanted: TableText) -> str:
    """Return what ALTER TABLE must say to make one table like another; empty where they are alike.

    Raises:
        TabletdError: UNSUPPORTED_DDL for a difference that is not to be made this way.
    """
    for what, ours, theirs in (
        ("foreign keys", live.foreign_keys, wanted.foreign_keys),
        ("check constraints", live.others, wanted.others),
        ("partitions", live.partitioning, wanted.partitioning),
    ):
        if ours != theirs:
            raise not_declarable(f"their {what} differ")
    clauses = [
        *_dropped_keys(live, wanted),
        *_columns(live, wanted),
        *_added_keys(live, wanted),
        *_changed_options(live, wanted),
    ]
    return ", ".join(clauses)


def not_declarable(what: str) -> TabletdError:
    """Return the error for a difference that no ALTER TABLE is made for."""
    return TabletdError(
        Reason.UNSUPPORTED_DDL,
        f"the table differs from the one declared in a way that is not declarative here: {what}",
        hint="submit the ALTER TABLE that makes the change",
    )


def _pieces(tokens: Sequence[Token], opening: int) -> tuple[list[list[Token]], int]:
    """Split what stands in parentheses at its commas; also return where they close."""
    pieces: list[list[Token]] = [[]]
    depth = 0
    for index in range(opening + 1, len(tokens)):
        word = tokens[index].upper
        if word == ")" and depth == 0:
            return pieces, index
        depth += (word == "(") - (word == ")")
        if word == "," and depth == 0:
            pieces.append([])
        else:
            pieces[-1].append(tokens[index])
    raise TabletdError(Reason.UNSUPPORTED_DDL, "the text of a table does not end")


def _options(text: str, tokens: Sequence[Token]) -> tuple[dict[str, str], str]:
    options: dict[str, str] = {}
    words: list[str] = []
    index = 0
    while index < len(tokens):
        token = tokens[index]
        if token.kind is Kind.VERSION_OPEN or token.upper == "PARTITION":
            return options, text[token.start :].strip()
        if token.upper == "=" and index + 1 < len(tokens):
            index += 1
            options[" ".join(words)] = tokens[index].text
            words = []
        else:
            words.append(token.upper or token.text)
        index += 1
    if words:
        options[" ".join(words)] = ""
    return options, ""


def _dropped_keys(live: TableText, wanted: TableText) -> Iterator[str]:
    for name, definition in live.keys.items():
        if wanted.keys.get(name) != definition:
            yield f"DROP KEY {identifier(name)}" if name else "DROP PRIMARY KEY"


def _added_keys(live: TableText, wanted: TableText) -> Iterator[str]:
    for name, definition in wanted.keys.items():
        if live.keys.get(name) != definition:
            yield f"ADD {definition}"


def _columns(live: TableText, wanted: TableText) -> Iterator[str]:
    """Drop, add, change and move columns, each change of place after the column before it."""
    for name in live.columns:
        if name not in wanted.columns:
            yield f"DROP COLUMN {identifier(name)}"
    staying = _staying(live, wanted)
    charset_changes = _charset(live) != _charset(wanted)
    names = list(wanted.columns)
    for index, (name, definition) in enumerate(wanted.columns.items()):
        place = f" AFTER {identifier(names[index - 1])}" if index else " FIRST"
        if name not in live.columns:
            # Behind all others is where a column goes by itself, which more servers do instantly.
            is_last = not any(later in live.columns for later in names[index:])
            yield f"ADD COLUMN {definition}{'' if is_last else place}"
        elif name not in staying:
            yield f"MODIFY COLUMN {definition}{place}"
        elif live.columns[name] != definition or (charset_changes and _follows(definition)):
            yield f"MODIFY COLUMN {definition}"


def _staying(live: TableText, wanted: TableText) -> frozenset[str]:
    """Return as many of the columns as can stay where they are while the others move."""
    places = {name: index for index, name in enumerate(live.columns)}
    common = [name for name in wanted.columns if name in places]
    tails: list[int] = []
    chains: list[tuple[str, ...]] = []
    for name in common:
        at = bisect_left(tails, places[name])
        chain = (*(chains[at - 1] if at else ()), name)
        tails[at : at + 1] = [places[name]]
        chains[at : at + 1] = [chain]
    return frozenset(chains[-1]) if chains else frozenset()


def _charset(table: TableText) -> tuple[str | None, ...]:
    return tuple(table.options.get(name) for name in _CHARSET)


def _follows(definition: str) -> bool:
    """Tell whether a column has the character set of its table, which it then does not state."""
    words = [token.upper for token in significant(tokenize(definition))]
    return words[1] in _STRING_TYPES and not {"CHARACTER", "COLLATE"} & set(words)


def _changed_options(live: TableText, wanted: TableText) -> Iterator[str]:
    if _charset(live) != _charset(wanted):
        stated = (f"{name}={wanted.options[name]}" for name in _CHARSET if name in wanted.options)
        yield " ".join(stated)
    counter = int(wanted.options.get(_AUTO_INCREMENT, 0))
    if counter > int(live.options.get(_AUTO_INCREMENT, 0)):
        yield f"{_AUTO_INCREMENT}={counter}"
    for name in dict.fromkeys((*wanted.options, *live.options)):
        if name in (*_CHARSET, _AUTO_INCREMENT) or live.options.get(name) == wanted.options.get(
            name
        ):
            continue
        value = wanted.options.get(name, _DEFAULTS.get(name))
        if not value:
            raise not_declarable(f"the option {name}")
        yield f"{name}={value}"
