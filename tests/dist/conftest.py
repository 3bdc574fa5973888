"""What `make dist` makes, once for all tests of this package."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.dist.environments import ROOT


@dataclass(frozen=True)
class Distribution:
    """The two archives.

    Attributes:
        wheel: what pip installs.
        sdist: what others build from.
    """

    wheel: Path
    sdist: Path


@pytest.fixture(scope="package")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Distribution:
    """The wheel and the sdist of this checkout, alone in a folder."""
    return build(ROOT, tmp_path_factory.mktemp("dist"))


def build(source: Path, directory: Path) -> Distribution:
    """Build both from a source tree."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(directory)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=120)
    (wheel,) = directory.glob("*.whl")
    (sdist,) = directory.glob("*.tar.gz")
    return Distribution(wheel, sdist)
