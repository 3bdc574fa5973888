"""What is put under fire, by name: how an input is drawn, and how it is sent."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import grpc.aio

from tabletd.app.access import check_access
from tabletd.config import SECRETS, load_config, shown_settings
from tabletd.errors import Reason, TabletdError
from tabletd.executor.directives import annotate
from tabletd.topology import read_layout
from tabletd_pb import (
    migrations_pb2,
    migrations_pb2_grpc,
    query_pb2,
    queryservice_pb2_grpc,
    tabletmanagerdata_pb2,
    tabletmanagerservice_pb2_grpc,
    vtctldata_pb2,
    vtctlservice_pb2_grpc,
)
from tests.fuzz import frames, grammars, oracles
from tests.fuzz.chance import often, pick
from tests.fuzz.field import OPERATOR, PATIENCE_SECONDS, Field, Metadata, exchange
from tests.support.stubs import untyped_call

_HELD_OPEN_MAX: Final = 120


@dataclass(frozen=True)
class Target:
    """One thing under fire.

    Attributes:
        name: for people.
        draw: makes an input.
        send: hands it in; returns what is wrong with the answer, '' for nothing.
        needs_daemon: whether there must be one; else everything is in this process.
        end: lets go what was held on to.
    """

    name: str
    draw: Callable[[random.Random], Any]
    send: Callable[[Field, Any], Awaitable[str]]
    needs_daemon: bool = True
    end: Callable[[], None] = lambda: None


async def _answered(call: Awaitable[object]) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return oracles.of_answer(error)
    return ""


async def _vexec(field: Field, sql: str, metadata: Metadata = OPERATOR) -> str:
    stub = tabletmanagerservice_pb2_grpc.TabletManagerStub(field.channel)
    request = tabletmanagerdata_pb2.VExecRequest(query=sql, keyspace="shop")
    return await _answered(stub.VExec(request, metadata=metadata, timeout=PATIENCE_SECONDS))


async def _execute_query(field: Field, sql: str) -> str:
    stub = tabletmanagerservice_pb2_grpc.TabletManagerStub(field.channel)
    request = tabletmanagerdata_pb2.ExecuteQueryRequest(query=sql.encode(), max_rows=100)
    return await _answered(stub.ExecuteQuery(request, metadata=OPERATOR, timeout=PATIENCE_SECONDS))


async def _query_execute(field: Field, sql: str) -> str:
    stub = queryservice_pb2_grpc.QueryStub(field.channel)
    request = query_pb2.ExecuteRequest(query=query_pb2.BoundQuery(sql=sql))
    return await _answered(stub.Execute(request, metadata=OPERATOR, timeout=PATIENCE_SECONDS))


@dataclass(frozen=True)
class Submission:
    """DDL with its strategy and options, and the way that it takes."""

    way: str
    sql: str
    strategy: str
    options: str
    uuid: str


_WAYS: Final = ("vexec", "directive", "explain", "apply")


def _way(chance: random.Random, strategy: str) -> str:
    """Draw a way; what is sent without the queue would be carried out at once."""
    is_at_once = strategy.strip().lower() in ("", "direct")
    return pick(chance, _WAYS[:-1] if is_at_once else _WAYS)


def _submission(chance: random.Random) -> Submission:
    name, options = grammars.strategy(chance) if often(chance, 20) else ("gh-ost", "")
    sql, uuid = grammars.ddl_statement(chance), pick(chance, grammars.UUIDS)
    return Submission(_way(chance, name), sql, name, options, uuid.replace("0", "a"))


def _flagged(chance: random.Random) -> Submission:
    name, options = grammars.strategy(chance)
    sql = pick(chance, ("alter table t add x int", "create table u (id int)", "drop table t"))
    uuid = pick(chance, grammars.UUIDS).replace("0", "b")
    return Submission(_way(chance, name), sql, name, options, uuid)


async def _submit(field: Field, new: Submission) -> str:
    match new.way:
        case "vexec":
            return await _vexec(
                field, grammars.insert(new.uuid, "", new.sql, new.strategy, new.options)
            )
        case "directive":
            annotated = annotate(
                new.sql,
                migration_uuid=new.uuid,
                migration_context="",
                mysql_table="",
                strategy=new.strategy,
                options=new.options,
            )
            return await _execute_query(field, annotated)
        case "explain":
            explain = migrations_pb2_grpc.MigrationsStub(field.channel).Explain(
                migrations_pb2.ExplainRequest(
                    statement=new.sql, ddl_strategy=f"{new.strategy} {new.options}"
                ),
                metadata=OPERATOR,
                timeout=PATIENCE_SECONDS,
            )
            return await _answered(explain)
        case _:
            apply = vtctlservice_pb2_grpc.VtctldStub(field.channel).ApplySchema(
                vtctldata_pb2.ApplySchemaRequest(
                    keyspace="shop", sql=[new.sql], ddl_strategy=f"{new.strategy} {new.options}"
                ),
                metadata=OPERATOR,
                timeout=PATIENCE_SECONDS,
            )
            return await _answered(apply)


def _ways_of_command(chance: random.Random) -> tuple[str, str]:
    return pick(chance, ("ExecuteQuery", "Execute")), grammars.command(chance)


async def _command(field: Field, drawn: tuple[str, str]) -> str:
    way, sql = drawn
    return await (_execute_query if way == "ExecuteQuery" else _query_execute)(field, sql)


async def _callback(field: Field, request: bytes) -> str:
    # Whoever ends first: half a request is answered when its time is over, which nobody awaits.
    wait_seconds = 1.0 if b"\r\n\r\n" in request else 0.02
    try:
        return oracles.of_page(await exchange(field.http, request, wait_seconds=wait_seconds))
    except TimeoutError:
        return "the connection is kept after its client has ended it"


async def _configure(field: Field, drawn: grammars.Settings) -> str:
    with TemporaryDirectory(prefix="tabletd-fuzz-") as name:
        return _read_settings(Path(name), drawn) or _read_topology(Path(name), drawn)


def _read_settings(directory: Path, drawn: grammars.Settings) -> str:
    path = directory / "tabletd.toml"
    path.write_bytes(drawn.toml)
    path.chmod(0o600)
    return refused_as(Reason.INVALID_CONFIG, partial(_load, path, drawn))


def _load(path: Path, drawn: grammars.Settings) -> None:
    loaded = load_config(drawn.flags, drawn.environment, path)
    shown_settings(loaded)
    for key in SECRETS:
        loaded.config.secret(key)
    check_access(loaded.config)


def _read_topology(directory: Path, drawn: grammars.Settings) -> str:
    path = directory / "topology.toml"
    path.write_bytes(drawn.topology)
    return refused_as(Reason.INVALID_CONFIG, partial(read_layout, path))


def refused_as(reason: Reason, read: Callable[[], object]) -> str:
    """Return what is wrong with how something is refused, '' when it is taken or refused well."""
    try:
        read()
    except TabletdError as error:
        return "" if error.reason is reason else f"{error.reason}: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return ""


def _grpc_bytes(chance: random.Random) -> tuple[str, bytes]:
    if often(chance, 50):
        return "", frames.conversation(chance)
    return pick(chance, frames.METHODS), frames.message(chance)


async def _send_bytes(field: Field, drawn: tuple[str, bytes]) -> str:
    method, data = drawn
    if method:
        call = untyped_call(field.channel, f"/{method}")
        return await _answered(call(data, metadata=OPERATOR, timeout=PATIENCE_SECONDS))
    try:
        await exchange(field.grpc, data)
    except TimeoutError:
        return "the connection is kept after its client has ended it"
    return ""


class Unfinished:
    """Sends requests that never end, and lets the oldest go when there are many."""

    def __init__(self) -> None:
        self._open: deque[asyncio.StreamWriter] = deque()

    async def send(self, field: Field, drawn: tuple[str, bytes]) -> str:
        """Begin a request and leave it."""
        port, beginning = drawn
        host, _, number = (field.grpc if port == "grpc" else field.http).rpartition(":")
        _, writer = await asyncio.open_connection(host, int(number))
        with suppress(OSError):
            writer.write(beginning)
            await writer.drain()
        self._open.append(writer)
        if len(self._open) > _HELD_OPEN_MAX:
            oldest = self._open.popleft()
            # Some say a little more before they vanish.
            if len(beginning) % 3 == 0:
                with suppress(OSError):
                    oldest.write(b"\0" * 9)
            oldest.transport.abort()
        return ""

    def end(self) -> None:
        """Let go of all."""
        while self._open:
            writer = self._open.pop()  # one that is forgotten before it is closed is warned of
            writer.transport.abort()


_UNFINISHED: Final = Unfinished()

TARGETS: Final = (
    Target("vexec", grammars.vexec_statement, _vexec),
    Target("ddl", _submission, _submit),
    Target("flags", _flagged, _submit),
    Target("commands", _ways_of_command, _command),
    Target("callback", frames.http_request, _callback),
    Target("config", grammars.settings, _configure, needs_daemon=False),
    Target("grpc-bytes", _grpc_bytes, _send_bytes),
    Target("unfinished", frames.unfinished, _UNFINISHED.send, end=_UNFINISHED.end),
)


def target_named(name: str) -> Target:
    """Return a target by its name."""
    return next(target for target in TARGETS if target.name == name)
