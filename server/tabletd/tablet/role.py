"""Which role a tablet has: what its server is, what the operator said, what the configuration says.

Nothing here talks to anybody but `look_at_server`; the rules are pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from tabletd.errors import Reason, TabletdError
from tabletd.mysql.flavor import ServerInfo
from tabletd.mysql.replication import ReplicationStatus, replication_status
from tabletd.mysql.session import Session
from tabletd.mysql.variables import is_read_only
from tabletd.tablet.identity import TabletType


@dataclass(frozen=True, slots=True)
class ServerState:
    """What a look at the server found.

    Attributes:
        is_read_only: `read_only` is on.
        replication: its source and how it goes; None: it is no replica.
    """

    is_read_only: bool
    replication: ReplicationStatus | None

    @property
    def is_promoted(self) -> bool:
        """Whether the server is what a primary must be: writable and nobody's replica."""
        return not self.is_read_only and self.replication is None

    @property
    def obstacle(self) -> str:
        """Why it cannot be a primary; empty when it can."""
        if self.replication is not None:
            return "it is a replica"
        return "it is read_only" if self.is_read_only else ""


async def look_at_server(session: Session, server: ServerInfo) -> ServerState:
    """Read what decides the role.

    Raises:
        TabletdError: the server cannot be asked.
    """
    return ServerState(await is_read_only(session), await replication_status(session, server))


class Role:
    """The type of a tablet.

    What the operator set by ChangeType holds until the server itself changes to what contradicts
    it: a replica that was drained and is then promoted is a primary. After that the configuration
    counts again, and without one the server's own state.

    Args:
        configured: the type by configuration; None: found from the server.
    """

    def __init__(self, configured: TabletType | None) -> None:
        self._configured = configured
        self._by_operator: TabletType | None = None
        self._was_promoted: bool | None = None

    def follow(self, server: ServerState) -> TabletType:
        """Take what the server is now; return the type that follows."""
        if self._was_promoted not in {None, server.is_promoted} and self._by_operator is not None:
            is_contradicted = server.is_promoted is not (self._by_operator is TabletType.PRIMARY)
            if is_contradicted:
                self._by_operator = None
        self._was_promoted = server.is_promoted
        found = TabletType.PRIMARY if server.is_promoted else TabletType.REPLICA
        wanted = self._by_operator or self._configured or found
        return found if wanted is TabletType.PRIMARY else wanted

    def without_server(self, present: TabletType) -> TabletType:
        """Return the type while the server cannot be asked: nothing becomes a primary then."""
        wanted = self._by_operator or self._configured or present
        return present if wanted is TabletType.PRIMARY else wanted

    def set_by_operator(self, wanted: TabletType, server: ServerState | None) -> None:
        """Take the type of a ChangeType.

        Args:
            wanted: the new type.
            server: what the server is; None: it cannot be asked.

        Raises:
            TabletdError: INVALID_REQUEST for UNKNOWN; READ_ONLY or NOT_PRIMARY when a primary is
                asked for and the server cannot be one.
        """
        if wanted is TabletType.UNKNOWN:
            raise TabletdError(
                Reason.INVALID_REQUEST,
                "a tablet cannot be made UNKNOWN",
                hint="name the type that it shall have",
            )
        if wanted is TabletType.PRIMARY and (server is None or server.obstacle):
            obstacle = "its server cannot be asked" if server is None else server.obstacle
            raise TabletdError(
                Reason.READ_ONLY if server and server.is_read_only else Reason.NOT_PRIMARY,
                f"this tablet cannot be PRIMARY: {obstacle}",
                hint="promote the server first (STOP REPLICA; RESET REPLICA ALL; "
                "SET GLOBAL read_only = 0)",
            )
        self._by_operator = wanted

    def contradiction(self, server: ServerState) -> str:
        """Return how the server falls short of a configured PRIMARY; empty when it does not."""
        is_wanted = (self._by_operator or self._configured) is TabletType.PRIMARY
        if is_wanted and server.obstacle:
            return f"tablet_type is primary, but the server is not one: {server.obstacle}"
        return ""
