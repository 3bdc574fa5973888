"""The server's global variables."""

from __future__ import annotations

from tabletd.mysql.quote import marks
from tabletd.mysql.session import Session


async def global_variables(session: Session, *names: str) -> dict[str, str]:
    """Return global variables by lower-case name, as text; the server's absent ones are absent.

    Args:
        session: any session.
        names: variables to read; at least one.
    """
    sql = f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({marks(names)})"
    result = await session.execute(sql, names)
    return {as_text(name).lower(): as_text(value) for name, value in result.rows}


async def is_read_only(session: Session, *, timeout_seconds: float | None = None) -> bool:
    """Return whether the server refuses writes of ordinary accounts.

    `super_read_only` needs no look: the server never has it on without `read_only`.
    """
    sql = "SELECT @@global.read_only"
    result = await session.execute(sql, timeout_seconds=timeout_seconds)
    # A number up to MariaDB 11, a word (ON, NO_LOCK ...) since 12.
    return as_text(result.rows[0][0]).upper() not in {"0", "OFF"}


def is_on(value: str | None) -> bool:
    """Say whether the text of a variable or a status column means on; None: it is absent."""
    return (value or "").upper() in ("ON", "1", "YES")


def as_text(cell: object) -> str:
    """Return a cell as text, whichever kind of pool it came from; NULL becomes empty."""
    if isinstance(cell, bytes):
        return cell.decode(errors="replace")
    return "" if cell is None else str(cell)
