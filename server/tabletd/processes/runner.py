"""Starts tools that outlive the daemon, and finds them again.

Each tool has a directory of its own, and all that is known of the tool is in it, so that a later
daemon knows as much as the one that started it:

- `launch.json`: what is to be run (argument list, environment, log file). Holds no secret.
- `lock`: held by the wrapper as long as it lives.
- `process.json`: pid and start ticks of wrapper and tool, the boot id; written before the tool is
  executed.
- `exit.json`: the exit code (minus the signal's number), written when the tool has ended.
- `sealed`: written by a daemon that found nothing started; a wrapper that comes late then starts
  nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tabletd.errors import Reason, TabletdError
from tabletd.processes import wrapper
from tabletd.processes.identity import ProcessIdentity

_START_SECONDS_MAX: Final = 15.0
_KILL_SECONDS_MAX: Final = 15.0
SEARCH_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """What to start.

    Attributes:
        directory: an existing directory for this one tool.
        argv: the argument list; the first is the program's absolute path. Must hold no secret:
            every user of the machine can read it.
        nonce: the run's random name.
        log_file: stdout and stderr are appended to it.
        home: the tool's HOME and working directory.
    """

    directory: Path
    argv: Sequence[str]
    nonce: str
    log_file: Path
    home: Path


class Run:
    """A started tool, seen through its directory.

    Args:
        directory: the tool's directory.
        nonce: the random name of the run that it was started for.
        tool: the tool's identity.
        keeper: the wrapper's identity.
        log_file: where the tool's output goes.
        log_offset: where in that file this tool's output begins, in bytes.
    """

    def __init__(
        self,
        directory: Path,
        *,
        nonce: str,
        tool: ProcessIdentity,
        keeper: ProcessIdentity,
        log_file: Path,
        log_offset: int,
    ) -> None:
        self.directory = directory
        self.nonce = nonce
        self.tool = tool
        self.log_file = log_file
        self.log_offset = log_offset
        self._keeper = keeper

    def is_alive(self) -> bool:
        """Say whether the tool itself runs."""
        return self.tool.is_alive()

    def exit_status(self) -> int | None:
        """Return the exit code or minus the signal; None while it runs or if its end was missed."""
        found = _read_json(self.directory / "exit.json")
        return None if found is None else int(found["exit_code"])

    async def wait(self) -> int | None:
        """Wait until tool and wrapper have ended; returns `exit_status()`."""
        await _wait_for_end(self._keeper)
        await _wait_for_end(self.tool)
        return self.exit_status()

    async def terminate(self, *, grace_seconds: float) -> int | None:
        """End the tool and what it started: SIGTERM, after the grace SIGKILL.

        Returns `exit_status()`. Never signals a process that only happens to have the tool's
        number.

        Raises:
            TabletdError: TOOL_FAILED when it is still there 15 s after SIGKILL.
        """
        for number, seconds in (
            (signal.SIGTERM, grace_seconds),
            (signal.SIGKILL, _KILL_SECONDS_MAX),
        ):
            self._signal_group(number)
            try:
                async with asyncio.timeout(seconds):
                    await _wait_for_end(self.tool)
                break
            except TimeoutError:
                continue
        else:
            raise TabletdError(
                Reason.TOOL_FAILED,
                f"process {self.tool.pid} does not end, not even by SIGKILL",
                hint="look whether it hangs in the kernel (state D), on a disk or a network mount",
                pid=self.tool.pid,
            )
        return await self._end_keeper()

    def _signal_group(self, number: signal.Signals) -> None:
        if self.tool.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.tool.pid, number)

    async def _end_keeper(self) -> int | None:
        try:
            async with asyncio.timeout(_KILL_SECONDS_MAX):
                await _wait_for_end(self._keeper)
        except TimeoutError:
            if self._keeper.is_alive():
                os.kill(self._keeper.pid, signal.SIGKILL)
            await _wait_for_end(self._keeper)
        return self.exit_status()


async def launch(spec: LaunchSpec) -> Run:
    """Start a tool in a session of its own; returns once the wrapper has written who it is.

    A cancellation does not stop a start that has begun: the tool is then found by `attach`.

    Raises:
        TabletdError: TOOL_FAILED when the wrapper could not start, or not be told what to start.
    """
    return await asyncio.shield(asyncio.to_thread(_launch, spec))


def _launch(spec: LaunchSpec) -> Run:
    offset = spec.log_file.stat().st_size if spec.log_file.exists() else 0
    launching = {
        "nonce": spec.nonce,
        "argv": list(spec.argv),
        "environment": {
            "PATH": SEARCH_PATH,
            "HOME": str(spec.home),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
        },
        "working_directory": str(spec.home),
        "log_file": str(spec.log_file),
        "log_offset": offset,
    }
    try:
        wrapper.write_atomically(str(spec.directory / "launch.json"), launching)
    except OSError as error:
        raise TabletdError(
            Reason.TOOL_FAILED,
            f"cannot start {spec.argv[0]}: cannot write into {spec.directory}: {error.strerror}",
        ) from error
    failure = _start_wrapper(spec.directory)
    run = _read_run(spec.directory)
    if failure or run is None:
        raise TabletdError(Reason.TOOL_FAILED, f"cannot start {spec.argv[0]}: {failure}")
    return run


def _start_wrapper(directory: Path) -> str:
    """Start the wrapper and wait until it has started the tool; returns why it has not."""
    ready_read, ready_write = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-I", "-S", wrapper.__file__, str(directory), str(ready_write)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={"PATH": SEARCH_PATH, "LANG": "C.UTF-8"},
        cwd="/",
        pass_fds=(ready_write,),
        start_new_session=True,
    ) as child:
        os.close(ready_write)
        try:
            readable, _, _ = select.select([ready_read], [], [], _START_SECONDS_MAX)
            if not readable:
                return f"the wrapper does not start it within {_START_SECONDS_MAX:g} s"
            if os.read(ready_read, 1) == b"1":
                return ""
        finally:
            os.close(ready_read)
        assert child.stderr is not None
        text = child.stderr.read().decode(errors="replace").strip()
        return text[-500:] or "its wrapper was ended before it could"


def has_begun(directory: Path) -> bool:
    """Say whether a daemon has begun to start a tool from a directory, whatever became of it."""
    return (directory / "launch.json").exists()


async def attach(directory: Path, nonce: str = "") -> Run | None:
    """Find the tool that an earlier daemon started from a directory.

    Args:
        directory: the tool's directory.
        nonce: of the run that it must be the tool of; empty: of any.

    Returns:
        the run, whether the tool still runs or not; None when none was started, and then none can
        be started from this directory any more.

    Raises:
        TabletdError: TOOL_FAILED when a wrapper holds the directory but does not say what it
            started, or when it was started for another run.
    """
    if not await asyncio.to_thread(directory.is_dir):
        return None
    run = await _find(directory)
    if run is not None and nonce and run.nonce != nonce:
        raise TabletdError(
            Reason.TOOL_FAILED,
            f"process {run.tool.pid} was started in {directory} for another run",
            hint="see what it does, and end it, before this migration is tried again",
            directory=str(directory),
        )
    return run


async def _find(directory: Path) -> Run | None:
    deadline = time.monotonic() + _START_SECONDS_MAX
    while (run := _read_run(directory)) is None:
        if _seal(directory):
            # A wrapper may have written between our look and the seal.
            return _read_run(directory)
        if time.monotonic() > deadline:
            raise TabletdError(
                Reason.TOOL_FAILED,
                f"a wrapper holds {directory} but has started nothing",
                hint="end the process that holds the file `lock` in it",
                directory=str(directory),
            )
        await asyncio.sleep(0.02)
    return run


def _seal(directory: Path) -> bool:
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (directory / "sealed").touch(mode=0o600)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def _read_run(directory: Path) -> Run | None:
    found = _read_json(directory / "process.json")
    launching = _read_json(directory / "launch.json")
    if found is None or launching is None:
        return None
    boot = str(found["boot_id"])
    return Run(
        directory,
        nonce=str(found["nonce"]),
        tool=ProcessIdentity(boot_id=boot, **found["tool"]),
        keeper=ProcessIdentity(boot_id=boot, **found["wrapper"]),
        log_file=Path(launching["log_file"]),
        log_offset=int(launching["log_offset"]),
    )


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return value


async def _wait_for_end(identity: ProcessIdentity) -> None:
    pidfd = identity.open_pidfd()
    if pidfd is None:
        return
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def on_readable() -> None:
        loop.remove_reader(pidfd)
        if not ended.done():
            ended.set_result(None)

    loop.add_reader(pidfd, on_readable)
    try:
        await ended
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
