"""The runners: programs that make the calls of a plan in a language of their own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tabletd.sandbox.releases import tools_directory

LANGUAGES: Final = ("go", "node", "java")
_LONGEST_SECONDS: Final = 280


def built(component: str, program: str) -> Path:
    """Return where `scripts/setup.sh` puts a program that it builds for these tests."""
    return tools_directory() / component / program


def missing(component: str, program: str) -> str:
    """Return why a program cannot be run here, '' when it can."""
    if os.access(built(component, program), os.X_OK):
        return ""
    return f"no {component}/{program}: run scripts/setup.sh {component}"


def run_plan(language: str, plan: dict[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    """Let a runner make the calls of a plan; return what came of each, by case.

    Args:
        language: one of LANGUAGES.
        plan: doors and cases.
        path: file to write it to.
    """
    path.write_text(json.dumps(plan))
    program = built(f"polyglot-{language}", "runner")
    lines = run_lines([str(program), str(path)])
    assert [line["case"] for line in lines] == [case["case"] for case in plan["cases"]], lines
    return {line["case"]: line for line in lines}


def run_lines(command: Sequence[str]) -> list[dict[str, Any]]:
    """Run a program that prints JSON, an object to a line, and must succeed."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=_LONGEST_SECONDS,
        # What is called is on this machine.
        env={name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stderr[-4000:]}"
    return [json.loads(line) for line in done.stdout.splitlines()]
