"""House rules that no other tool checks."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINES_MAX = 500
FUNCTION_LINES_MAX = 70
GENERATED = ROOT / "client" / "tabletd_pb"
OURS = sorted(
    path
    for folder in ("server", "client", "tests")
    for path in (ROOT / folder).rglob("*.py")
    if GENERATED not in path.parents
)
SLEEPERS = {
    # Commands, fixtures, a program: there is no event loop to hold up.
    "server/tabletd/processes/wrapper.py",
    "server/tabletd/sandbox/sandbox.py",
    "server/tabletd/sandbox/servers.py",
    "server/tabletd/sandbox/daemons.py",
    "tests/support/waiting.py",
}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_files_and_functions_are_short_enough_to_read() -> None:
    too_long = [relative(path) for path in OURS if len(path.read_text().splitlines()) > LINES_MAX]
    too_long += [
        f"{relative(path)}: {function.name}"
        for path in OURS
        for function in functions(ast.parse(path.read_text()))
        if (function.end_lineno or 0) - function.lineno >= FUNCTION_LINES_MAX
    ]
    assert too_long == []


def test_nothing_is_left_for_later_without_a_number() -> None:
    mark = re.compile(r"\b(?:TO" r"DO|FIX" r"ME)\b(?!\(#\d+\))")
    assert [relative(path) for path in OURS if mark.search(path.read_text())] == []


def test_nothing_sleeps_in_a_thread() -> None:
    sleep = "time." + "sleep("
    found = {relative(path) for path in OURS if sleep in path.read_text()}
    assert found - SLEEPERS == set()


def test_source_roots_are_no_packages() -> None:
    assert not (ROOT / "server" / "__init__.py").exists()
    assert not (ROOT / "client" / "__init__.py").exists()


def test_what_a_package_of_tests_shares_ends_with_that_package() -> None:
    """A fixture of package scope in a mere folder would live, with its daemons, to the very end."""
    found = [
        relative(path)
        for path in OURS
        if 'scope="package"' in path.read_text() and not (path.parent / "__init__.py").exists()
    ]
    assert [path for path in found if path != relative(Path(__file__))] == []
