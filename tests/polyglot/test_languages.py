"""One table of cases by a client of each language, and the programs of docs/clients.md."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.mysql.result import Column, ResultSet
from tests.polyglot.conftest import KEYSPACE, Daemons
from tests.polyglot.runners import LANGUAGES, built, missing, run_plan
from tests.polyglot.table import BENCH, cases, differences, door
from tests.support.fakes_servicers import grpc_bench
from tests.support.waiting import PATIENCE_SECONDS

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "clients.md").read_text()

CASES: Final = [case["case"] for case in cases(of_bench=False)]
_UNSIGNED: Final = 32
_ENUM: Final = 256
_SET: Final = 2048
_BINARY: Final = 63
_UTF8MB4: Final = 45
# As the protocol of MySQL tells types: code, flags, collation; and a cell.
_TYPES: Final[tuple[tuple[int, int, int, bytes | None], ...]] = (
    (1, 0, _BINARY, b"-128"),
    (1, _UNSIGNED, _BINARY, b"255"),
    (2, 0, _BINARY, b"-32768"),
    (2, _UNSIGNED, _BINARY, b"65535"),
    (9, 0, _BINARY, b"-8388608"),
    (9, _UNSIGNED, _BINARY, b"16777215"),
    (3, 0, _BINARY, b"-2147483648"),
    (3, _UNSIGNED, _BINARY, b"4294967295"),
    (8, 0, _BINARY, b"-9223372036854775808"),
    (8, _UNSIGNED, _BINARY, b"18446744073709551615"),
    (4, 0, _BINARY, b"1.5e-7"),
    (5, 0, _BINARY, b"-1.7976931348623157e308"),
    (246, 0, _BINARY, b"-0.10"),
    (6, 0, _BINARY, None),
    (7, 0, _BINARY, b"2026-11-23 07:30:00.123456"),
    (10, 0, _BINARY, b"0000-00-00"),
    (11, 0, _BINARY, b"-838:59:59.000000"),
    (12, 0, _BINARY, b"0000-00-00 00:00:00"),
    (13, 0, _BINARY, b"0000"),
    (16, 0, _BINARY, b"\x00\x01"),
    (245, 0, _BINARY, b'{"a": null}'),
    (254, _ENUM, _UTF8MB4, b"b"),
    (254, _SET, _UTF8MB4, b"a,c"),
    (252, 0, _UTF8MB4, "snow \u2603 and \U0001f42c".encode()),
    (252, 0, _BINARY, b"\x00\xff'\"\\\n"),
    (253, 0, _UTF8MB4, b""),
    (253, 0, _BINARY, b""),
    (254, 0, _UTF8MB4, b"c"),
    (254, 0, _BINARY, b"\x00\x00\x00"),
    (255, 0, _BINARY, b"\x00\x00\x00\x00\x01\x01\x00\x00\x00"),
    (242, 0, _BINARY, b"\x00\x00\x80\x3f"),
)


@pytest.fixture(scope="module", params=LANGUAGES)
def outcomes(request: pytest.FixtureRequest, daemons: Daemons) -> dict[str, list[str]]:
    """Where what a language's runner found differs from the table, by case."""
    language: str = request.param
    if reason := missing(f"polyglot-{language}", "runner"):
        pytest.skip(reason)
    plan = daemons.plan(language, cases(of_bench=False))
    found = run_plan(language, plan, daemons.pair.directory / f"{language}.json")
    return {case["case"]: differences(case, found[case["case"]]) for case in plan["cases"]}


@pytest.mark.parametrize("case", CASES)
def test_the_outcome_is_what_the_table_says(outcomes: dict[str, list[str]], case: str) -> None:
    assert outcomes[case] == []


async def _answer(query: str) -> ResultSet:
    """Give a row of cells and one of NULL, or fail for the reason that is asked for."""
    if query != "every type":
        raise TabletdError(
            Reason(query), "no: \u2603", hint="try \U0001f42c", table="caf\u00e9", errno=1146
        )
    columns = tuple(
        Column(f"c{i}", "t", "t", "db", f"c{i}", code, flags, charset, 0, 0)
        for i, (code, flags, charset, _) in enumerate(_TYPES)
    )
    cells = tuple(cell for *_, cell in _TYPES)
    return ResultSet(columns=columns, rows=[cells, (None,) * len(cells)], rows_affected=2)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_type_and_every_reason_is_read(language: str, tmp_path: Path) -> None:
    if reason := missing(f"polyglot-{language}", "runner"):
        pytest.skip(reason)
    async with grpc_bench() as bench:
        bench.executor.on_vexec = _answer
        plan = {"doors": {BENCH: door(bench.address)}, "cases": cases(of_bench=True)}
        found = await asyncio.to_thread(run_plan, language, plan, tmp_path / "plan.json")
    wrong = {one["case"]: differences(one, found[one["case"]]) for one in cases(of_bench=True)}
    assert not {name: texts for name, texts in wrong.items() if texts}


@pytest.fixture(params=("python", *LANGUAGES))
def program(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, list[str]]:
    """A language and the command that runs the page's program in it."""
    language: str = request.param
    if language == "python":
        (text,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.S | re.M)
        (tmp_path / "page.py").write_text(text)
        return language, [sys.executable, "page.py"]
    if reason := missing(f"polyglot-{language}", "page"):
        pytest.skip(reason)
    return language, [str(built(f"polyglot-{language}", "page"))]


def _run(
    daemons: Daemons, command: list[str], name: str, directory: Path
) -> subprocess.CompletedProcess[str]:
    pair = daemons.pair.clients[name]
    for file, source in (
        ("ca", daemons.pair.authority.ca),
        ("client", pair.cert),
        ("client-key", pair.key),
    ):
        (directory / f"{file}.pem").write_bytes(source.read_bytes())
    if not (protos := directory / "protos").exists():
        protos.symlink_to(ROOT / "protos")
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        cwd=directory,
        env={**os.environ, "TABLET": f"localhost:{daemons.ports['mtls']}"},
    )


def test_the_program_alters_a_table_and_says_why_not(
    daemons: Daemons, program: tuple[str, list[str]], tmp_path: Path
) -> None:
    language, command = program
    refused = _run(daemons, command, "rita", tmp_path)
    assert refused.returncode == 1, refused
    assert "PERMISSION_DENIED: " in refused.stderr
    assert "needs the role operator, and rita has the role reader" in refused.stderr
    done = _run(daemons, command, "olga", tmp_path)
    assert (done.returncode, done.stdout.upper().splitlines()[-1:]) == (0, ["0 COMPLETE"]), done
    columns = daemons.pair.servers.primary.query(f"SHOW COLUMNS FROM {KEYSPACE}.orders")
    assert f"from_{language}" in {row[0] for row in columns}
