"""The command as a process: on a terminal, in a pipe, interrupted, and how soon it helps."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import resource
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.support.fake_fleet import UUID, FakeFleet, fake_fleet, state

TABLETCTL: Final = Path(sys.executable).with_name("tabletctl")
_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
async def fleet() -> AsyncGenerator[FakeFleet]:
    async with fake_fleet() as running:
        yield running


class Terminal:
    """A process on a terminal of its own."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self.process = process
        self._master = master
        self._is_closed = asyncio.Event()
        self.raw = ""

    @property
    def text(self) -> str:
        """What was drawn, without colours and movements."""
        return _CONTROL.sub("", self.raw).replace("\r", "\n")

    def read(self) -> None:
        """Take what there is."""
        try:
            self.raw += os.read(self._master, 65_536).decode("utf-8", "replace")
        except BlockingIOError:
            pass
        except OSError:  # the other side is closed
            asyncio.get_running_loop().remove_reader(self._master)
            self._is_closed.set()

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    async def shows(self, text: str) -> None:
        """Wait until something was drawn."""
        async with asyncio.timeout(60):
            while text not in self.text:
                await asyncio.sleep(0.02)

    async def ends(self) -> int:
        """Wait for the end and return the exit code."""
        async with asyncio.timeout(60):
            await self._is_closed.wait()
            return await self.process.wait()


@asynccontextmanager
async def terminal(
    fleet: FakeFleet, *arguments: str, columns: int = 80
) -> AsyncGenerator[Terminal]:
    """Run the command on a terminal of some width."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    os.set_blocking(master, False)
    process = await asyncio.create_subprocess_exec(
        TABLETCTL,
        *arguments,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={
            "PATH": os.environ["PATH"],
            "TERM": "xterm-256color",
            "TABLETCTL_SERVER": fleet.address,
        },
        start_new_session=True,
    )
    os.close(slave)
    running = Terminal(process, master)
    loop = asyncio.get_running_loop()
    loop.add_reader(master, running.read)
    try:
        yield running
    finally:
        loop.remove_reader(master)
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(master)


async def test_a_watch_draws_each_shard_within_80_columns_and_ends_with_them(
    fleet: FakeFleet,
) -> None:
    fleet.tablets[100].put(
        state(
            rows_copied=4_500_000,
            rows_estimated=10_000_000,
            progress_percent=45.0,
            stage="gh-ost: copying; " + "a long story " * 20,
        )
    )
    fleet.tablets[200].put(state("QUEUED", shard="80-", message="waits for a free slot"))
    async with terminal(fleet, "watch", UUID) as screen:
        await screen.shows("waits for a free slot")
        await screen.shows("4,500,000/10,000,000")
        assert " 45.0%" in screen.text
        fleet.tablets[100].put(state("COMPLETE"))
        fleet.tablets[200].put(state("COMPLETE", shard="80-"))
        assert await screen.ends() == 0
        assert "100.0%" in screen.text
        assert max(len(line) for line in screen.text.splitlines()) <= 80


async def test_ctrl_c_leaves_the_migration_running_and_says_how_to_see_it_again(
    fleet: FakeFleet,
) -> None:
    fleet.tablets[100].put(state("RUNNING"))
    async with terminal(fleet, "apply", "--wait", "alter table t add i int") as screen:
        await screen.shows("running")
        screen.process.send_signal(signal.SIGINT)
        assert await screen.ends() == 4
        assert f"see it again: tabletctl watch {UUID}" in screen.text
        assert "Traceback" not in screen.text
    assert "CancelSchemaMigration" not in {name for name, _ in fleet.calls}


async def test_ctrl_c_on_a_watch_of_nothing_is_no_failure(fleet: FakeFleet) -> None:
    async with terminal(fleet, "watch") as screen:
        await screen.shows("no migrations")
        screen.process.send_signal(signal.SIGINT)
        assert await screen.ends() == 0


async def test_a_watch_says_of_which_shard_nothing_is_known_yet(fleet: FakeFleet) -> None:
    fleet.tablets[200].silent = True
    async with terminal(fleet, "watch") as screen:
        await screen.shows("80-: not heard yet")
        assert "no migrations" not in screen.text
        screen.process.send_signal(signal.SIGINT)
        assert await screen.ends() == 0


async def test_an_answer_is_folded_to_the_terminal_and_whole_in_a_pipe(fleet: FakeFleet) -> None:
    story = "held up by a transaction that nobody ends; " * 5
    fleet.tablets[100].put(state("RUNNING", stage="gh-ost: copying", message=story))
    fleet.tablets[201].health_error = story
    for arguments in (("show",), ("show", UUID), ("lag",), ("explain-error", "TIMEOUT")):
        async with terminal(fleet, *arguments) as screen:
            assert await screen.ends() == 0
            assert max(len(line) for line in screen.text.splitlines()) <= 80, arguments
    process = await asyncio.create_subprocess_exec(
        TABLETCTL, "--server", fleet.address, "lag", stdout=asyncio.subprocess.PIPE
    )
    text, _ = await process.communicate()
    assert story.strip() in text.decode()


async def test_a_question_is_asked_and_no_is_taken_for_an_answer(fleet: FakeFleet) -> None:
    async with terminal(fleet, "cancel", UUID) as screen:
        await screen.shows("[y/N]")
        screen.type("n\n")
        assert await screen.ends() == 1
        assert "nothing was done" in screen.text
    async with terminal(fleet, "cancel", UUID) as screen:
        await screen.shows("[y/N]")
        screen.type("y\n")
        assert await screen.ends() == 0
    assert [name for name, _ in fleet.calls] == ["GetKeyspaces", "CancelSchemaMigration"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_completion_can_be_had_for_every_shell(fleet: FakeFleet, shell: str) -> None:
    process = await asyncio.create_subprocess_exec(
        TABLETCTL, "completion", shell, stdout=asyncio.subprocess.PIPE
    )
    script, _ = await process.communicate()
    assert process.returncode == 0
    assert b"_TABLETCTL_COMPLETE=complete_" + shell.encode() in script


def test_help_takes_three_tenths_of_a_second_at_most() -> None:
    def processor_seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([TABLETCTL, "--help"], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # Not by the clock: other tests use the processors as well. The first run may have to compile.
    assert min(processor_seconds() for _ in range(5)) <= 0.3
