"""How faults begin and end. What begins here is found in `kinds.KINDS` under its name."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import grpc.aio
import pymysql

from tabletd.errors import TabletdError
from tabletd.sandbox.vexec_client import vexec_client
from tests.faults.phases import TERMINAL
from tests.faults.processes import Found, tools_of, wrappers_of
from tests.faults.programs import Misbehaviour
from tests.faults.proxy import Proxy, Trouble
from tests.faults.stage import KEYSPACE, Host, Need, Stage
from tests.support.waiting import eventually

Act = Callable[[Stage], Awaitable[None]]
_HOUR_SECONDS: Final = 3600


class Missed(Exception):
    """There was nothing to hurt at the chosen moment: the migration was over, or not begun."""


async def nothing(stage: Stage) -> None:
    """End what is over by itself."""


# Signals


def signal_daemon(number: signal.Signals) -> Act:
    """Send a signal to the primary's daemon."""

    async def act(stage: Stage) -> None:
        host = stage.primary
        host.daemon_was_ended = number is not signal.SIGSTOP
        host.daemon.identity.signal(number)

    return act


async def daemon_goes_on(stage: Stage) -> None:
    """Let a frozen daemon go on, start one that was ended."""
    for host in stage.hosts:
        host.daemon.resume()
        if host.daemon_was_ended:
            await asyncio.to_thread(host.daemon.terminate)
            await host.revive_daemon()


def signal_tool(number: signal.Signals) -> Act:
    """Send a signal to the tool."""
    return _signal_found(tools_of, number)


def signal_wrapper(number: signal.Signals) -> Act:
    """Send a signal to what the tool stands under."""
    return _signal_found(wrappers_of, number)


def _signal_found(find: Callable[[Any], list[Found]], number: signal.Signals) -> Act:
    async def act(stage: Stage) -> None:
        def found() -> list[Found]:
            targets = find(stage.directory)
            if not targets and _has_ended(stage):
                raise Missed("no such process is at work any more")
            return targets

        try:
            targets = await eventually(lambda: asyncio.to_thread(found))
        except AssertionError:
            raise Missed("no such process is at work") from None
        for target in targets:
            with suppress(ProcessLookupError):
                os.kill(target.pid, number)

    return act


def _has_ended(stage: Stage) -> bool:
    """Say whether the migration has ended; it has not while nobody can say."""
    try:
        row = stage.row()
    except (pymysql.MySQLError, OSError):
        return False
    return row is not None and row["migration_status"] in TERMINAL


async def tools_go_on(stage: Stage) -> None:
    """Let frozen tools and wrappers go on."""
    for target in (*tools_of(stage.directory), *wrappers_of(stage.directory)):
        with suppress(ProcessLookupError):
            os.kill(target.pid, signal.SIGCONT)


def signal_server(number: signal.Signals) -> Act:
    """Send a signal to the primary's server."""

    async def act(stage: Stage) -> None:
        await _signal_server(stage.primary, number)

    return act


def signal_replica(number: signal.Signals) -> Act:
    """Send a signal to the replica's server."""

    async def act(stage: Stage) -> None:
        await _signal_server(stage.replica, number)

    return act


async def _signal_server(host: Host, number: signal.Signals) -> None:
    host.server_was_ended = number is not signal.SIGSTOP
    host.server.identity.signal(number)


async def servers_go_on(stage: Stage) -> None:
    """Let frozen servers go on, start those that were ended."""
    for host in stage.hosts:
        host.server.resume()
        if host.server_was_ended:
            await host.revive_server()


# Connections


def _proxy(stage: Stage, way: str) -> tuple[Proxy, str]:
    """Return the proxy of a way, and whose connections go there."""
    host = stage.primary
    match way:
        case "daemon-server":
            return host.mysql, "root"
        case "tool-server":
            users = [name for name in host.mysql.owners if name.startswith("tabletd_")]
            if not users:
                raise Missed("no tool is connected to the server")
            return host.mysql, users[-1]
        case "replica-primary":
            return host.mysql, "repl"
        case "hook-daemon":
            return host.http, ""
        case _:
            return host.grpc, ""


def trouble(way: str, kind: Trouble) -> tuple[Act, Act]:
    """Return how one kind of trouble begins on one way, and how it ends."""

    async def begin(stage: Stage) -> None:
        proxy, owner = _proxy(stage, way)
        proxy.trouble(kind, owner)

    async def end(stage: Stage) -> None:
        for host in stage.hosts:
            for proxy in (host.mysql, host.http, host.grpc):
                proxy.heal_all()

    return begin, end


async def kill_connections(stage: Stage) -> None:
    """End each connection of the primary, but our own, with a probability of a half."""

    def kill() -> None:
        rows = stage.primary.server.query(
            "SELECT id FROM information_schema.processlist WHERE user NOT IN "
            "('system user', 'event_scheduler') AND id <> CONNECTION_ID()"
        )
        for (number,) in rows:
            if stage.choices.random() < 0.5:
                with suppress(pymysql.MySQLError):
                    stage.primary.server.query(f"KILL {number}")

    await asyncio.to_thread(kill)


# Roles


async def set_read_only(stage: Stage) -> None:
    """Let the primary take no more writes."""
    await asyncio.to_thread(stage.primary.server.script, "SET GLOBAL read_only = 1")


async def unset_read_only(stage: Stage) -> None:
    """Let it take writes again."""
    await asyncio.to_thread(stage.primary.server.script, "SET GLOBAL read_only = 0")


async def change_roles(stage: Stage) -> None:
    """Make the replica the primary."""
    await asyncio.to_thread(stage.change_roles)
    stage.writers.drop_all()


async def stop_replication(stage: Stage) -> None:
    """Let the replica fall behind."""
    await asyncio.to_thread(stage.replica.server.script, "STOP SLAVE")


async def start_replication(stage: Stage) -> None:
    """Let it catch up."""
    await asyncio.to_thread(stage.replica.server.script, "START SLAVE")


# Disks, programs, clocks


def fill(disk: Need) -> Act:
    """Fill a disk."""

    async def act(stage: Stage) -> None:
        await asyncio.to_thread(stage.disks[disk].fill)

    return act


async def relieve(stage: Stage) -> None:
    """Give the room back; a server or a daemon that gave up meanwhile is started again."""
    for disk in stage.disks.values():
        await asyncio.to_thread(disk.relieve)
    for host in stage.hosts:
        await host.revive_server()


def replace_program(misbehaviour: Misbehaviour) -> Act:
    """Replace the tool's program by one that misbehaves."""

    async def act(stage: Stage) -> None:
        await asyncio.to_thread(stage.program.replace, misbehaviour)

    return act


async def restore_program(stage: Stage) -> None:
    """Put the real one back."""
    await asyncio.to_thread(stage.program.restore)


async def restore_and_cancel(stage: Stage) -> None:
    """Put the real one back, and let an operator cancel what hangs."""
    await restore_program(stage)

    async def is_cancelled() -> bool:
        try:
            async with vexec_client(stage.primary.daemon.grpc, KEYSPACE) as client:
                await client.cancel(stage.migration_uuid)
        except TabletdError:
            return False
        except grpc.aio.AioRpcError as error:
            # Another fault may have taken its row away.
            return error.code() is grpc.StatusCode.NOT_FOUND
        return True

    await eventually(is_cancelled, what="the daemon takes a cancel")


async def set_clock_back(stage: Stage) -> None:
    """Set the clock of servers and daemons back by an hour, where it stays."""
    assert stage.clock is not None
    stage.clock.set(-_HOUR_SECONDS)


# A second daemon, and tables that somebody touches


async def start_rival(stage: Stage) -> None:
    """Start a second daemon beside the primary."""
    await stage.start_rival()


async def stop_rival(stage: Stage) -> None:
    """End it."""
    await stage.stop_rival()


def run_on_primary(*statements: str) -> Act:
    """Run statements of somebody who has no business there."""

    async def act(stage: Stage) -> None:
        await asyncio.to_thread(stage.primary.server.script, *statements)

    return act
