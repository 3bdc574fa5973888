"""The answers to SHOW VITESS_THROTTLED_APPS and SHOW VITESS_THROTTLER STATUS.

Columns are those of Vitess, in its order; `exempt` is ours, at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tabletd.mysql.result import Column, ResultSet
from tabletd.throttler.rules import AppRule

# Type codes of the MySQL protocol.
_INTEGER: Final = 3
_DOUBLE: Final = 5
_TIMESTAMP: Final = 7
_DECIMAL: Final = 246
_VARCHAR: Final = 253
_UTF8: Final = 45
_BINARY: Final = 63


def throttled_apps_table(rules: Mapping[str, AppRule]) -> ResultSet:
    """Return a row for each rule, by name."""
    return _table(
        {"app": _VARCHAR, "expire_at": _TIMESTAMP, "ratio": _DECIMAL, "exempt": _INTEGER},
        [
            (
                rule.name,
                f"{rule.expires_at:%Y-%m-%d %H:%M:%S}",
                f"{rule.ratio:g}",
                str(int(rule.is_exempt)),
            )
            for _, rule in sorted(rules.items())
        ],
    )


def throttler_status_table(*, shard: str, enabled: bool, threshold: float, query: str) -> ResultSet:
    """Return the one row; the query is the custom one, empty while the lag is what is checked."""
    return _table(
        {"shard": _VARCHAR, "enabled": _INTEGER, "threshold": _DOUBLE, "query": _VARCHAR},
        [(shard, str(int(enabled)), f"{threshold:g}", query)],
    )


def _table(types: Mapping[str, int], rows: list[tuple[str, ...]]) -> ResultSet:
    return ResultSet(
        columns=tuple(_column(name, code) for name, code in types.items()),
        rows=[tuple(cell.encode() for cell in row) for row in rows],
        rows_affected=len(rows),
    )


def _column(name: str, type_code: int) -> Column:
    return Column(
        name=name,
        table="",
        org_table="",
        database="",
        org_name="",
        type_code=type_code,
        flags=0,
        charset=_UTF8 if type_code == _VARCHAR else _BINARY,
        length=0,
        decimals=0,
    )
