"""Asks a program a short question."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tabletd.processes.runner import SEARCH_PATH

_OUTPUT_BYTES_MAX: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program said.

    Attributes:
        exit_code: None when it could not be executed or took too long.
        output: stdout and stderr.
    """

    exit_code: int | None
    output: str

    def failure(self) -> str:
        """Say in a few words what went wrong."""
        if self.exit_code is None:
            return self.output
        return f"it ended with {self.exit_code}: {self.output.strip()[-200:]}"


async def probe(argv: Sequence[str], *, timeout_seconds: float = 15.0) -> Answer:
    """Run a program to its end, with an empty input, a minimal environment and a time limit."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"PATH": SEARCH_PATH, "HOME": "/nonexistent", "LANG": "C.UTF-8", "TZ": "UTC"},
            start_new_session=True,
        )
    except OSError as error:
        return Answer(None, f"it cannot be executed: {error.strerror}")
    assert process.stdout is not None
    try:
        async with asyncio.timeout(timeout_seconds):
            output = await process.stdout.read(_OUTPUT_BYTES_MAX)
            while await process.stdout.read(_OUTPUT_BYTES_MAX):
                pass
            code = await process.wait()
    except TimeoutError:
        return Answer(None, f"it does not end within {timeout_seconds:g} s")
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return Answer(code, output.decode(errors="replace"))
