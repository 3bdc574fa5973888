"""The demo as a newcomer runs it: what it proves is believed only because it can fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tabletd.sandbox.ledger import sandbox_status, sandboxes_directory
from tests.support.waiting import eventually_blocking

_COMMAND = [sys.executable, "-m", "tabletd", "demo", "--rows", "3000"]


class Demo:
    """One running demo, its output in a file."""

    def __init__(self, output: Path) -> None:
        self._output = output
        with output.open("wb") as file:
            # Like a shell in the foreground: a test runner in the background ignores SIGINT.
            self.process = subprocess.Popen(
                ["env", "--default-signal=INT", *_COMMAND], stdout=file, stderr=file
            )

    @property
    def text(self) -> str:
        return self._output.read_text()

    def wait_for(self, text: str) -> None:
        eventually_blocking(
            lambda: text in self.text or self.process.poll() is not None, what=f"{text!r} is said"
        )
        assert text in self.text, self.text

    def end(self) -> int:
        return self.process.wait(150)

    def traces(self) -> list[str]:
        mark = f"demo-{self.process.pid}-"
        found = [path.name for path in sandboxes_directory().glob(f"{mark}*")]
        for process in psutil.process_iter():
            try:
                if any(mark in word for word in process.cmdline()):
                    found.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        return found


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    demo = Demo(tmp_path / "demo.txt")
    yield demo
    if demo.process.poll() is None:
        demo.process.send_signal(signal.SIGINT)
        demo.process.wait(60)


def test_a_row_that_no_writer_wrote_makes_the_proof_fail_for_that_pair_alone(demo: Demo) -> None:
    demo.wait_for("\nMigrations\n")
    status = sandbox_status(f"demo-{demo.process.pid}-pt-osc")
    socket = next(one["mysql_socket"] for one in status["tablets"] if one["type"] == "primary")
    subprocess.run(
        ["mariadb", "--no-defaults", "-uroot", f"--socket={socket}", "commerce"],
        input=b"INSERT INTO orders (id, code, amount, changed) VALUES (987654321, 'x', 1, NOW())",
        check=True,
        timeout=60,
    )
    assert demo.end() == 1, demo.text
    assert "1 unexpected: 987654321" in demo.text
    gh_ost = demo.text[demo.text.rindex("MySQL 5.7, gh-ost\n") : demo.text.index("after the demo")]
    assert "FAILED" not in gh_ost, demo.text
    assert "every row on the replica is what was committed" in gh_ost
    assert demo.traces() == []


def test_an_interrupted_demo_takes_everything_away(demo: Demo) -> None:
    demo.wait_for("Lag, and writers")
    assert demo.traces() != []
    os.kill(demo.process.pid, signal.SIGINT)
    assert demo.end() == 130
    assert "Interrupted" in demo.text
    assert "Traceback" not in demo.text
    assert demo.traces() == []
