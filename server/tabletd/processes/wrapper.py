"""Stands between the daemon and a tool, and outlives the daemon.

Run as `python -I -S wrapper.py DIRECTORY READY_FD`; standard library only, and nothing of this
package, so that it goes on when the package is upgraded under it. It reads `launch.json`, takes the
lock, writes `process.json` before the tool is executed, waits for the tool and leaves `exit.json`.
What the files hold is described in `runner`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import resource
import signal
import sys
import time
from typing import Any

EXIT_NOT_EXECUTED = 127
_IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
_LEFT_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_TRY_AGAIN_SECONDS = 0.2


def forbid_core_dumps() -> None:
    """Let neither this process nor those that it starts leave their memory behind.

    1 and not 0: so the kernel does not hand it to a program either (core(5), pipes).
    """
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    limit = 0 if most == 0 else 1
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


def write_atomically(path: str, value: dict[str, Any]) -> None:
    """Write JSON so that a reader sees all of it or nothing, even after a crash of the machine."""
    scratch = f"{path}.tmp"
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(scratch, path)


def write_when_there_is_room(path: str, value: dict[str, Any]) -> None:
    """Write JSON likewise; while the disk is full, wait for it: nobody else knows what it says."""
    while True:
        try:
            write_atomically(path, value)
            return
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
        time.sleep(_TRY_AGAIN_SECONDS)


def start_ticks(pid: int) -> int:
    """Return when a process started, in clock ticks since boot: field 22 of `/proc/<pid>/stat`."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        # The program's name, in parentheses, may hold anything; the fields are counted after it.
        return int(file.read().rpartition(b")")[2].split()[19])


def boot_id() -> str:
    """Return the identity of this boot of the machine."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def take_lock(directory: str) -> bool:
    """Lock the directory for the life of this process; False when another holds it."""
    lock = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def become_tool(launch: dict[str, Any], gate: int) -> None:
    """In the child: wait until `process.json` is written, then become the tool; never returns."""
    for number in (*_IGNORED, *_LEFT_BY_PYTHON):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _IGNORED)
    if os.read(gate, 1) != b"1":
        os._exit(EXIT_NOT_EXECUTED)
    how = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    log = os.open(launch["log_file"], how, 0o600)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(launch["working_directory"])
    try:
        os.execve(launch["argv"][0], launch["argv"], launch["environment"])  # noqa: S606
    except OSError as error:
        os.write(2, f"cannot execute {launch['argv'][0]}: {error.strerror}\n".encode())
    os._exit(EXIT_NOT_EXECUTED)


def spawn(directory: str, launch: dict[str, Any]) -> int:
    """Fork the tool, write down who is who, and only then let it go; returns its pid.

    Signals are blocked around the fork, so that one that comes early meets the tool's dispositions
    and not ours.
    """
    gate_read, gate_write = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, _IGNORED)
    pid = os.fork()
    if pid == 0:
        try:
            os.close(gate_write)
            become_tool(launch, gate_read)
        finally:
            os._exit(EXIT_NOT_EXECUTED)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _IGNORED)
    os.setpgid(pid, pid)
    os.close(gate_read)
    write_atomically(
        os.path.join(directory, "process.json"),
        {
            "nonce": launch["nonce"],
            "boot_id": boot_id(),
            "wrapper": {"pid": os.getpid(), "start_ticks": start_ticks(os.getpid())},
            "tool": {"pid": pid, "start_ticks": start_ticks(pid)},
        },
    )
    with contextlib.suppress(BrokenPipeError):
        os.write(gate_write, b"1")
    os.close(gate_write)
    return pid


def await_end(pid: int) -> int:
    """Wait for the tool, end what it left running; returns its exit code or minus its signal."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with contextlib.suppress(ProcessLookupError):
        # Not reaped yet, so its number cannot be another's: this reaches its own group only.
        os.killpg(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(directory: str, ready_fd: int) -> int:
    """Run the tool that `launch.json` in the directory describes."""
    if os.fork() != 0:
        # Nobody's child from the start, as it would be after the daemon's end anyway.
        os._exit(0)
    os.umask(0o077)
    forbid_core_dumps()
    if not take_lock(directory) or os.path.exists(os.path.join(directory, "sealed")):
        sys.stderr.write("the directory is taken or sealed\n")
        return 1
    with open(os.path.join(directory, "launch.json"), encoding="utf-8") as file:
        launch = json.load(file)
    pid = spawn(directory, launch)
    with contextlib.suppress(BrokenPipeError):
        # The daemon may be gone already.
        os.write(ready_fd, b"1")
    os.close(ready_fd)
    code = await_end(pid)
    write_when_there_is_room(os.path.join(directory, "exit.json"), {"exit_code": code})
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1], int(sys.argv[2])))
    except OSError as trouble:
        # The daemon reads it, and tells it to people.
        sys.exit(str(trouble))
