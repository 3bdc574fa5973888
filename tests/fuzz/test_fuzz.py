"""The short form of `make fuzz`: few inputs at everything, and a planted defect in each found."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import shlex
import tomllib
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabletd.errors import Reason, TabletdError
from tabletd.executor import ddl, flags, statements, vexec
from tabletd.executor.directives import read_directives
from tabletd.executor.lexer import Token
from tabletd.executor.strategy import Strategy
from tabletd.mysql.result import ResultSet
from tabletd.telemetry.logging import set_level
from tabletd.web import application
from tabletd.web.server import HttpServer, listen
from tabletd_pb import migrations_pb2
from tests.fuzz import grammars
from tests.fuzz.chance import pick
from tests.fuzz.field import OwnProcess
from tests.fuzz.oracles import of_statement
from tests.fuzz.run import fuzz
from tests.fuzz.stage import Stage, staged
from tests.fuzz.targets import TARGETS, Target, target_named
from tests.support.fakes_servicers import grpc_bench
from tests.support.fakes_web import FakeWeb
from tests.support.servers import RealServer
from tests.support.waiting import eventually

_INPUTS = 150
_SEED = "short"
_READS: dict[str, Callable[[random.Random], object]] = {
    "vexec": lambda chance: vexec.parse(grammars.vexec_statement(chance)),
    "ddl": lambda chance: ddl.parse(grammars.ddl_statement(chance)),
    "flags": lambda chance: flags.split_options(
        pick(chance, list(Strategy)), grammars.strategy(chance)[1]
    ),
    "commands": lambda chance: statements.parse_statement(grammars.command(chance)),
    "directives": lambda chance: read_directives(f"/*vt+ {grammars.command(chance)}"),
}


@pytest.mark.parametrize("name", _READS)
@given(chance=st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_what_is_read_is_taken_or_refused_with_a_reason(name: str, chance: random.Random) -> None:
    with suppress(TabletdError):
        _READS[name](chance)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    """One loop for the daemon's channel, which all targets share."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def stage(
    loop: asyncio.Runner, mariadb_server: RealServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """A daemon beside a real server, for all targets."""
    mariadb_server.reset()
    context = staged(mariadb_server, tmp_path_factory.mktemp("fuzz"))
    yield loop.run(context.__aenter__())
    loop.run(context.__aexit__(None, None, None))


@pytest.mark.parametrize(
    "target", [one for one in TARGETS if one.needs_daemon], ids=lambda t: t.name
)
def test_a_daemon_withstands(target: Target, loop: asyncio.Runner, stage: Stage) -> None:
    report = loop.run(fuzz(target, stage, inputs=_INPUTS, seed=_SEED, batch=_INPUTS))
    assert list(report.finds.values()) == []
    assert stage.statements.judged > 0


def _carried_out(stage: Stage) -> Counter[str]:
    """Count by method the calls that the handlers answered: more than a refusal at the door."""
    # Texts may hold other signs that Python takes for the end of a line.
    lines = [json.loads(line) for line in stage.audit.read_text().split("\n")[:-1]]
    return Counter(line["method"].rpartition("/")[2] for line in lines if line["code"] == "OK")


# Per target: methods that only an operator may call, as each must have been by a good input.
_REACHED = {
    "vexec": {"VExec"},
    "ddl": {"VExec", "ExecuteQuery", "Explain", "ApplySchema"},
    "flags": {"VExec", "ExecuteQuery", "Explain", "ApplySchema"},
    "commands": {"ExecuteQuery", "Execute"},
}


@pytest.mark.parametrize("name", _REACHED)
def test_what_is_drawn_reaches_what_lies_behind_the_guard(
    name: str, loop: asyncio.Runner, stage: Stage
) -> None:
    before = _carried_out(stage)
    loop.run(fuzz(target_named(name), stage, inputs=_INPUTS, seed=_SEED, batch=_INPUTS))
    assert _REACHED[name] <= set(_carried_out(stage) - before)


_METHOD = "tabletd.v1.Migrations/Explain"
_EXPLAIN = migrations_pb2.ExplainRequest(
    statement="alter table t add x int", ddl_strategy="gh-ost"
).SerializeToString()


def test_a_message_of_bytes_is_carried_out_when_it_is_right(
    loop: asyncio.Runner, stage: Stage
) -> None:
    async def send() -> None:
        before = _carried_out(stage)["Explain"]
        assert await target_named("grpc-bytes").send(stage, (_METHOD, _EXPLAIN)) == ""
        await eventually(lambda: _carried_out(stage)["Explain"] > before, what="it is explained")

    loop.run(send())


async def test_a_configuration_is_refused_as_such() -> None:
    target = target_named("config")
    report = await fuzz(target, OwnProcess(), inputs=_INPUTS, seed=_SEED)
    assert list(report.finds.values()) == []


class Bench:
    """Implements `field.Field` by servers in this process, whose parts a test may replace."""

    def __init__(self, grpc_address: str, http: str, channel: grpc.aio.Channel) -> None:
        self.grpc = grpc_address
        self.http = http
        self.channel = channel
        self.problems: list[str] = []

    async def look(self) -> list[str]:
        found = list(self.problems)
        self.problems.clear()
        return found

    async def renew(self) -> None:
        """Nothing is kept."""

    def resident_bytes(self) -> int:
        return 0


class _Listener(logging.Handler):
    def __init__(self, problems: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._problems = problems

    def emit(self, record: logging.LogRecord) -> None:
        self._problems.append(record.getMessage())


@asynccontextmanager
async def bench() -> AsyncGenerator[Bench]:
    listener = listen("127.0.0.1", 0)
    http = HttpServer(application.build_application(FakeWeb().ports()), listener)
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    async with grpc_bench() as served, asyncio.TaskGroup() as tasks:
        served.executor.on_vexec = _read_vexec
        served.executor.on_statement = _read_statement
        vars(served.admin)["schema"] = _no_server
        under = Bench(served.address, address, served.channel)
        handler = _Listener(under.problems)
        serving = tasks.create_task(http.run())
        keeping = tasks.create_task(served.server.keep_listening())
        set_level("warning")  # as a daemon does, which hushes libraries
        logging.getLogger("tabletd").setLevel(logging.NOTSET)
        logging.getLogger().addHandler(handler)
        try:
            yield under
        finally:
            logging.getLogger().removeHandler(handler)
            http.stop()
            await serving
            keeping.cancel()


async def _no_server(*_: object, **__: object) -> None:
    raise TabletdError(Reason.MYSQL_UNAVAILABLE, "there is no server here")


async def _read_vexec(sql: str) -> ResultSet:
    read = vexec.parse(sql)
    if isinstance(read, vexec.Insert):
        new = read.migration
        flags.split_options(Strategy.GH_OST, new.options)
        ddl.parse(new.migration_statement)
    return ResultSet()


async def _read_statement(sql: str) -> ResultSet | None:
    directives = read_directives(sql)
    if directives is not None:
        flags.split_options(Strategy.GH_OST, directives.options)
        ddl.parse(directives.sql)
    else:
        statements.parse_statement(sql)
    return ResultSet()


def _first_letter(token: Token) -> str:
    return token.text[1:-1][0]


def _unguarded_words(options: str) -> Iterator[str]:
    return iter(shlex.split(options))


def _unguarded_number(text: str | None, name: str) -> int:
    return int(text or 0)


def _unguarded_toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


def _unguarded_message(deserialize: Any) -> Any:
    return deserialize


def _no_end(*_: object) -> None:
    raise RuntimeError("planted")


# Per target: what is replaced in this process, by what a careless change could make of it.
_PLANTED: dict[str, tuple[str, Callable[..., object]]] = {
    "vexec": ("tabletd.executor.vexec._unix_seconds", float),
    "ddl": ("tabletd.executor.ddl.name_value", _first_letter),
    "flags": ("tabletd.executor.flags._shell_words", _unguarded_words),
    "commands": ("tabletd.executor.statements.parse_duration", float),
    "callback": ("tabletd.web.application._whole", _unguarded_number),
    "config": ("tabletd.config._read_toml", _unguarded_toml),
    "grpc-bytes": ("tabletd.servicers.decoding._tolerant", _unguarded_message),
    "unfinished": ("tabletd.web.server._BoundedProtocol.connection_lost", _no_end),
}


def _forget() -> None:
    """Forget what was read before."""
    reading: Any = vexec
    reading._parse_again.cache_clear()
    flags.split_options.cache_clear()


def test_a_defect_is_planted_for_each_target() -> None:
    assert set(_PLANTED) == {target.name for target in TARGETS}


@pytest.mark.parametrize("name", _PLANTED)
async def test_a_planted_defect_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*_PLANTED[name])
    _forget()
    async with bench() as under:
        report = await fuzz(target_named(name), under, inputs=_INPUTS, seed=_SEED)
        await eventually(lambda: report.finds or under.problems, what="the planted defect is found")
    _forget()


@pytest.mark.parametrize("name", _PLANTED)
async def test_nothing_is_found_where_nothing_is_planted(name: str) -> None:
    async with bench() as under:
        report = await fuzz(target_named(name), under, inputs=_INPUTS, seed=_SEED)
    assert list(report.finds.values()) == []


async def test_memory_that_grows_is_a_find() -> None:
    kept: list[bytes] = []

    async def keep(_: object, drawn: bytes) -> str:
        kept.append(drawn * 1_000_000)
        return ""

    target = Target("leak", lambda chance: chance.randbytes(8), keep)
    report = await fuzz(target, OwnProcess(), inputs=10, seed=_SEED, batch=1)
    assert ["memory grew" in find for find in report.finds] == [True]


@pytest.mark.parametrize(
    ("sql", "is_ours"),
    [
        ("SELECT * FROM _vt.schema_migrations WHERE migration_uuid = 'it''s from x'", True),
        ("SELECT @@global.read_only", True),
        ("INSERT INTO _vt.heartbeat (ts) VALUES (1)", True),
        ("PREPARE tabletd_trial FROM 'drop table t'", True),
        ("DROP TABLE `shop`.`_vt_drp_0123456789abcdef0123456789abcdef_20261123000000_`", True),
        ("SELECT * FROM secret.kept", False),
        ("SELECT 1 FROM _vt.schema_migrations UNION SELECT note FROM secret.kept", False),
        ("SELECT 1 FROM _vt.schema_migrations INTO OUTFILE '/tmp/x'", False),
        ("SELECT SLEEP(9) FROM _vt.schema_migrations", False),
        ("SELECT * /*!50000 */ FROM _vt.schema_migrations", False),
        ("drop table t", False),
        ("CREATE TABLE shop.t2 LIKE shop.t", False),
        (
            "ALTER TABLE `shop`.`_vt_drp_0123456789abcdef0123456789abcdef_20261123000000_` "
            "RENAME TO u",
            False,
        ),
    ],
)
def test_what_no_daemon_runs_is_told_from_what_it_runs(sql: str, is_ours: bool) -> None:
    assert (of_statement(sql) == "") is is_ours
