"""What is looked at on the server: what it is, what we may there, how it is set."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tabletd.access.addresses import is_loopback
from tabletd.app.logins import Logins
from tabletd.config import Config
from tabletd.doctor.findings import Check, Finding, aside, fail, ok, refused, warn
from tabletd.doctor.variables import VARIABLES, variable_findings
from tabletd.errors import Reason, TabletdError
from tabletd.executor.preflight.facts import VARIABLES as PREFLIGHT_VARIABLES
from tabletd.executor.preflight.facts import lock_instrument, replication_filters
from tabletd.grants import missing_grants
from tabletd.lease.holder import Holder
from tabletd.lease.store import read, server_identity
from tabletd.mysql.errors import MySQLError
from tabletd.mysql.flavor import ServerInfo, server_info
from tabletd.mysql.pool import Pool
from tabletd.mysql.session import Session
from tabletd.mysql.settings import MySQLSettings
from tabletd.mysql.sidecar.sidecar import pending_changes
from tabletd.mysql.variables import global_variables, is_on
from tabletd.tablet.role import look_at_server

# On which this was tried; (family, major, minor).
_TRIED: Final = {("MySQL", 5, 7), ("MySQL", 8, 0), ("MariaDB", 10, 11), ("MariaDB", 11, 4)}
_OLDEST: Final = {"MySQL": (5, 7), "MariaDB": (10, 5)}
_CLOCK_SECONDS_MAX: Final = 1.0
_SERVER_VARIABLES: Final = tuple(
    dict.fromkeys((*PREFLIGHT_VARIABLES, *VARIABLES, "time_zone", "system_time_zone"))
)


@dataclass(frozen=True, slots=True)
class Server:
    """What the checks of the server and of the tools look at; fields as in `Facts`.

    Attributes:
        config: the settings.
        session: of the daemon's account.
    """

    config: Config
    session: Session
    settings: MySQLSettings
    server: ServerInfo
    variables: dict[str, str]
    filters: tuple[str, ...]

    @property
    def allows_unsafe_cutover(self) -> bool:
        return self.config.allow_unsafe_cutover

    @property
    def has_configured_account(self) -> bool:
        return self.config.migration_user is not None

    def is_on(self, variable: str) -> bool:
        """Say whether a server variable is there and on."""
        return is_on(self.variables.get(variable))


async def meet(
    config: Config, session: Session, settings: MySQLSettings
) -> tuple[Server, Sequence[Finding]]:
    """Ask the server what it is, and say how we are logged in.

    Raises:
        TabletdError: it cannot be asked.
    """
    info = await server_info(session)
    variables = await global_variables(session, *_SERVER_VARIABLES)
    filters = await replication_filters(session, info)
    found = Server(config, session, settings, info, variables, filters)
    row = (await session.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")).rows
    cipher = str(row[0][1]) if row else ""
    how = f"TLS, {cipher}" if cipher else "no TLS"
    text = f"{settings.user} at {settings.address} ({how})"
    if cipher or settings.unix_socket or is_loopback(settings.host):
        return found, [ok(text)]
    remedy = 'set mysql_ssl_mode = "required", or verify_identity with mysql_ssl_ca'
    return found, [warn(f"{text}: who listens on the way reads the data", remedy)]


async def other_logins(server: Server) -> Sequence[Finding]:
    """The application's account, where there is one, can log in."""
    if server.config.mysql_app_user is None:
        return [ok("mysql_app_user: none, statements of applications run as mysql_user")]
    logins = await aside(Logins)(server.config)
    pool = Pool(logins.app, name="DoctorApp", size_max=1)
    await pool.open()
    try:
        await pool.execute("SELECT 1")
    except TabletdError as error:
        return [refused(error)]
    finally:
        await pool.close()
    return [ok(f"mysql_app_user: {server.config.mysql_app_user} can log in")]


async def version(server: Server) -> Sequence[Finding]:
    """It is a server that this has been tried on."""
    info = server.server
    family = "MariaDB" if info.is_mariadb else "MySQL"
    if info.version[:2] < _OLDEST[family]:
        oldest = ".".join(map(str, _OLDEST[family]))
        return [fail(f"{info} is too old", f"upgrade the server to {family} {oldest} or later")]
    if (family, *info.version[:2]) in _TRIED:
        return [ok(f"{info}")]
    tried = ", ".join(f"{name} {major}.{minor}" for name, major, minor in sorted(_TRIED))
    return [warn(f"{info}: never tried", f"try your migrations on a copy first; tried: {tried}")]


async def grants(server: Server) -> Sequence[Finding]:
    """The account has what the features that are on need."""
    missing = await missing_grants(server.config, server.session, server.server)
    if not missing:
        return [ok("the account has all that it needs")]
    return [
        fail(f"{', '.join(one.lacking)} missing, for {one.feature}: {one.purpose}", f"{one.grant};")
        for one in missing
    ]


async def role(server: Server) -> Sequence[Finding]:
    """What the server is goes with what the configuration says of it."""
    state = await look_at_server(server.session, server.server)
    replication = state.replication
    if server.config.tablet_type == "primary" and state.obstacle:
        text = f"tablet_type is primary, but the server is not one: {state.obstacle}"
        return [fail(text, 'promote it, or set tablet_type = "auto"')]
    if replication is None:
        if not state.is_read_only:
            return [ok("a primary: writable, and nobody's replica")]
        text = "read_only, and nobody's replica: nothing is written on it, not even heartbeats"
        return [warn(text, "SET GLOBAL read_only = 0, if it is the primary")]
    source = f"{replication.source_host}:{replication.source_port}"
    findings = [ok(f"a replica of {source}")]
    if not state.is_read_only:
        text = "the replica takes writes: what is written here, its primary never sees"
        findings.append(warn(text, "SET GLOBAL read_only = 1"))
    if not replication.is_running:
        error = replication.last_sql_error or replication.last_io_error or "no error"
        word = (
            "SLAVE" if server.server.is_mariadb or server.server.version < (8, 0, 22) else "REPLICA"
        )
        findings.append(
            fail(f"replication does not run: {error}", f"START {word}, SHOW {word} STATUS")
        )
    return findings


async def settings(server: Server) -> Sequence[Finding]:
    """Variables that decide how safe and how fast it goes; what a tool needs is said there."""
    return variable_findings(server.variables) or [ok("as they should be")]


async def instrument(server: Server) -> Sequence[Finding]:
    """gh-ost's cut-over can be proven on a MySQL."""
    if server.server.is_mariadb:
        return [ok("not needed on MariaDB")]
    is_on = await lock_instrument(server.session, server.variables)
    if is_on:
        return [ok("wait/lock/metadata/sql/mdl is on")]
    remedy = "performance_schema_instrument = 'wait/lock/metadata/sql/mdl=ON' in the server's file"
    if is_on is None:
        return [warn("performance_schema is off: gh-ost is refused", "performance_schema = ON")]
    return [warn("it is off: the daemon switches it on, if it may, before gh-ost runs", remedy)]


async def sidecar(server: Server) -> Sequence[Finding]:
    """Our own schema is as this version wants it."""
    pending = await pending_changes(server.session)
    if not pending:
        return [ok("its tables are as this version declares them")]
    made = ", ".join(table.name for table, changes in pending if not changes)
    changed = ", ".join(table.name for table, changes in pending if changes)
    parts = (f"makes {made}" if made else "", f"changes {changed}" if changed else "")
    return [ok(f"the daemon of the primary {' and '.join(filter(None, parts))} when it starts")]


async def lease(server: Server) -> Sequence[Finding]:
    """No other daemon acts for this server."""
    try:
        row = await read(server.session, await server_identity(server.session))
    except MySQLError as error:
        if error.reason is Reason.TABLE_NOT_FOUND:
            return [ok("never taken yet")]
        raise
    is_free = row is None or not row.nonce or row.remaining_seconds <= 0
    if row is None or is_free or row.holder.process.is_provably_dead():
        return [ok("nobody has it: the daemon of a primary takes it when it starts")]
    if row.holder.tablet == server.config.tablet_alias:
        return [ok(f"held by this tablet (process {row.holder.process.pid})")]
    return [_other_holder(row.holder)]


def _other_holder(holder: Holder) -> Finding:
    return warn(
        f"another daemon acts for this server: {holder.tablet} (process {holder.process.pid} on "
        f"{holder.host}, gRPC {holder.address}); a second one only reads",
        "end one of the two, unless it is to stand by",
    )


async def clock(server: Server) -> Sequence[Finding]:
    """This machine and the server agree on the time."""
    before = time.time()
    sql = "SELECT CAST(UNIX_TIMESTAMP(UTC_TIMESTAMP(6)) AS CHAR)"
    told = float(str((await server.session.execute(sql)).scalar()))
    after = time.time()
    zone = server.variables.get("time_zone", "")
    if zone.upper() == "SYSTEM":
        zone = f"SYSTEM, {server.variables.get('system_time_zone', '')}"
    shown = f"the server's zone is {zone}, the daemon works in UTC"
    apart = max(before - told, told - after, 0.0)
    if apart > _CLOCK_SECONDS_MAX:
        return [
            warn(
                f"the clocks are {apart:.1f} s apart; lag by the wall clock would be as wrong",
                "timedatectl set-ntp true, on both machines",
            )
        ]
    return [ok(f"the clocks agree to {apart + (after - before):.3f} s; {shown}")]


SERVER_CHECKS: Final[Sequence[Check[Server]]] = (
    Check("other logins", other_logins),
    Check("version", version),
    Check("grants", grants),
    Check("role", role),
    Check("server variables", settings),
    Check("metadata locks", instrument),
    Check("_vt", sidecar),
    Check("lease", lease),
    Check("clock", clock),
)
