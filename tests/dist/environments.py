"""Interpreters of this machine, wheels fetched for them, and environments made of both."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tabletd.sandbox.releases import tools_directory

ROOT: Final = Path(__file__).resolve().parents[2]
_INSTALL_SECONDS_MAX: Final = 280
_RUN_SECONDS_MAX: Final = 120


@dataclass(frozen=True)
class Interpreter:
    """One that tabletd is made for, and that is here.

    Attributes:
        version: such as `3.12`.
        path: its program.
    """

    version: str
    path: Path


def interpreters() -> list[Interpreter]:
    """Find them; the one that runs the tests is always among them."""
    listing = subprocess.run(
        [ROOT / "scripts" / "pythons.sh"], capture_output=True, text=True, check=True
    ).stdout
    found = dict(line.split(" ", 1) for line in listing.splitlines())
    found[f"{sys.version_info.major}.{sys.version_info.minor}"] = sys.executable
    return [Interpreter(version, Path(path)) for version, path in sorted(found.items())]


def wheels(requirements: str, interpreter: Interpreter) -> Path | None:
    """Return where the wheels that a file of requirements pins were put; None: they were not.

    Args:
        requirements: name of the file, such as `oldest`.
        interpreter: whom they must be for.
    """
    directory = tools_directory() / "wheels" / requirements
    tag = f"cp{interpreter.version.replace('.', '')}"
    return directory if any(directory.glob(f"grpcio-*-{tag}-*.whl")) else None


class Environment:
    """An empty virtual environment, without pip, that packages are put into.

    Args:
        interpreter: whose.
        directory: where it is made.
        sources: folders with all that may be installed: nothing is fetched.
    """

    def __init__(self, interpreter: Interpreter, directory: Path, *sources: Path) -> None:
        self.directory = directory
        self._sources = sources
        make: list[str | Path] = [interpreter.path, "-m", "venv", "--without-pip", directory]
        subprocess.run(make, check=True, timeout=_INSTALL_SECONDS_MAX)

    def program(self, name: str) -> Path:
        """Return where a program of the environment is, there or not."""
        return self.directory / "bin" / name

    def install(self, *wanted: str) -> None:
        """Install packages and what they say that they need."""
        sources = [f"--find-links={source}" for source in self._sources]
        self._pip("install", "--no-index", "--no-compile", "--quiet", *sources, *wanted)

    def check(self) -> None:
        """Fail where a package lacks another one or has a version of it that it does not want."""
        self._pip("check")

    def packages(self) -> dict[str, str]:
        """Return the version of each installed package by its name."""
        listing = self._pip("list", "--format=freeze").splitlines()
        return dict(line.split("==", 1) for line in listing)

    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment to its end."""
        return subprocess.run(
            [self.program(name), *arguments],
            capture_output=True,
            text=True,
            timeout=_RUN_SECONDS_MAX,
            cwd=self.directory,
            env=bare_environment(),
        )

    def python(self, program: str) -> str:
        """Run a Python program, in which a warning is an error; return what it prints."""
        done = self.run("python", "-W", "error", "-c", program)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _pip(self, *arguments: str | Path) -> str:
        command: list[str | Path] = [
            sys.executable, "-m", "pip", "--python", self.program("python"),
            "--disable-pip-version-check", *arguments,
        ]  # fmt: skip
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS_MAX,
            env=bare_environment(),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def bare_environment() -> Mapping[str, str]:
    """Return an environment that nothing of the checkout is found by."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "TABLETD", "TABLETCTL", "PIP_"))
    }
