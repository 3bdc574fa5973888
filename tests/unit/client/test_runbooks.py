"""docs/runbooks against the reasons that there are; what a reader at a terminal gets of them."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner, Result

from tabletd.errors import Reason as ServerReason
from tabletd_client.cli.application import application
from tabletd_client.errors import Reason as ClientReason

ROOT: Final = Path(__file__).parents[3]
PAGES: Final = ROOT / "docs" / "runbooks"
REASONS: Final = sorted(set(ServerReason) | set(ClientReason))
_LINE_LENGTH_MAX: Final = 79
_NAMES: Final = re.compile(r"\b(?:grpc|http|lease|log|migration|mysql|run|topology)_\w+")


def _explain(*arguments: str) -> Result:
    return CliRunner().invoke(application, ["explain-error", *arguments])


def test_the_client_knows_every_reason_of_the_server() -> None:
    assert set(ServerReason) <= set(ClientReason)


def test_there_is_a_page_for_every_reason_and_no_other() -> None:
    assert sorted(page.stem for page in PAGES.iterdir()) == REASONS


@pytest.mark.parametrize("reason", REASONS)
def test_a_page_says_what_it_means_what_was_kept_and_what_to_do(reason: str) -> None:
    text = (PAGES / f"{reason}.md").read_text()
    assert text.startswith(f"# {reason}\n\n")
    assert re.findall(r"^## (.*)$", text, re.M) == ["What was kept", "What to do"]
    assert max(map(len, text.splitlines())) <= _LINE_LENGTH_MAX
    result = _explain(reason)
    assert (result.exit_code, result.stdout) == (0, text)


def test_the_settings_that_pages_name_are_settings() -> None:
    from tabletd.config import Config

    words = {
        word
        for page in PAGES.iterdir()
        for word in re.findall(
            r"\b(?:grpc|http|mysql|topology|log|run|migration)_\w+", page.read_text()
        )
    }
    of_others = {"http_proxy", "log_bin_trust_function_creators", "mysql_"}
    assert words - of_others <= set(Config.model_fields)


def test_the_commands_that_pages_name_are_commands() -> None:
    commands = {
        words[0]
        for page in PAGES.iterdir()
        for line in re.findall(r"^ {6}tabletctl (.*)", page.read_text(), re.M)
        if (words := re.findall(r"(?<!\S)[a-z][\w-]*", re.sub(r"--\w\S* \S+", "", line)))
    }
    for command in commands:
        assert CliRunner().invoke(application, [command, "--help"]).exit_code == 0, command


@pytest.mark.parametrize("written", ["not-primary", "[NOT_PRIMARY]", "Not_Primary"])
def test_a_reason_may_be_written_as_it_is_found(written: str) -> None:
    assert _explain(written).stdout.startswith("# NOT_PRIMARY\n")


def test_a_reason_that_is_none_is_told_with_those_that_are_near() -> None:
    result = _explain("NOT_PRIMERY")
    assert result.exit_code == 2
    assert "did you mean NOT_PRIMARY" in result.stderr
    assert "tabletctl explain-error lists them" in _explain("qqq").stderr


def test_without_a_reason_all_are_listed() -> None:
    result = _explain()
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == REASONS


def test_pages_are_told_without_grpc() -> None:
    program = (
        "import sys\nfrom tabletd_client.cli.application import application\n"
        "application(['explain-error', 'TIMEOUT'], standalone_mode=False)\n"
        "sys.exit('grpc' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (run.returncode, run.stdout[:9]) == (0, "# TIMEOUT"), run.stderr


def test_the_wheel_holds_the_pages(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if "/runbooks/" in name}
    assert names == {f"tabletd_client/runbooks/{reason}.md" for reason in REASONS}
