"""Which statement each server wants; for MySQL 8.4 and 9 no server was at hand."""

from __future__ import annotations

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.mysql.flavor import (
    Flavor,
    parse_version,
    show_primary_status_sql,
    show_replica_status_sql,
)


@pytest.mark.parametrize(
    ("text", "comment", "flavor", "version"),
    [
        ("5.6.24-log", "MySQL Community Server", Flavor.MYSQL, (5, 6, 24)),
        ("8.0.35-27", "Percona Server (GPL)", Flavor.MYSQL, (8, 0, 35)),
        ("9.1.0", "MySQL Community Server - GPL", Flavor.MYSQL, (9, 1, 0)),
        ("10.11.19-MariaDB-0+deb12u1-log", "Debian 12", Flavor.MARIADB, (10, 11, 19)),
        ("5.5.5-10.3.8-MariaDB", "", Flavor.MARIADB, (10, 3, 8)),
        ("11.4.5-custom", "MariaDB Server", Flavor.MARIADB, (11, 4, 5)),
    ],
)
def test_a_version_is_read(
    text: str, comment: str, flavor: Flavor, version: tuple[int, int, int]
) -> None:
    info = parse_version(text, comment)
    assert (info.flavor, info.version) == (flavor, version)


def test_a_text_without_a_version_is_refused() -> None:
    with pytest.raises(TabletdError) as caught:
        parse_version("nonsense", "")
    assert caught.value.reason is Reason.UNSUPPORTED_SERVER


@pytest.mark.parametrize(
    ("version", "replica_sql", "primary_sql"),
    [
        ("5.6.24", "SHOW SLAVE STATUS", "SHOW MASTER STATUS"),
        ("8.0.21", "SHOW SLAVE STATUS", "SHOW MASTER STATUS"),
        ("8.0.22", "SHOW REPLICA STATUS", "SHOW MASTER STATUS"),
        ("8.1.0", "SHOW REPLICA STATUS", "SHOW MASTER STATUS"),
        ("8.2.0", "SHOW REPLICA STATUS", "SHOW BINARY LOG STATUS"),
        ("8.4.0", "SHOW REPLICA STATUS", "SHOW BINARY LOG STATUS"),
        ("9.1.0", "SHOW REPLICA STATUS", "SHOW BINARY LOG STATUS"),
        ("10.11.19-MariaDB", "SHOW ALL SLAVES STATUS", "SHOW MASTER STATUS"),
        ("11.4.5-MariaDB", "SHOW ALL SLAVES STATUS", "SHOW MASTER STATUS"),
    ],
)
def test_each_server_is_asked_in_its_own_words(
    version: str, replica_sql: str, primary_sql: str
) -> None:
    info = parse_version(version, "")
    assert show_replica_status_sql(info) == replica_sql
    assert show_primary_status_sql(info) == primary_sql
