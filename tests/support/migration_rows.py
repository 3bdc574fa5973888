"""Rows as `Listing.select` gives them."""

from __future__ import annotations

import re

from tabletd.vtctld.schema_migration import Cells, Listing

UUID = "0f4b5e0a_e716_11f1_af94_02fc00000001"

_DEFAULTS: dict[str, bytes | None] = {
    "migration_status": b"complete",
    "strategy": b"gh-ost",
    "migration_uuid": UUID.encode(),
    "keyspace": b"shop",
    "shard": b"-80",
    "mysql_schema": b"shop",
    "mysql_table": b"orders",
    "retain_artifacts_seconds": b"86400",
    "eta_seconds": b"-1",
}


def column_names() -> list[str]:
    """Return the columns of the SELECT, in order; a time by the name of its column."""
    select = Listing("").select
    columns = select.removeprefix("SELECT ").partition(" FROM ")[0]
    return [re.sub(r"UNIX_TIMESTAMP\(|[`)]", "", column) for column in columns.split(", ")]


def row(**given: bytes | None) -> Cells:
    """Return a row with the given cells, some usual ones, and NULL."""
    names = column_names()
    unknown = given.keys() - set(names)
    assert not unknown, f"no such columns: {unknown}"
    cells = {**_DEFAULTS, **given}
    return [cells.get(name) for name in names]
