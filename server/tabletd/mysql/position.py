"""Wait until a server has everything up to a position."""

from __future__ import annotations

from tabletd.errors import Reason, TabletdError
from tabletd.mysql import gtid
from tabletd.mysql.flavor import server_info
from tabletd.mysql.session import Session
from tabletd.mysql.variables import as_text


async def wait_for_position(session: Session, position: str, *, timeout_seconds: float) -> None:
    """Wait until the server has applied every transaction of a position.

    Args:
        session: on that server.
        position: as `replication.primary_status` writes it: `MySQL56/<set>`, `MariaDB/<list>`.
        timeout_seconds: how long.

    Raises:
        TabletdError: TIMEOUT; INVALID_REQUEST for a position of another kind of server.
    """
    flavor, _, gtids = position.partition("/")
    info = await server_info(session)
    expected = "MariaDB" if info.is_mariadb else "MySQL56"
    if flavor != expected:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"the position {position[:100]!r} is not one of {info}",
            hint=f"a GTID position begins with {expected}/",
        )
    if info.is_mariadb:
        # The wait knows only what was replicated, not what the server wrote itself.
        current = await session.execute("SELECT @@global.gtid_current_pos")
        if _covers(as_text(current.scalar()), gtids):
            return
    wait = (
        "SELECT MASTER_GTID_WAIT(%s, %s)"
        if info.is_mariadb
        else "SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s)"
    )
    result = await session.execute(
        wait, (gtids, timeout_seconds), timeout_seconds=timeout_seconds + 5.0
    )
    if as_text(result.scalar()) != "0":
        raise TabletdError(
            Reason.TIMEOUT,
            f"the position {position[:200]!r} was not reached within {timeout_seconds:g} s",
            hint="look at the lag of this server's replication",
        )


def is_position_covered(gtids: str, position: str) -> bool:
    """Return whether GTIDs that a server has executed hold every transaction of a position.

    Args:
        gtids: as `replication.gtid_executed` returns them.
        position: as `replication.primary_status` writes it; one by file is never covered.
    """
    flavor, _, wanted = position.partition("/")
    if flavor == "MariaDB":
        return _covers(gtids, wanted)
    return flavor == "MySQL56" and gtid.union(gtids, wanted) == gtid.union(gtids)


def _covers(current: str, wanted: str) -> bool:
    """Tell whether a MariaDB position has reached another, in each of its domains."""
    reached = _sequences(current)
    return all(reached.get(domain, -1) >= last for domain, last in _sequences(wanted).items())


def _sequences(position: str) -> dict[str, int]:
    """Return the last sequence number of each domain: `0-1-5,2-1-7` is 5 and 7."""
    found: dict[str, int] = {}
    for one in position.split(","):
        domain, _, rest = one.strip().partition("-")
        sequence = rest.rpartition("-")[2]
        if sequence.isdecimal():
            found[domain] = int(sequence)
    return found
