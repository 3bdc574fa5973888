"""What docs/clients.md shows of each language is short, and stands in a program that is run."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (ROOT / "docs" / "clients.md").read_text()
PROGRAMS: Final = {"go": "go/page/main.go", "js": "node/page.mjs", "java": "java/page/Example.java"}


def shown(language: str) -> str:
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(text)


@pytest.mark.parametrize("language", ["python", *PROGRAMS])
def test_a_language_has_fifteen_lines(language: str) -> None:
    assert 0 < sum(bool(line) for line in shown(language).splitlines()) <= 15


@pytest.mark.parametrize("language", PROGRAMS)
def test_they_stand_in_the_program_that_the_tests_build(language: str) -> None:
    program = (ROOT / "tests" / "polyglot" / PROGRAMS[language]).read_text()
    indents = ("", "\t", " " * 12)
    assert any(textwrap.indent(shown(language), indent) in program for indent in indents)
