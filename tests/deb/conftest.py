"""The package, on a machine where nothing of it has ever been."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tabletd import __version__
from tests.deb.machine import NAME, STATE, Service, installed_version, run, traces

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def package() -> Iterator[Path]:
    """What `make deb` has built; afterwards all of it is removed from the machine."""
    if os.geteuid() != 0:
        pytest.exit("make deb-test installs and removes packages: run it as root", 2)
    if installed_version() or traces():
        pytest.exit("tabletd is installed here or has left something: use another machine", 2)
    (built,) = (ROOT / "dist").glob(f"tabletd_{__version__}-1_*.deb")
    yield built
    run("dpkg", "--purge", NAME)
    shutil.rmtree(STATE, ignore_errors=True)
    subprocess.run(["userdel", NAME], check=False)


@pytest.fixture
def service(package: Path) -> Iterator[Service]:
    """The service; afterwards nothing of it runs."""
    started = Service()
    yield started
    started.close()
