"""Which server this is, and how it wants to be spoken to.

The choices for MySQL 8.4 and 9 follow their manuals; no such server was at hand to try them on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.mysql.session import Session


class Flavor(StrEnum):
    """The two families of servers."""

    MYSQL = "mysql"
    MARIADB = "mariadb"


@dataclass(frozen=True)
class ServerInfo:
    """What a server says about itself.

    Attributes:
        flavor: its family.
        version: major, minor, patch.
        version_text: `@@version`.
        version_comment: `@@version_comment`.
    """

    flavor: Flavor
    version: tuple[int, int, int]
    version_text: str
    version_comment: str

    @property
    def is_mariadb(self) -> bool:
        """Whether it is a MariaDB."""
        return self.flavor is Flavor.MARIADB

    def __str__(self) -> str:
        name = "MariaDB" if self.is_mariadb else "MySQL"
        return f"{name} {'.'.join(map(str, self.version))}"


_VERSION: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def parse_version(version_text: str, version_comment: str) -> ServerInfo:
    """Tell the flavour and version from the server's own texts.

    Raises:
        TabletdError: UNSUPPORTED_SERVER when the text has no version in it.
    """
    # MariaDB up to 10 hides from old clients behind the prefix 5.5.5-.
    found = _VERSION.search(version_text.removeprefix("5.5.5-"))
    if found is None:
        raise TabletdError(
            Reason.UNSUPPORTED_SERVER,
            f"the server's version {version_text!r} is neither a MySQL's nor a MariaDB's",
        )
    is_mariadb = "mariadb" in f"{version_text} {version_comment}".lower()
    return ServerInfo(
        flavor=Flavor.MARIADB if is_mariadb else Flavor.MYSQL,
        version=(int(found[1]), int(found[2]), int(found[3])),
        version_text=version_text,
        version_comment=version_comment,
    )


async def server_info(session: Session) -> ServerInfo:
    """Ask the server what it is."""
    result = await session.execute("SELECT @@version, @@version_comment")
    version_text, version_comment = (
        cell.decode() if isinstance(cell, bytes) else str(cell) for cell in result.rows[0]
    )
    return parse_version(version_text, version_comment)


def show_replica_status_sql(info: ServerInfo) -> str:
    """Return the statement for all replication channels' or connections' state.

    MySQL renamed it in 8.0.22 and dropped the old name in 8.4.
    """
    if info.is_mariadb:
        return "SHOW ALL SLAVES STATUS"
    return "SHOW REPLICA STATUS" if info.version >= (8, 0, 22) else "SHOW SLAVE STATUS"


def show_primary_status_sql(info: ServerInfo) -> str:
    """Return the statement for the binary log's position.

    MySQL has the new name since 8.2.0 and dropped the old one in 8.4.
    """
    if not info.is_mariadb and info.version >= (8, 2, 0):
        return "SHOW BINARY LOG STATUS"
    return "SHOW MASTER STATUS"
