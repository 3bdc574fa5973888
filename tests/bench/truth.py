"""The true lag of a replica: commits whose arrival is waited for by their GTID.

Run as a process of its own, `python -m tests.bench.truth PRIMARY_SOCKET REPLICA_SOCKET SECONDS`,
until its standard input ends; a line for each commit: whose it is, sent, committed, arrived, in
monotonic seconds. It makes small commits of its own, and watches the heartbeats come on the
primary, whose interval it is told (0: none are watched). One process does all of it, so that one
clock tells all three; the replica is waited for on connections that do nothing else.
"""

from __future__ import annotations

import bisect
import math
import os
import queue
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import pymysql

from tabletd.sandbox.servers import Server

SCHEMA: Final = "truth"
_INTERVAL_SECONDS: Final = 0.02
_WAIT_SECONDS: Final = 600
# How long before a heartbeat is due it is watched for, and how often it is looked for then.
_WATCHED_BEFORE_SECONDS: Final = 0.002
_WATCH_STEP_SECONDS: Final = 0.001
_MARIADB_WAIT: Final = "SELECT MASTER_GTID_WAIT(%s, %s)"
_MYSQL_WAIT: Final = "SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s)"
_MARIADB_POSITION: Final = "SELECT @@global.gtid_binlog_pos"
_MYSQL_POSITION: Final = "SELECT @@global.gtid_executed"
_OWN: Final = "own"
_BEAT: Final = "beat"
_SEQUENCE: Final = "SELECT seq FROM _vt.heartbeat"
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
    """The process that makes and watches commits, for the length of a `with` block.

    Args:
        primary: where commits are made.
        replica: where they arrive.
        beat_seconds: interval of the heartbeats; 0: they are not watched.

    Attributes:
        truth: of the commits that it made, after the block.
        beats: of the heartbeats, after the block.
    """

    def __init__(self, primary: Server, replica: Server, beat_seconds: float = 0.0) -> None:
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
            str(beat_seconds),
        ]
        self.truth = self.beats = Truth(())

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
        lines = [line.split() for line in told.splitlines() if line]
        self.truth, self.beats = (
            Truth(tuple(Commit(*map(float, line[1:])) for line in lines if line[0] == whose))
            for whose in (_OWN, _BEAT)
        )


def main() -> None:
    """Commit and wait until standard input ends."""
    # Who waits for the processor sees commits arrive later than they do.
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    sockets, beat_seconds = sys.argv[1:3], float(sys.argv[3])
    stopped = threading.Event()
    lines: list[str] = []
    parts = [partial(_commit_own, sockets, stopped, lines)]
    if beat_seconds:
        parts.append(partial(_watch_beats, sockets, stopped, lines, beat_seconds))
    threads = [threading.Thread(target=part) for part in parts]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stopped.set()
    for thread in threads:
        thread.join()
    sys.stdout.write("\n".join(lines))


def _commit_own(sockets: Sequence[str], stopped: threading.Event, lines: list[str]) -> None:
    primary = _connect(sockets[0])
    commit = (_mariadb if _is_mariadb(primary) else _mysql)(primary)
    with _arrivals(sockets[1], _OWN, lines) as made:
        number = 0
        due = time.monotonic()
        while not stopped.wait(max(0.0, due - time.monotonic())):
            number += 1
            due += _INTERVAL_SECONDS
            made.put(commit(number))


def _watch_beats(
    sockets: Sequence[str], stopped: threading.Event, lines: list[str], beat_seconds: float
) -> None:
    """Look at the heartbeats' row around the time at which the next one is due."""
    primary = _connect(sockets[0])
    position = _MARIADB_POSITION if _is_mariadb(primary) else _MYSQL_POSITION
    seen, due = None, math.inf
    with primary.cursor() as cursor, _arrivals(sockets[1], _BEAT, lines) as made:

        def look(sql: str) -> Any:
            cursor.execute(sql)
            return cursor.fetchone()[0]

        before = time.monotonic()
        while not stopped.wait(_WATCH_STEP_SECONDS):
            asked = time.monotonic()
            found = look(_SEQUENCE)
            if seen is not None and found != seen:
                committed = time.monotonic()
                made.put((before, committed, look(position)))
                # A heartbeat may be late, and is never early: the earliest tell the schedule.
                late = committed - due
                due = committed if late < 0 else due + late // beat_seconds * beat_seconds
                stopped.wait(due + beat_seconds - _WATCHED_BEFORE_SECONDS - time.monotonic())
            before, seen = asked, found


@contextmanager
def _arrivals(
    socket: str, whose: str, lines: list[str]
) -> Generator[queue.Queue[tuple[float, float, str] | None]]:
    """Wait for what is put into a queue, one after the other, and note when it arrived."""
    replica = _connect(socket)
    wait = _MARIADB_WAIT if _is_mariadb(replica) else _MYSQL_WAIT
    made: queue.Queue[tuple[float, float, str] | None] = queue.Queue()

    def run() -> None:
        with replica.cursor() as cursor:
            while (one := made.get()) is not None:
                sent, committed, gtid = one
                cursor.execute(wait, (gtid, _WAIT_SECONDS))
                arrived = time.monotonic()
                assert cursor.fetchone()[0] == 0, f"{gtid} did not arrive"
                lines.append(f"{whose} {sent} {committed} {arrived}")

    waiter = threading.Thread(target=run)
    waiter.start()
    try:
        yield made
    finally:
        made.put(None)
        waiter.join()


_Commit = Callable[[int], tuple[float, float, str]]


def _is_mariadb(connection: Any) -> bool:
    return "mariadb" in str(connection.get_server_info()).lower()


def _mariadb(primary: Any) -> _Commit:
    def commit(number: int) -> tuple[float, float, str]:
        with primary.cursor() as cursor:
            sent = time.monotonic()
            cursor.execute(_UPDATE, (number,))
            committed = time.monotonic()
            cursor.execute("SELECT @@last_gtid")
            return sent, committed, cursor.fetchone()[0]

    return commit


def _mysql(primary: Any) -> _Commit:
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

    return commit


def _connect(socket: str) -> Any:
    connect: Any = pymysql.connect
    return connect(unix_socket=socket, user="root", autocommit=True)


if __name__ == "__main__":
    main()
