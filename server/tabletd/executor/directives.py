"""The comment by which a DDL statement says that it is a migration.

`/*vt+ uuid="..." context="..." table="..." strategy="..." options="..." */` stands before the
statement; each value is the hexadecimal form of its text (the wire form of Vitess).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tabletd.errors import Reason, TabletdError

_COMMENT: Final = re.compile(r"\s*/\*vt\+(.*?)\*/\s*", re.DOTALL)
# A word is tried at its beginning only, so that no text takes long to read.
_DIRECTIVE: Final = re.compile(r"""\b(\w{1,32}+)=(?:"([^"]*)"|'([^']*)'|(\S+))""")
_NAMES: Final = ("uuid", "context", "table", "strategy", "options")


@dataclass(frozen=True, slots=True)
class Directives:
    """What the comment says of the statement behind it.

    Attributes:
        sql: the statement without the comment.
        migration_uuid: its name.
        migration_context: what it is grouped by.
        mysql_table: its table; empty for a REVERT.
        strategy: the name of a strategy.
        options: of the strategy, as written in a shell.
    """

    sql: str
    migration_uuid: str
    migration_context: str
    mysql_table: str
    strategy: str
    options: str


def annotate(
    sql: str,
    *,
    migration_uuid: str,
    migration_context: str,
    mysql_table: str,
    strategy: str,
    options: str,
) -> str:
    """Return the statement with the comment before it, as `read_directives` reads it."""
    values = (migration_uuid, migration_context, mysql_table, strategy, options)
    words = [f'{name}="{value.encode().hex()}"' for name, value in zip(_NAMES, values, strict=True)]
    return f"/*vt+ {' '.join(words)} */ {sql}"


def read_directives(sql: str) -> Directives | None:
    """Read the comment before a statement.

    Returns:
        None where the text does not begin with such a comment, or with one that names no uuid
        (`/*vt+ allowZeroInDate=true */`).

    Raises:
        TabletdError: INVALID_REQUEST for a value that is not the hexadecimal form of a text.
    """
    comment = _COMMENT.match(sql)
    if comment is None:
        return None
    found = {
        name.lower(): double or single or bare
        for name, double, single, bare in _DIRECTIVE.findall(comment[1])
    }
    if "uuid" not in found:
        return None
    uuid, context, table, strategy, options = (_text(name, found.get(name, "")) for name in _NAMES)
    return Directives(
        sql=sql[comment.end() :],
        migration_uuid=uuid,
        migration_context=context,
        mysql_table=table,
        strategy=strategy,
        options=options,
    )


def _text(name: str, value: str) -> str:
    try:
        return bytes.fromhex(value).decode()
    except ValueError:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"the directive {name} of a migration is not the hexadecimal form of a text",
            hint="each value is hex of its UTF-8 bytes, in quotes",
        ) from None
