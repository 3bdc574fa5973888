"""The true lag of a replica: small commits whose arrival is waited for by their GTID.

Run as a process of its own, `python -m tests.bench.truth PRIMARY_SOCKET REPLICA_SOCKET`, until its
standard input ends; a line for each commit: sent, committed, arrived, in monotonic seconds. One
process does all of it, so that one clock tells all three; the replica is waited for on a connection
that does nothing else.
"""

from __future__ import annotations

import bisect
import os
import queue
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pymysql

from tabletd.sandbox.servers import Server

SCHEMA: Final = "truth"
_INTERVAL_SECONDS: Final = 0.02
_WAIT_SECONDS: Final = 600
_UPDATE: Final = f"UPDATE {SCHEMA}.commits SET number = %s WHERE id = 1"


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit, in monotonic seconds.

    Attributes:
        sent: just before it was sent to the primary.
        committed: just after the primary said that it is done.
        arrived: when the replica had it.
    """

    sent: float
    committed: float
    arrived: float

    @property
    def lag_seconds(self) -> float:
        return self.arrived - self.committed


@dataclass(frozen=True)
class Truth:
    """What was true at any moment of a run.

    Attributes:
        commits: in the order of the binary log, which is that of their arrival.
    """

    commits: tuple[Commit, ...]
    _arrivals: list[float] = field(default_factory=list[float])

    def __post_init__(self) -> None:
        self._arrivals.extend(commit.arrived for commit in self.commits)

    def covers(self, moment: float) -> bool:
        """Whether commits were made before and after a moment."""
        return bool(self.commits) and self._arrivals[0] <= moment <= self.commits[-1].sent

    def lag_seconds(self, moment: float) -> float:
        """Return the lag of the newest commit that had arrived; the age of an older missing one."""
        newest, missing = self._around(moment)
        overdue = moment - missing.committed if missing is not None else 0.0
        return max(newest.lag_seconds, overdue)

    def oldest_missing_seconds(self, moment: float) -> tuple[float, float]:
        """Return the least and the most that the age of the oldest missing commit can have been.

        Others commit between ours: the oldest missing one is younger than our newest that had
        arrived, and no younger than our oldest that had not.
        """
        newest, missing = self._around(moment)
        least = max(0.0, moment - missing.committed) if missing is not None else 0.0
        return least, moment - newest.sent

    def _around(self, moment: float) -> tuple[Commit, Commit | None]:
        number = bisect.bisect_right(self._arrivals, moment)
        following = self.commits[number] if number < len(self.commits) else None
        return self.commits[number - 1], following


class Witness:
    """The process that makes the commits, for the length of a `with` block; then `truth`."""

    def __init__(self, primary: Server, replica: Server) -> None:
        primary.sql(
            f"CREATE DATABASE IF NOT EXISTS {SCHEMA};"
            f"CREATE TABLE IF NOT EXISTS {SCHEMA}.commits (id INT PRIMARY KEY, number BIGINT);"
            f"INSERT IGNORE INTO {SCHEMA}.commits VALUES (1, 0)"
        )
        self._command = [
            sys.executable,
            "-m",
            "tests.bench.truth",
            str(primary.socket),
            str(replica.socket),
        ]
        self.truth = Truth(())

    def __enter__(self) -> Witness:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        return self

    def __exit__(self, *_: object) -> None:
        told = self._process.communicate(timeout=_WAIT_SECONDS)[0]
        self.truth = Truth(
            tuple(Commit(*map(float, line.split())) for line in told.splitlines() if line)
        )


def main() -> None:
    """Commit and wait until standard input ends."""
    # Who waits for the processor sees commits arrive later than they do.
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    primary, replica = (_connect(socket) for socket in sys.argv[1:3])
    is_mariadb = "mariadb" in str(primary.get_server_info()).lower()
    commit, wait = _mariadb(primary) if is_mariadb else _mysql(primary)
    stopped = threading.Event()
    made: queue.Queue[tuple[float, float, str] | None] = queue.Queue()

    def write() -> None:
        number = 0
        due = time.monotonic()
        while not stopped.wait(max(0.0, due - time.monotonic())):
            number += 1
            due += _INTERVAL_SECONDS
            made.put(commit(number))
        made.put(None)

    writer = threading.Thread(target=write)
    writer.start()
    lines: list[str] = []

    def await_end() -> None:
        sys.stdin.read()
        stopped.set()

    threading.Thread(target=await_end, daemon=True).start()
    with replica.cursor() as cursor:
        while (one := made.get()) is not None:
            sent, committed, gtid = one
            cursor.execute(wait, (gtid, _WAIT_SECONDS))
            arrived = time.monotonic()
            assert cursor.fetchone()[0] == 0, f"{gtid} did not arrive"
            lines.append(f"{sent} {committed} {arrived}")
    writer.join()
    sys.stdout.write("\n".join(lines))


_Commit = Callable[[int], tuple[float, float, str]]


def _mariadb(primary: Any) -> tuple[_Commit, str]:
    def commit(number: int) -> tuple[float, float, str]:
        with primary.cursor() as cursor:
            sent = time.monotonic()
            cursor.execute(_UPDATE, (number,))
            committed = time.monotonic()
            cursor.execute("SELECT @@last_gtid")
            return sent, committed, cursor.fetchone()[0]

    return commit, "SELECT MASTER_GTID_WAIT(%s, %s)"


def _mysql(primary: Any) -> tuple[_Commit, str]:
    source = uuid.uuid4()

    def commit(number: int) -> tuple[float, float, str]:
        gtid = f"{source}:{number}"
        with primary.cursor() as cursor:
            cursor.execute("SET gtid_next = %s", (gtid,))
            sent = time.monotonic()
            cursor.execute(_UPDATE, (number,))
            committed = time.monotonic()
            cursor.execute("SET gtid_next = 'AUTOMATIC'")
        return sent, committed, gtid

    return commit, "SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s)"


def _connect(socket: str) -> Any:
    connect: Any = pymysql.connect
    return connect(unix_socket=socket, user="root", autocommit=True)


if __name__ == "__main__":
    main()
