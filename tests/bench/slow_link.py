"""The way from a primary to its replica, made as slow as is wanted: a delay, a rate, or both.

Run as a process of its own, `python -m tests.bench.slow_link UPSTREAM_PORT PORT`, until its
standard input ends; each line there sets it anew: seconds of delay, bytes per second (0: no bound).
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tabletd.sandbox.releases import REPLICATION_PASSWORD, REPLICATION_USER
from tabletd.sandbox.servers import LOOPBACK, Server, free_port

_CHUNK_BYTES: Final = 4 * 1024


class SlowLink:
    """The process of a link, as the one that steers it sees it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def set(self, delay_seconds: float = 0.0, bytes_per_second: float = 0.0) -> None:
        """Delay, or let through only so much, from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{delay_seconds} {bytes_per_second}\n")
        self._process.stdin.flush()


@asynccontextmanager
async def slow_link(primary: Server, replica: Server) -> AsyncGenerator[SlowLink]:
    """Let a replica read its primary's binary log through a link, to its own end."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.slow_link", str(primary.port), str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    await asyncio.to_thread(process.stdout.readline)
    await asyncio.to_thread(read_from, replica, port)
    try:
        yield SlowLink(process)
    finally:
        await asyncio.to_thread(process.communicate, timeout=10)


def read_from(replica: Server, port: int) -> None:
    """Have a replica read from another port of this machine, and go on where it was."""
    position = (
        "MASTER_USE_GTID=slave_pos" if replica.release.is_mariadb else "MASTER_AUTO_POSITION=1"
    )
    replica.sql(
        f"STOP SLAVE; CHANGE MASTER TO MASTER_HOST='{LOOPBACK}', MASTER_PORT={port},"
        f" MASTER_USER='{REPLICATION_USER}', MASTER_PASSWORD='{REPLICATION_PASSWORD}',"
        f" {position}; START SLAVE"
    )


class _Link:
    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self.delay_seconds = 0.0
        self.bytes_per_second = 0.0
        self._ends: set[asyncio.StreamWriter] = set()
        self._done = asyncio.Event()

    async def close(self) -> None:
        """Cut every connection, and wait until nobody looks after one any more."""
        while self._ends:
            self._done.clear()
            for end in self._ends:
                end.transport.abort()
            await self._done.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(
            LOOPBACK, self._upstream_port
        )
        late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        ends = {writer, upstream_writer}
        self._ends |= ends
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pass_on(reader, upstream_writer))
                group.create_task(self._take(upstream_reader, late))
                group.create_task(self._give(late, writer))
        except* OSError:
            pass
        finally:
            writer.close()
            upstream_writer.close()
            self._ends -= ends
            self._done.set()

    async def _take(
        self, reader: asyncio.StreamReader, late: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            late.put_nowait((time.monotonic(), data))
        late.put_nowait((time.monotonic(), b""))

    async def _give(
        self, late: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        free = time.monotonic()
        while True:
            taken, data = await late.get()
            due = max(taken + self.delay_seconds, free)
            if (pause := due - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            if not data:
                writer.close()
                return
            writer.write(data)
            await writer.drain()
            rate = self.bytes_per_second
            free = max(due, time.monotonic() - 0.1) + len(data) / rate if rate else 0.0


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
    writer.close()


async def _main(upstream_port: int, port: int) -> None:
    link = _Link(upstream_port)
    server = await asyncio.start_server(link.serve, LOOPBACK, port)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
    )
    while line := await orders.readline():
        delay, rate = line.split()
        link.delay_seconds, link.bytes_per_second = float(delay), float(rate)
    server.close()
    await link.close()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2])))
