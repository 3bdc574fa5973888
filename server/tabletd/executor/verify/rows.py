"""What a comparison finds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, cast

_SHOWN_CHARACTERS_MAX: Final = 60
_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "bytes": bytes.fromhex,
    "Decimal": Decimal,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
}


@dataclass(frozen=True, slots=True)
class RowKey:
    """The key of a row.

    Attributes:
        columns: names, as in the table that the row is of.
        values: as the driver gives them.
    """

    columns: tuple[str, ...]
    values: tuple[Any, ...]

    @property
    def words(self) -> str:
        """`id = 17, name = 'x'`, as messages show it; long values are cut."""
        return ", ".join(
            f"{column} = {_shown(value)}"
            for column, value in zip(self.columns, self.values, strict=True)
        )

    def to_json(self) -> str:
        """Write it down for another process."""
        return json.dumps({"columns": self.columns, "values": list(map(_pack, self.values))})

    @classmethod
    def from_json(cls, text: str) -> RowKey:
        """Read what `to_json` wrote.

        Raises:
            ValueError: it did not.
        """
        try:
            written = json.loads(text)
            return cls(tuple(map(str, written["columns"])), tuple(map(_unpack, written["values"])))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a row's key: {text[:80]!r}") from error


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that the two tables do not have alike.

    Attributes:
        key: of the old table's row; of the new one's where only that has it.
        old: digest of the old row; None: there is none.
        new: digest of the new row; None: there is none.
        columns: the new table's columns whose values differ, where both have the row.
        refusal: the server's words where the old values cannot be converted.
    """

    key: RowKey
    old: str | None
    new: str | None
    columns: tuple[str, ...] = ()
    refusal: str = ""

    def __str__(self) -> str:
        if self.refusal:
            return f"{self.key.words}: {self.refusal}"
        if self.new is None:
            return f"{self.key.words}: lost"
        if self.old is None:
            return f"{self.key.words}: only in the new table"
        return f"{self.key.words}: differs in {', '.join(self.columns)}"


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of the two tables, compared in one snapshot that is over.

    Attributes:
        last: where to go on; None: nothing follows.
        rows: how many rows of the old table were compared.
        differences: what differs, in the order of the keys.
        too_many: there are more differences than are told.
    """

    last: RowKey | None
    rows: int
    differences: tuple[Difference, ...] = ()
    too_many: bool = False


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """How two tables are compared.

    Attributes:
        chunk_seconds: how long a snapshot is kept, about; the chunks' size follows it.
        load: which part of the time the server is kept busy: less than 1 means one chunk at a time,
            and a pause after each.
        differences_max: how many differences of one chunk are told.
        null_to_default: NULL becomes the type's zero or empty value where the new column takes no
            NULL: the user wants that.
    """

    chunk_seconds: float = 0.5
    load: float = 1.0
    differences_max: int = 1000
    null_to_default: bool = False


def _shown(value: object) -> str:
    text = f"0x{value.hex()}" if isinstance(value, bytes) else str(value)
    if len(text) > _SHOWN_CHARACTERS_MAX:
        text = f"{text[:_SHOWN_CHARACTERS_MAX]}..."
    return text if isinstance(value, int | float | Decimal | bytes) else f"'{text}'"


def _pack(value: Any) -> Any:
    if isinstance(value, bytes):
        return ["bytes", value.hex()]
    if isinstance(value, Decimal):
        return ["Decimal", str(value)]
    if isinstance(value, date):
        return [type(value).__name__, value.isoformat()]
    return value


def _unpack(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    kind, text = cast("list[str]", value)
    return _READERS[kind](text)
