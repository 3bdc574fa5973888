"""Lag as everyone computes it: now minus the heartbeat's timestamp, and the server's own seconds.

Run as a process of its own, under the clock that the reader is to have:
`python -m tests.bench.plain_lag SOCKET INTERVAL_SECONDS`, until its standard input ends; a line for
each look: the moment in monotonic seconds, now minus `ts`, and Seconds_Behind_Master (`nan`: NULL).
"""

from __future__ import annotations

import select
import sys
import time
from typing import Any

import pymysql


def main(socket: str, interval_seconds: float) -> None:
    """Look at each interval."""
    connect: Any = pymysql.connect
    with connect(unix_socket=socket, user="root", autocommit=True) as connection:
        cursor = connection.cursor(pymysql.cursors.DictCursor)
        due = time.monotonic()
        while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
            due += interval_seconds
            cursor.execute("SELECT ts FROM _vt.heartbeat")
            moment = time.monotonic()
            lag_seconds = (time.time_ns() - cursor.fetchone()["ts"]) / 1e9
            cursor.execute("SHOW SLAVE STATUS")
            behind = cursor.fetchone()["Seconds_Behind_Master"]
            told = "nan" if behind is None else behind
            sys.stdout.write(f"{moment} {lag_seconds} {told}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
