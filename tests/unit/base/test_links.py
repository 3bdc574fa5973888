"""Links of the documents lead somewhere, and what they name exists."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

ROOT: Final = Path(__file__).resolve().parents[3]
DOCUMENTS: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE: Final = re.compile(r"^```.*?^```$", re.M | re.S)


def prose(document: Path) -> str:
    """Return a document without its blocks of code."""
    return _FENCE.sub("", document.read_text())


@cache
def anchors(document: Path) -> frozenset[str]:
    """Return what a link may name in a document: its headings, written as a web page's anchors."""
    headings = re.findall(r"^#+ +(.+)$", prose(document), re.M)
    return frozenset(
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for link in _LINK.findall(prose(document)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_page_for_people_can_be_found_from_the_first_one() -> None:
    reached, new = set[Path](), {ROOT / "README.md"}
    while new:
        reached |= new
        links = {
            (page.parent / link.partition("#")[0]).resolve()
            for page in new
            for link in _LINK.findall(prose(page))
            if not re.match(r"[a-z]+:|#", link)
        }
        found = {
            page for link in links for page in (link.glob("*.md") if link.is_dir() else [link])
        }
        new = {page for page in found if page.suffix == ".md"} - reached
    assert set(DOCUMENTS) - reached == set()


def test_the_commands_and_settings_of_the_operators_page_exist() -> None:
    from tabletd.cli import application as daemon
    from tabletd.config import Config
    from tabletd_client.cli.application import application as client

    text = (ROOT / "docs" / "operations.md").read_text()
    for name, application in (("tabletd", daemon), ("tabletctl", client)):
        commands = set(re.findall(rf"(?:`|^|tabletd ){name} ([a-z][a-z-]*)", text, re.M))
        assert commands
        for command in commands:
            assert CliRunner().invoke(application, [command, "--help"]).exit_code == 0, command
    settings = set(re.findall(r"`([a-z]+(?:_[a-z0-9]+)+)(?: = [^`]*)?`", text))
    others = {"schema_migrations", "throttled_apps", "throttler_config"}
    assert settings - others <= set(Config.model_fields)
