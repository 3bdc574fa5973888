"""Tools that ask the throttler over HTTP, as gh-ost does: ten times a second each.

Run as a process of its own, `python -m tests.bench.checkers PORT COUNT`, until it is ended.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AbstractAsyncContextManager
from typing import Final

from tests.bench.stage import beside

CHECKS_PER_SECOND: Final = 10
_REQUEST: Final = (
    "GET /throttler/check?app={app}&p=low HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
    "User-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n"
)


def app_name(number: int) -> str:
    """Return the name that the gh-ost of a migration asks by."""
    return f"online-ddl:gh-ost:{number:08x}_1111_11f0_8de9_0242ac110002"


def checking(port: int, count: int) -> AbstractAsyncContextManager[None]:
    """Let so many tools ask the daemon of an HTTP port for the length of a block."""
    return beside("checkers", str(port), str(count))


async def _check(port: int, number: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = _REQUEST.format(app=app_name(number), port=port).encode()
    loop = asyncio.get_running_loop()
    # Not all of them at the same moment.
    due = loop.time() + number % 10 / (10 * CHECKS_PER_SECOND)
    while True:
        await asyncio.sleep(max(0.0, due - loop.time()))
        due += 1 / CHECKS_PER_SECOND
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
        )
        await reader.readexactly(int(length.split(b":")[1]))


async def _main(port: int, count: int) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(_check(port, number))


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2])))
